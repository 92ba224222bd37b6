"""Debezium's JSON to a row change: each trap of a real connector's feed has its test."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Operation, Rejection, RowChange, Skip, Truncate
from worker.stages.decode.debezium import decode
from worker.stages.rules import SourceRules, TruncatePolicy

TRUSTING = rules(trusts_before=True)


def decoded(value: object, key: object = b'{"id":1}', given: SourceRules | None = None) -> Decoded:
    return decode(record(value, key), given or rules())


def row_change(value: object, key: object = b'{"id":1}', given: SourceRules | None = None) -> RowChange:
    outcome = decoded(value, key, given)
    assert isinstance(outcome, RowChange), outcome
    return outcome


def rejection(value: object, key: object = b'{"id":1}') -> Rejection:
    outcome = decoded(value, key)
    assert isinstance(outcome, Rejection), outcome
    assert len(outcome.message) < 400
    return outcome


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_create_update_and_snapshot_read_are_upserts_of_the_row_in_after(op: str) -> None:
    assert row_change(event(op, row(title="T"), lsn=7)) == RowChange(
        operation=Operation.UPSERT,
        key={"id": 1},
        row={"id": 1, "tenant": "acme", "title": "T", "content": "Content"},
        before={},
        version=7,
        source_ts_ms=1_795_298_512_185,
    )


def test_a_delete_has_its_key_and_no_row() -> None:
    deleted = row_change(event("d", before=row()))
    assert (deleted.operation, deleted.key, deleted.row) == (Operation.DELETE, {"id": 1}, {})


@pytest.mark.parametrize("before", [row(tenant=""), row(tenant="globex")])
@pytest.mark.parametrize("op", ["u", "d"])
def test_under_default_replica_identity_nothing_of_before_is_believed(op: str, before: dict[str, object]) -> None:
    """Debezium fills absent NOT NULL columns with type defaults: an absent tenant reads as an empty text."""
    assert row_change(event(op, before=before)).before == {}


@pytest.mark.parametrize("op", ["u", "d"])
def test_under_full_replica_identity_before_is_believed(op: str) -> None:
    assert row_change(event(op, before=row(tenant="globex")), given=TRUSTING).before == row(tenant="globex")


@pytest.mark.parametrize("op", ["c", "u", "r", "d"])
def test_no_row_changes_its_tenant_unseen_where_before_is_believed_and_always_told(op: str) -> None:
    assert row_change(event(op), given=TRUSTING).tells_moves
    assert not row_change(event(op)).tells_moves
    assert not row_change(row(__op=op), given=TRUSTING).tells_moves  # flattened: there is no old row


@pytest.mark.parametrize("before", [None, "text", [], 1])
def test_a_before_that_is_no_row_is_no_row(before: object) -> None:
    assert row_change(event("u", before=before), given=TRUSTING).before == {}


@pytest.mark.parametrize("value", [None, b"null", {"schema": None, "payload": None}])
def test_a_tombstone_is_skipped_with_and_without_a_schema(value: object) -> None:
    assert decoded(value) == Skip(SkipReason.TOMBSTONE)


def test_a_tombstone_is_skipped_whatever_its_key() -> None:
    assert decoded(None, b"\x00broken") == Skip(SkipReason.TOMBSTONE)


@pytest.mark.parametrize("snapshot", ["first", "true", "last", "first_in_data_collection", "last_in_data_collection"])
def test_a_row_of_the_initial_snapshot_has_the_snapshots_position(snapshot: str) -> None:
    assert row_change(event("r", lsn=24459320, snapshot=snapshot)).version == 24459320


def test_a_row_of_an_incremental_snapshot_has_no_version() -> None:
    assert row_change(event("r", lsn=None, snapshot="incremental")).version is None


def test_an_event_without_an_lsn_at_all_has_no_version() -> None:
    value = event("r")
    del value["source"]["lsn"]
    assert row_change(value).version is None


def test_the_halves_of_a_changed_key_are_a_delete_and_an_upsert_of_one_version() -> None:
    gone = row_change(event("d", before=row(2), lsn=24316176), {"id": 2})
    here = row_change(event("c", row(100), lsn=24316176), {"id": 100})
    assert (gone.operation, gone.key) == (Operation.DELETE, {"id": 2})
    assert (here.operation, here.key) == (Operation.UPSERT, {"id": 100})
    assert gone.version == here.version


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"ts_ms": 1795298575833}, id="heartbeat"),
        pytest.param(
            {"status": "BEGIN", "id": "768:24459416", "event_count": None, "data_collections": None, "ts_ms": 1},
            id="transaction begins",
        ),
        pytest.param(
            {
                "status": "END",
                "id": "768:24459744",
                "event_count": 1,
                "data_collections": [{"data_collection": "public.notes", "event_count": 1}],
                "ts_ms": 1,
            },
            id="transaction ends",
        ),
        pytest.param(
            {"source": {}, "ts_ms": 1, "databaseName": "app", "schemaName": "public", "ddl": "x", "tableChanges": []},
            id="schema change",
        ),
        pytest.param(
            {"source": {}, "databaseName": "app", "ddl": "x", "tableChanges": []},
            id="schema change without any more",
        ),
        pytest.param(event("m", message={"prefix": "outbox", "content": "aGk="}), id="logical message"),
    ],
)
def test_what_a_connector_writes_beside_its_rows_is_skipped(value: object) -> None:
    assert decoded(value, {"serverName": "app"}) == Skip(SkipReason.NOT_A_ROW)
    assert decoded({"schema": {}, "payload": value}, {"serverName": "app"}) == Skip(SkipReason.NOT_A_ROW)


@pytest.mark.parametrize(
    "columns",
    [
        {"id": 1, "status": "open", "tenant": "acme"},
        {"id": 1, "databaseName": "app", "ddl": "create table x ()"},
        {"id": 1, "ts_ms": 5},
    ],
)
def test_a_flattened_row_that_looks_a_little_like_metadata_is_a_row(columns: dict[str, object]) -> None:
    """Skipping would lose a whole table in silence when somebody puts ExtractNewRecordState in front."""
    assert row_change(columns).row.items() >= columns.items()


def test_a_truncate_is_rejected_with_the_remedy() -> None:
    found = rejection(event("t"), None)
    assert found.reason is RejectReason.UNSUPPORTED_OPERATION
    assert "truncate: delete_all" in found.message
    assert "rebuild the index" in found.message


EMPTYING = replace(rules(), truncate=TruncatePolicy.DELETE_ALL, table="public.articles")
OWN: dict[str, Any] = {"db": "app", "schema": "public", "table": "articles"}


def test_a_truncate_is_obeyed_where_the_source_says_so() -> None:
    assert decoded(event("t", lsn=7, **OWN), None, EMPTYING) == Truncate(7)
    assert decoded(event("t", lsn=7, **OWN), None, replace(EMPTYING, version_epoch=2)) == Truncate(2 << 56 | 7)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (event("t", **{**OWN, "table": "notes"}), RejectReason.WRONG_TABLE),
        (event("t", **{**OWN, "schema": "archive"}), RejectReason.WRONG_TABLE),
        (event("t"), RejectReason.WRONG_TABLE),
        ({"op": "t", "after": None, "source": None}, RejectReason.WRONG_TABLE),
        (event("t", lsn=None, **OWN), RejectReason.POSITION_INVALID),
        (event("t", lsn="7", **OWN), RejectReason.POSITION_INVALID),
    ],
)
def test_a_truncate_of_another_table_or_without_a_position_deletes_nothing(value: object, reason: RejectReason) -> None:
    outcome = decoded(value, None, EMPTYING)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is reason


def test_a_flattened_truncate_is_rejected_because_its_table_is_not_sure() -> None:
    outcome = decoded({**row(), "__op": "t", "__lsn": 7, "__table": "articles"}, None, EMPTYING)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.UNSUPPORTED_OPERATION


@pytest.mark.parametrize("op", ["x", "", "C", None, 1, True, ["c"], {"c": 1}, "c" * 10_000])
def test_an_unknown_operation_is_rejected(op: object) -> None:
    assert rejection(event(op)).reason is RejectReason.UNKNOWN_OPERATION


@pytest.mark.parametrize(
    ("value", "kind"), [(b"[]", "list"), (b"1", "int"), (b'"text"', "str"), (b"true", "bool"), (b"0.5", "float")]
)
def test_a_value_that_is_no_object_is_rejected(value: bytes, kind: str) -> None:
    found = rejection(value)
    assert found.reason is RejectReason.NOT_AN_EVENT
    assert f"a JSON {kind}" in found.message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "it is empty"),
        (b"\x00\x00\x00\x00\x01rest", "schema registry"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"{", "not JSON"),
        (b'{"op": NaN}', "not JSON"),
        (b'{"op": "\xff"}', "not JSON"),
        (b'{"op": "\\ud800"}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_what_is_no_json_is_rejected_with_a_hint_and_so_is_such_a_key(value: bytes, says: str) -> None:
    of_value, of_key = rejection(value), rejection(event(), value)
    assert of_value.reason is of_key.reason is RejectReason.INVALID_JSON
    assert says in of_value.message
    assert says in of_key.message
    assert "record's value" in of_value.message
    assert "record's key" in of_key.message


def nest(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [201, 400, 1000, 1020])
@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (b'{"op":%b,"after":{}}', RejectReason.UNKNOWN_OPERATION),
        (b'{"op":"c","after":{},"source":{"connector":%b}}', RejectReason.POSITION_INVALID),
        (b'{"op":"c","after":{},"source":{"connector":"postgresql","lsn":%b}}', RejectReason.POSITION_INVALID),
        (b"%b", RejectReason.NOT_AN_EVENT),
    ],
    ids=["op", "connector", "lsn", "bare"],
)
def test_a_message_about_what_is_nested_deep_is_short(shape: bytes, reason: RejectReason, levels: int) -> None:
    """orjson reads 1024 levels; Python's repr gives up before that."""
    found = rejection(shape % nest(levels))
    assert found.reason is reason
    assert len(found.message) < 300


