"""Rows as ExtractNewRecordState leaves them, in all modes of `delete.tombstone.handling.mode`."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Operation, Rejection, RowChange, Skip
from worker.stages.decode.debezium import decode
from worker.stages.rules import SourceRules, TombstoneMeaning

DELETING = replace(rules(), tombstone=TombstoneMeaning.DELETE)
Headers = Iterable[tuple[str, bytes]]


def decoded(
    value: object, given: SourceRules | None = None, headers: Headers = (), key: object = b'{"id":1}'
) -> Decoded:
    return decode(record(value, key, headers=headers), given or rules())


def change(
    value: object, given: SourceRules | None = None, headers: Headers = (), key: object = b'{"id":1}'
) -> RowChange:
    outcome = decoded(value, given, headers, key)
    assert isinstance(outcome, RowChange), outcome
    return outcome


def rejection(value: object, given: SourceRules | None = None, key: object = b'{"id":1}') -> Rejection:
    outcome = decoded(value, given, key=key)
    assert isinstance(outcome, Rejection), outcome
    return outcome


def test_a_bare_row_is_an_upsert_without_a_position() -> None:
    assert change(row(title="T")) == RowChange(
        operation=Operation.UPSERT, key={"id": 1}, row=row(title="T"), before={}, version=None, source_ts_ms=None
    )


@pytest.mark.parametrize(
    "columns", [{"status": "open"}, {"databaseName": "app", "ddl": "x"}, {"ts_ms": 5}, {"op": "c"}]
)
def test_a_row_with_columns_that_metadata_has_too_is_a_row(columns: dict[str, object]) -> None:
    assert change(row(**columns)).row == row(**columns)


def test_a_row_with_a_column_op_and_a_text_source_is_a_row() -> None:
    assert change(row(op="x", source="web")).operation is Operation.UPSERT


def test_an_object_without_any_column_of_the_source_is_neither_event_nor_row() -> None:
    found = rejection({"name": "x", "age": 3})
    assert found.reason is RejectReason.NOT_AN_EVENT
    assert "age, name" in found.message
    assert "'articles'" in found.message


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_the_operation_is_in_a_field_or_in_a_header(op: str) -> None:
    assert change(row(__op=op)).operation is Operation.UPSERT
    assert change(row(), headers=[("__op", op.encode())]).operation is Operation.UPSERT
    assert change(row(__op="d")).operation is Operation.DELETE
    assert change(row(), headers=[("__op", b"d")]).operation is Operation.DELETE


def test_other_operations_are_what_they_are_in_an_envelope() -> None:
    assert rejection(row(__op="t")).reason is RejectReason.UNSUPPORTED_OPERATION
    assert rejection(row(__op="x")).reason is RejectReason.UNKNOWN_OPERATION
    assert rejection(row(__op=["c"])).reason is RejectReason.UNKNOWN_OPERATION
    assert decoded(row(__op="m")) == Skip(SkipReason.NOT_A_ROW)


@pytest.mark.parametrize("name", ["__lsn", "__source_lsn"])
def test_a_position_is_read_from_a_field_and_from_a_header(name: str) -> None:
    """`add.fields=lsn` writes the one name, `add.fields=source.lsn` the other."""
    assert change(row(**{name: 24316176})).version == 24316176
    assert change(row(), headers=[(name, b"24316176")]).version == 24316176


def test_a_field_counts_before_a_header() -> None:
    assert change(row(__source_lsn=8), headers=[("__source_lsn", b"7")]).version == 8


def test_of_a_header_given_twice_the_last_counts() -> None:
    assert change(row(), headers=[("__source_lsn", b"7"), ("__source_lsn", b"8")]).version == 8


@pytest.mark.parametrize("value", [b'"u"', b"u", b'{"schema":{"type":"string"},"payload":"u"}'])
def test_headers_are_read_as_every_header_converter_writes_them(value: bytes) -> None:
    assert change(row(), headers=[("__op", value), ("__source_lsn", b"5")]).version == 5


@pytest.mark.parametrize("name", ["lsn", "xxlsn", "a_source_lsn", "_Xlsn", "source_lsn"])
def test_a_header_of_somebody_elses_says_nothing(name: str) -> None:
    assert change(row(), headers=[(name, b"24316176")]).version is None


def test_a_header_without_a_value_says_nothing() -> None:
    without = replace(record(row()), headers=(("__op", None), ("__source_lsn", None), ("__debezium.oldkey", None)))
    assert decode(without, rules()) == change(row())


@pytest.mark.parametrize("value", [b"\xff", b"", b"{", b"[" * 3000])
def test_a_header_that_is_broken_is_rejected_not_raised(value: bytes) -> None:
    assert isinstance(decoded(row(), headers=[("__source_lsn", value)]), (Rejection, RowChange))
    assert isinstance(decoded(row(), headers=[("__op", value)]), (Rejection, RowChange))


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"__file": "binlog.000003", "__pos": 154, "__row": 2}, 3 << 32 | 156),
        ({"__source_file": "binlog.000003", "__source_pos": 154}, 3 << 32 | 154),
        (
            {"__source_change_lsn": "00000001:00000001:0001", "__source_event_serial_no": 1},
            1 << 34 | 1 << 12 | 1 << 2 | 1,
        ),
        ({"__source_ts_ms": 1000, "__source_ord": 5}, 1 << 24 | 5),
        ({"__source_connector": "postgresql", "__source_lsn": 5}, 5),
        ({"__source_connector": "postgresql", "__source_lsn": 5, "__source_snapshot": "incremental"}, None),
        ({"__source_lsn": None}, None),
        ({"__source_ts_ms": 1000}, None),
    ],
)
def test_the_names_of_a_position_tell_the_connector(fields: dict[str, object], version: int | None) -> None:
    assert change(row(**fields)).version == version


def test_a_position_that_is_none_is_rejected() -> None:
    assert rejection(row(__source_lsn="x")).reason is RejectReason.POSITION_INVALID
    assert rejection(row(__source_connector="oracle", __source_scn=5)).reason is RejectReason.POSITION_INVALID


def test_a_declared_version_column_needs_no_metadata() -> None:
    given = replace(rules(), version_column="rev")
    assert change(row(rev=9), given).version == 9
    assert change(row(rev=9, __source_lsn=5), given).version == 9


@pytest.mark.parametrize("value", [row(rev=9, __deleted="true"), row(rev=9, __op="d"), None])
def test_a_delete_never_takes_the_declared_columns_last_value(value: object) -> None:
    """The stored document has that version already: the delete would be older than what it deletes."""
    gone = change(value, replace(DELETING, version_column="rev"))
    assert (gone.operation, gone.version) == (Operation.DELETE, None)


def test_the_sources_time_is_not_the_connectors() -> None:
    assert change(row(__source_ts_ms=5, __ts_ms=9)).source_ts_ms == 5
    assert change(row(__ts_ms=9)).source_ts_ms is None


@pytest.mark.parametrize("mark", ["true", True])
def test_rewrite_marks_a_delete_in_the_row_and_nothing_else_of_it_is_believed(mark: object) -> None:
    """The old row is filled with type defaults: an absent tenant reads as an empty text."""
    gone = change(row(tenant="", __deleted=mark, __source_lsn=5))
    assert gone == RowChange(Operation.DELETE, {"id": 1}, {}, {}, 5, None)


def test_rewrite_under_full_replica_identity_keeps_the_old_row() -> None:
    gone = change(row(tenant="globex", __deleted="true"), rules(trusts_before=True))
    assert gone.before["tenant"] == "globex"
    assert gone.row == {}


@pytest.mark.parametrize("mark", ["false", False, None])
def test_rewrite_marks_what_is_not_deleted_too(mark: object) -> None:
    assert change(row(__deleted=mark)).operation is Operation.UPSERT


def test_rewrite_with_tombstone_is_a_delete_then_a_tombstone_that_says_nothing_new() -> None:
    assert change(row(__deleted="true")).operation is Operation.DELETE
    assert decoded(None) == Skip(SkipReason.TOMBSTONE)


@pytest.mark.parametrize("value", [None, b"null", {"schema": None, "payload": None}])
def test_in_mode_tombstone_a_null_value_is_the_delete(value: object) -> None:
    assert change(value, DELETING) == RowChange(Operation.DELETE, {"id": 1}, {}, {}, None, None)


def test_a_tombstones_headers_may_carry_its_position_and_time() -> None:
    headers = [("__op", b"d"), ("__source_lsn", b"24316176"), ("__source_ts_ms", b"1795298512185")]
    gone = change(None, DELETING, headers)
    assert (gone.version, gone.source_ts_ms) == (24316176, 1795298512185)


@pytest.mark.parametrize(("name", "is_ours"), [(b"articles", True), (b"comments", False), (None, True)])
def test_a_tombstones_headers_may_tell_another_table(name: bytes | None, *, is_ours: bool) -> None:
    given = replace(DELETING, table="public.articles")
    outcome = decoded(None, given, [] if name is None else [("__table", name)])
    if is_ours:
        assert isinstance(outcome, RowChange)
    else:
        assert isinstance(outcome, Rejection)
        assert outcome.reason is RejectReason.WRONG_TABLE


def test_a_row_may_tell_its_table_without_the_schema() -> None:
    given = replace(rules(), table="public.articles")
    for names, is_ours in (
        ({"__table": "articles"}, True),
        ({"__table": "comments"}, False),
        ({"__schema": "audit", "__table": "articles"}, False),
        ({"__schema": "public", "__table": "articles"}, True),
    ):
        outcome = decoded(row(**names), given)
        assert isinstance(outcome, RowChange) is is_ours, names


def test_a_tombstone_that_must_name_its_row_but_does_not_is_rejected() -> None:
    for key in (None, b"{}"):
        found = rejection(None, DELETING, key)
        assert found.reason is RejectReason.KEY_MISSING
        assert "message.key.columns" in found.message
    assert rejection(None, DELETING, b"1").reason is RejectReason.KEY_MISSING
    assert rejection(None, DELETING, b"\x00").reason is RejectReason.INVALID_JSON


def test_a_tombstone_with_a_broken_position_is_rejected() -> None:
    outcome = decoded(None, DELETING, [("__source_lsn", b"-5")])
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.POSITION_INVALID


def test_a_row_with_its_schema_is_the_same_row_with_types() -> None:
    schema = {"type": "struct", "fields": [{"type": "int64", "field": "id"}, {"type": "string", "field": "other"}]}
    with_schema = change({"schema": schema, "payload": row(__source_lsn=5)})
    assert with_schema.columns is not None
    assert with_schema.columns.keys() == {"id"}
    assert replace(with_schema, columns=None) == change(row(__source_lsn=5))


@pytest.mark.parametrize(
    "value", [b'{"id":2}', b'{"schema":{},"payload":{"id":2}}'], ids=["without schema", "with schema"]
)
def test_the_insert_half_of_a_changed_key_knows_the_former_key(value: bytes) -> None:
    headers = [("__debezium.context.taskId", b"0"), ("__debezium.oldkey", value)]
    assert change(row(3), headers=headers).former_key == {"id": 2}
    assert change(event("c", row(3)), headers=headers).former_key == {"id": 2}


@pytest.mark.parametrize("headers", [[], [("__debezium.oldkey", b"2")], [("__debezium.oldkey", b"{")]])
def test_without_a_header_that_can_be_read_there_is_no_former_key(headers: Headers) -> None:
    assert change(event("c"), headers=headers).former_key == {}


def test_the_delete_half_of_a_changed_key_and_its_tombstone_know_the_new_key_and_no_former_one() -> None:
    headers = [("__debezium.newkey", b'{"id":2}'), ("__debezium.oldkey", b'{"id":3}')]
    bare = replace(rules(), tombstone=TombstoneMeaning.DELETE)
    for found in (
        change(event("d"), headers=headers),
        change(row(__deleted="true"), headers=headers),
        change(None, given=bare, headers=headers),
    ):
        assert (found.former_key, found.new_key) == ({}, {"id": 2})


def test_an_insert_has_no_new_key() -> None:
    headers = [("__debezium.newkey", b'{"id":2}')]
    assert change(event("c"), headers=headers).new_key == {}
    assert change(row(), headers=headers).new_key == {}
