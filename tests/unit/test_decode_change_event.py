"""Plain change events; the examples beside the schema are tested with it, here is what they leave open."""

from dataclasses import replace

import pytest

from tests.builders import event, record, rules
from worker.errors import RejectReason, SkipReason
from worker.records import ColumnType, Decoded, Operation, Rejection, RowChange, Skip
from worker.stages.decode.change_event import decode
from worker.stages.rules import SourceRules, TombstoneMeaning

KEY = {"id": 42}
ROW = {"title": "T", "content": "C"}


def decoded(value: object, given: SourceRules | None = None, key: object = None) -> Decoded:
    return decode(record(value, key), given or rules())


def upsert(given: SourceRules | None = None, **said: object) -> RowChange:
    outcome = decoded({"op": "upsert", "key": KEY, "row": ROW, **said}, given)
    assert isinstance(outcome, RowChange), outcome
    return outcome


def rejection(value: object, given: SourceRules | None = None) -> Rejection:
    outcome = decoded(value, given)
    assert isinstance(outcome, Rejection), outcome
    assert len(outcome.message) < 500
    return outcome


@pytest.mark.parametrize(("in_key", "agrees"), [("acme", True), ("globex", False)])
@pytest.mark.parametrize("operation", [{"op": "upsert", "row": ROW}, {"op": "delete"}])
def test_a_tenant_in_the_key_is_the_one_that_the_event_names(
    operation: dict[str, object], in_key: str, *, agrees: bool
) -> None:
    outcome = decoded({**operation, "key": {**KEY, "tenant": in_key}, "tenant": "acme"})
    if agrees:
        assert isinstance(outcome, RowChange)
    else:
        assert isinstance(outcome, Rejection)
        assert outcome.reason is RejectReason.NOT_AN_EVENT
        assert "'acme', but key has 'globex'" in outcome.message


def test_key_and_tenant_are_columns_of_the_row() -> None:
    assert upsert(tenant="acme").row == {"id": 42, "tenant": "acme", **ROW}
    assert upsert(tenant="acme").key == {**KEY, "tenant": "acme"}, "the same key under another tenant is another row"
    assert upsert(row={"tenant": "acme", **ROW}).key == KEY, "a key without a named tenant is one over all tenants"
    assert upsert(row={"id": 42, "tenant": "acme", **ROW}, tenant="acme").row["tenant"] == "acme"


@pytest.mark.parametrize(("column", "value"), [("id", 43), ("id", "42"), ("tenant", "globex"), ("tenant", None)])
def test_a_row_that_contradicts_its_key_or_tenant_is_rejected_with_both_values(column: str, value: object) -> None:
    found = rejection({"op": "upsert", "key": KEY, "tenant": "acme", "row": {**ROW, column: value}})
    assert found.reason is RejectReason.NOT_AN_EVENT
    assert repr(column) in found.message
    assert repr(value) in found.message


def test_the_tenant_of_a_delete_is_believed_as_no_debezium_event_is() -> None:
    outcome = decoded({"op": "delete", "key": KEY, "tenant": "acme"})
    assert isinstance(outcome, RowChange)
    assert outcome.before == {"tenant": "acme"}


def test_the_epoch_stands_above_the_version() -> None:
    assert upsert(rules(version_epoch=3), version=5).version == 3 << 56 | 5


def test_a_declared_version_column_counts_before_the_events_version() -> None:
    given = replace(rules(), version_column="rev")
    assert upsert(given, version=5, row={**ROW, "rev": 9}).version == 9
    assert rejection({"op": "upsert", "key": KEY, "version": 5, "row": ROW}, given).reason is (
        RejectReason.POSITION_INVALID
    )


def test_a_delete_never_takes_a_version_where_a_column_is_declared() -> None:
    """Only rows hold the column, and the event's own version counts on another scale."""
    outcome = decoded({"op": "delete", "key": KEY, "version": 5}, replace(rules(), version_column="rev"))
    assert isinstance(outcome, RowChange)
    assert outcome.version is None


@pytest.mark.parametrize("op", ["c", "", "UPSERT", None, 1, True, ["upsert"], {"upsert": 1}])
def test_an_unknown_operation_is_rejected(op: object) -> None:
    assert rejection({"op": op, "key": KEY, "row": ROW}).reason is RejectReason.UNKNOWN_OPERATION


@pytest.mark.parametrize("tenant", [True, False, 1.5, "", [], ["acme"], {}, {"name": "acme"}])
def test_a_tenant_is_a_text_or_an_integer(tenant: object) -> None:
    assert rejection({"op": "delete", "key": KEY, "tenant": tenant}).reason is RejectReason.TENANT_MISSING


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (None, None),
        (0, None),
        (1, 1),
        (253_402_300_799_999, 253_402_300_799_999),
        (253_402_300_800_000, None),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.001999Z", 1),
        ("1970-01-01T00:00:00.001999999+00:00", 1),
        ("1970-01-01T01:00:01+01:00", 1000),
        ("1969-12-31T23:59:59Z", None),
    ],
)
def test_a_time_is_milliseconds_or_iso_8601(ts: object, expected: int | None) -> None:
    assert upsert(ts=ts).source_ts_ms == expected


@pytest.mark.parametrize(
    "ts", [-1, True, 1.5, "", "now", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z", [], "9" * 999]
)
def test_what_is_no_time_is_rejected(ts: object) -> None:
    found = rejection({"op": "upsert", "key": KEY, "row": ROW, "ts": ts})
    assert found.reason is RejectReason.NOT_AN_EVENT
    assert found.message.startswith("ts ")


@pytest.mark.parametrize("key", [{}, [], "42", 42, None, {"id": None}, {"id": [1]}, {"id": {"$oid": "x"}}])
def test_a_key_is_an_object_of_texts_and_numbers(key: object) -> None:
    assert rejection({"op": "upsert", "key": key, "row": ROW}).reason is RejectReason.KEY_MISSING


def test_a_misspelled_property_is_named_with_those_that_there_are() -> None:
    found = rejection({"op": "upsert", "key": KEY, "row": ROW, "verison": 5})
    assert "'verison'" in found.message
    assert "version" in found.message.replace("verison", "")


def test_a_debezium_event_is_recognised() -> None:
    assert "set the source's format to debezium" in rejection(event()).message


@pytest.mark.parametrize("value", [b"[]", b"5", b'"x"', b"true"])
def test_a_value_that_is_no_object_is_rejected(value: bytes) -> None:
    assert rejection(value).reason is RejectReason.NOT_AN_EVENT


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b"\x00\x00\x00\x00\x01"])
def test_what_is_no_json_is_rejected(value: bytes) -> None:
    assert rejection(value).reason is RejectReason.INVALID_JSON


@pytest.mark.parametrize("value", [None, b"null"])
def test_a_tombstone_means_what_the_source_declares(value: object) -> None:
    assert decoded(value) == Skip(SkipReason.TOMBSTONE)
    gone = decoded(value, replace(rules(), tombstone=TombstoneMeaning.DELETE), KEY)
    assert gone == RowChange(Operation.DELETE, KEY, {}, {}, None, None)


def test_kafka_connects_wrapping_is_taken_off_and_its_types_are_kept() -> None:
    fields = [{"type": "struct", "field": "row", "fields": [{"type": "int32", "field": "title"}]}]
    wrapped = {"schema": {"type": "struct", "fields": fields}, "payload": {"op": "upsert", "key": KEY, "row": ROW}}
    outcome = decoded(wrapped)
    assert isinstance(outcome, RowChange)
    assert outcome.columns == {"title": ColumnType("int32")}
    assert replace(outcome, columns=None) == upsert()