def test_a_column_nested_deep_is_for_those_to_refuse_who_use_it() -> None:
    deep = b'{"op":"c","after":{"x":%b},"source":{"connector":"postgresql","lsn":5}}' % nest(1020)
    assert row_change(deep).row.keys() == {"x"}


@pytest.mark.parametrize("shape", [b'{"op":%b}', b'{"op":"c","after":{"x":%b}}', b"%b"])
def test_json_nested_deeper_than_it_can_be_read_is_rejected(shape: bytes) -> None:
    assert rejection(shape % nest(1025)).reason is RejectReason.INVALID_JSON
    assert rejection(event(), b'{"id":%b}' % nest(1025)).reason is RejectReason.INVALID_JSON


def test_many_values_side_by_side_are_not_deep() -> None:
    wide = [[number] for number in range(2000)]
    assert row_change(event(after=row(wide=wide))).row["wide"] == wide


def test_brackets_inside_a_text_are_not_deep() -> None:
    assert row_change(event(after=row(title="[" * 2000))).row["title"] == "[" * 2000


@pytest.mark.parametrize("key", [b"null", b"5", b'"1"', b"[1]", b'{"schema":{},"payload":7}'])
def test_a_key_that_is_no_object_is_rejected(key: bytes) -> None:
    assert rejection(event(), key).reason is RejectReason.KEY_MISSING


