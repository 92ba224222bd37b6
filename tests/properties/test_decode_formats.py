"""Every format takes any bytes whatever, in values, keys and headers, and its answer depends on nothing else."""

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import record, rules
from worker.records import Record, Rejection, RowChange, Skip
from worker.runtime.sources import DECODERS
from worker.stages.decode.mongodb import document
from worker.stages.decode.position import POSITION_LIMIT, position_of
from worker.stages.rules import SourceRules, TombstoneMeaning

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["c", "u", "d", "t", "m", "upsert", "delete", "true", "articles", "incremental", "a.000003"])
    | st.sampled_from(["00000027:00000ac0:0002", '{"_id":{"$oid":"x"}}', "2026-01-31T12:00:00Z"])
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SOURCE_NAMES = ["lsn", "file", "pos", "row", "change_lsn", "event_serial_no", "ts_ms", "ord", "txnNumber", "snapshot"]
sources = st.fixed_dictionaries(
    {},
    optional={
        "connector": st.sampled_from(["postgresql", "mysql", "mariadb", "sqlserver", "mongodb"]) | scalars,
        **dict.fromkeys([*SOURCE_NAMES, "db", "schema", "table", "collection"], json_values),
    },
)
columns = ["id", "tenant", "title", "rev", "__op", "__deleted", "__source_lsn", "__table", "__source_connector"]
rows = st.dictionaries(st.sampled_from(columns), json_values, max_size=6)
schema_fields = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["int64", "string", "bytes", "array", "map", "struct"]) | scalars},
        optional={
            "field": st.sampled_from(["after", "row", "id", "title", "tenant"]) | scalars,
            "name": scalars,
            "parameters": st.dictionaries(st.text(max_size=3), scalars, max_size=2) | scalars,
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["array", "map", "struct"])},
        optional={"field": st.sampled_from(["after", "row"]), "items": inner, "fields": st.lists(inner | scalars)},
    ),
    max_leaves=5,
)
events = (
    st.fixed_dictionaries(
        {},
        optional={
            "op": scalars,
            "after": rows | json_values,
            "before": rows | json_values,
            "source": sources | json_values,
            "key": rows | json_values,
            "row": rows | json_values,
            "tenant": json_values,
            "version": json_values,
            "ts": json_values,
        },
    )
    | rows
    | json_values
)
wrapped = st.fixed_dictionaries({"schema": schema_fields | json_values, "payload": events})
data = st.none() | st.binary(max_size=30) | st.builds(lambda value: orjson.dumps(value), events | wrapped | rows)  # noqa: PLW0108 - its signature is not readable
header_names = st.sampled_from(["__op", "__source_lsn", "__lsn", "__deleted", "__debezium.oldkey", "__", "x"])
headers = st.lists(st.tuples(header_names, st.none() | st.binary(max_size=12) | data), max_size=3)
records = st.builds(
    lambda value, key, given_headers: replace(record(value, key), headers=tuple(given_headers)), data, data, headers
)
all_rules = st.builds(
    lambda changed, trusts: replace(rules(trusts_before=trusts, version_epoch=2), **changed),
    st.fixed_dictionaries(
        {},
        optional={
            "table": st.sampled_from(["articles", "public.articles"]),
            "tombstone": st.sampled_from(TombstoneMeaning),
            "version_column": st.just("rev"),
        },
    ),
    st.booleans(),
)


@given(st.sampled_from(sorted(DECODERS)), records, all_rules)
def test_any_record_decodes_to_a_value_and_to_the_same_one_every_time(
    source_format: str, one: Record, given_rules: SourceRules
) -> None:
    outcome = DECODERS[source_format](one, given_rules)
    assert isinstance(outcome, (RowChange, Skip, Rejection))
    assert DECODERS[source_format](one, given_rules) == outcome
    if isinstance(outcome, Rejection):
        assert 0 < len(outcome.message) < 600
        outcome.message.encode()
    if isinstance(outcome, RowChange):
        assert outcome.version is None or outcome.version >> 56 == 2
        assert outcome.source_ts_ms is None or outcome.source_ts_ms > 0
        assert outcome.columns is None or outcome.columns.keys() <= given_rules.wanted_columns


# An event of n rows is n bytes long at least: here all are two bytes long and have two rows.
binlog_places = st.tuples(st.integers(0, 2**24 - 1), st.integers(2, 2**31 - 2), st.integers(0, 1))


@given(binlog_places, binlog_places)
def test_places_in_a_binlog_keep_their_order(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    def position(place: tuple[int, int, int]) -> int:
        file, number, row = place
        found = position_of({"connector": "mysql", "file": f"bin.{file:06}", "pos": number * 2, "row": row})
        assert found is not None
        assert found < POSITION_LIMIT
        return found

    assert (position(one) < position(other)) is (one < other)


sql_server_places = st.tuples(
    st.integers(0, 2**22 - 1), st.integers(0, 2**22 - 1), st.integers(0, 1023), st.integers(0, 3)
)


@given(sql_server_places, sql_server_places)
def test_places_in_a_transaction_log_keep_their_order(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    def position(place: tuple[int, ...]) -> int:
        file, block, slot, serial = place
        lsn = f"{file:08x}:{block:08x}:{slot:04x}"
        found = position_of({"connector": "sqlserver", "change_lsn": lsn, "event_serial_no": serial})
        assert found is not None
        assert found < POSITION_LIMIT
        return found

    assert (position(one) < position(other)) is (one < other)


@given(st.dictionaries(st.text(max_size=4), json_values))
def test_a_document_of_plain_json_is_read_as_it_is(columns_of_document: dict[str, Any]) -> None:
    text = orjson.dumps(columns_of_document).decode()
    if "$" not in text:
        assert document(text) == orjson.loads(text)
