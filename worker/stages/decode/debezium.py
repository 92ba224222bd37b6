"""Debezium's JSON envelope, with or without its schema, to a `RowChange`.

What real connectors emit, and the traps in it, was found by running one: see docs/change-events.md.
"""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Operation, Record, Rejection, RowChange, Skip
from worker.stages.decode.json_values import cut, parse, shown, unwrapped
from worker.stages.decode.version import version_of
from worker.stages.rules import SourceRules

_OPERATIONS: Final = {
    "c": Operation.UPSERT,
    "u": Operation.UPSERT,
    "r": Operation.UPSERT,
    "d": Operation.DELETE,
}
_HEARTBEAT: Final = frozenset({"ts_ms"})
_TRANSACTION: Final = frozenset({"status", "id", "event_count", "data_collections"})
_SCHEMA_CHANGE: Final = frozenset({"databaseName", "ddl", "tableChanges"})


def decode(record: Record, rules: SourceRules) -> Decoded:
    """Return what the record says, for any bytes whatever; never raises."""
    if record.value is None:
        return Skip(SkipReason.TOMBSTONE)
    value = parse(record.value, "value")
    if isinstance(value, Rejection):
        return value
    event = unwrapped(value)
    if event is None:
        return Skip(SkipReason.TOMBSTONE)
    if not isinstance(event, dict):
        return Rejection(RejectReason.NOT_AN_EVENT, f"the value is a JSON {type(event).__name__}, not an object")
    if "op" not in event:
        return _without_operation(event)
    key = _key_columns(record)
    return key if isinstance(key, Rejection) else _row_change(event, key, rules)


def _without_operation(event: Mapping[str, object]) -> Decoded:
    names = event.keys()
    if names == _HEARTBEAT or names >= _TRANSACTION or names >= _SCHEMA_CHANGE:
        return Skip(SkipReason.NOT_A_ROW)
    return Rejection(
        RejectReason.NOT_AN_EVENT,
        f"the value has no 'op', so it is no Debezium change event; its keys: {cut(', '.join(sorted(names)), 120)}",
    )


def _key_columns(record: Record) -> Mapping[str, object] | Rejection:
    if record.key is None:
        return {}
    key = parse(record.key, "key")
    if isinstance(key, Rejection):
        return key
    columns = unwrapped(key)
    if not isinstance(columns, dict):
        return Rejection(RejectReason.KEY_MISSING, "the record's key is not an object of key columns")
    return columns


def _row_change(event: Mapping[str, object], key: Mapping[str, object], rules: SourceRules) -> Decoded:
    code = event["op"]
    if code == "m":
        return Skip(SkipReason.NOT_A_ROW)
    if code == "t":
        return Rejection(RejectReason.UNSUPPORTED_OPERATION, "the table was truncated (op 't'): rebuild the index")
    operation = _OPERATIONS.get(code) if isinstance(code, str) else None
    if operation is None:
        return Rejection(RejectReason.UNKNOWN_OPERATION, f"op {shown(code)} is not one of c, u, r, d, t, m")
    source = event.get("source")
    if not isinstance(source, dict):
        return Rejection(RejectReason.POSITION_INVALID, "the event has no 'source' block, so no position")
    version = version_of(source, rules.version_epoch)
    if isinstance(version, Rejection):
        return version
    row = event.get("after") if operation is Operation.UPSERT else {}
    if not isinstance(row, dict):
        return Rejection(RejectReason.ROW_MISSING, f"op {code!r} needs the row in 'after'")
    before = event.get("before") if rules.trusts_before else None
    moment = source.get("ts_ms")
    return RowChange(
        operation=operation,
        key=key,
        row=row,
        before=before if isinstance(before, dict) else {},
        version=version,
        source_ts_ms=moment if isinstance(moment, int) and not isinstance(moment, bool) and moment > 0 else None,
    )