def test_no_key_is_an_empty_key() -> None:
    assert row_change(event(), None).key == {}


def test_key_and_value_are_taken_out_of_their_schema() -> None:
    wrapped = row_change({"schema": {"type": "struct"}, "payload": event()}, {"schema": {}, "payload": {"id": 1}})
    assert wrapped == row_change(event())


def test_a_key_of_columns_called_schema_and_payload_and_more_is_taken_as_it_is() -> None:
    key = {"schema": 1, "payload": 2, "id": 3}
    assert row_change(event(), key).key == key


@pytest.mark.parametrize("after", [None, "text", [1], 0])
def test_an_upsert_without_its_row_is_rejected(after: object) -> None:
    found = rejection(event("u") | {"after": after})
    assert found.reason is RejectReason.ROW_MISSING
    assert "'u'" in found.message


def test_an_upsert_without_after_at_all_is_rejected() -> None:
    value = event("c")
    del value["after"]
    assert rejection(value).reason is RejectReason.ROW_MISSING


@pytest.mark.parametrize("source", [None, "postgresql", [], 5])
def test_an_event_without_a_source_block_is_rejected(source: object) -> None:
    for value in (event() | {"source": source}, {"op": "c", "after": row()}, {"op": "d", "before": row()}):
        found = rejection(value)
        assert found.reason is RejectReason.POSITION_INVALID
        assert "no 'source' block" in found.message


BAD_POSITIONS: list[Any] = [-1, 0, True, False, "24316176", 1 << 56, 1 << 63, 5.0, [], {}, "9" * 10_000]


@pytest.mark.parametrize("lsn", BAD_POSITIONS, ids=lambda lsn: repr(lsn)[:20])
def test_a_position_that_cannot_order_changes_is_rejected(lsn: object) -> None:
    found = rejection(event(lsn=lsn))
    assert found.reason is RejectReason.POSITION_INVALID
    assert "source.lsn" in found.message


@pytest.mark.parametrize("lsn", [1, (1 << 56) - 1])
def test_the_smallest_and_the_largest_position_fit(lsn: int) -> None:
    assert row_change(event(lsn=lsn)).version == lsn


@pytest.mark.parametrize("connector", ["oracle", "", None, 5, "x" * 10_000, ["postgresql"]])
def test_events_of_other_connectors_are_rejected_by_name(connector: object) -> None:
    found = rejection(event(connector=connector, file="binlog.000003", pos=154))
    assert found.reason is RejectReason.POSITION_INVALID
    assert repr(connector)[:20] in found.message


def test_the_epoch_is_in_the_bits_above_the_position() -> None:
    assert row_change(event(lsn=5), given=rules(version_epoch=3)).version == 3 * 2**56 + 5


@pytest.mark.parametrize("epoch", [0, 1, 126])
def test_the_lowest_position_of_the_next_epoch_is_above_the_highest_of_this_one(epoch: int) -> None:
    highest = row_change(event(lsn=2**56 - 1), given=rules(version_epoch=epoch)).version
    lowest = row_change(event(lsn=1), given=rules(version_epoch=epoch + 1)).version
    assert highest is not None
    assert lowest is not None
    assert highest < lowest < 2**63  # what Elasticsearch takes as a version


@pytest.mark.parametrize(
    ("ts_ms", "expected"), [(5, 5), (0, None), (-1, None), (None, None), ("5", None), (5.5, None), (True, None)]
)
def test_the_sources_time_is_a_positive_integer_or_nothing(ts_ms: object, expected: int | None) -> None:
    assert row_change(event(ts_ms=ts_ms)).source_ts_ms is expected


def test_names_in_a_message_are_cut() -> None:
    assert len(rejection({f"column{number}": 1 for number in range(5000)}).message) < 300


def test_of_a_name_given_twice_the_last_counts() -> None:
    value = orjson.dumps(event("c")).replace(b'"op":"c"', b'"op":"d","op":"u"')
    assert row_change(value).operation is Operation.UPSERT
