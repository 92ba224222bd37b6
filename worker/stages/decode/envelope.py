"""Debezium's envelope: `before`, `after`, `source` and `op`."""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Operation, Record, Rejection, RowChange, Skip, Truncate
from worker.stages.decode import mongodb
from worker.stages.decode.connect_schema import columns_of
from worker.stages.decode.headers import former_key, new_key
from worker.stages.decode.json_values import shown
from worker.stages.decode.table import wrong_table
from worker.stages.decode.version import time_of, version_of
from worker.stages.rules import SourceRules, TruncatePolicy

# Looked up once: an enumeration's members are slow to come by.
_UPSERT: Final = Operation.UPSERT
_NO_KEY: Final[Mapping[str, object]] = {}
_OPERATIONS: Final = {
    "c": Operation.UPSERT,
    "u": Operation.UPSERT,
    "r": Operation.UPSERT,
    "d": Operation.DELETE,
}


def is_envelope(event: Mapping[str, object]) -> bool:
    """Whether an object is an envelope: a row may have a column `op`, but not also an object `source`."""
    return "op" in event and (isinstance(event.get("source"), dict) or "after" in event or "before" in event)


def operation_of(code: object) -> Operation | Skip | Rejection:
    """Return what an operation's code asks for."""
    operation = _OPERATIONS.get(code) if isinstance(code, str) else None
    return _no_change(code) if operation is None else operation


def _no_change(code: object) -> Skip | Rejection:
    """What an operation that is none of a row's stands for."""
    if code == "m":
        return Skip(SkipReason.NOT_A_ROW)
    if code == "t":
        return Rejection(
            RejectReason.UNSUPPORTED_OPERATION,
            "the table was truncated (op 't'), and its documents are still there: set truncate: delete_all for this "
            "source, and replay this record, or rebuild the index",
        )
    return Rejection(RejectReason.UNKNOWN_OPERATION, f"op {shown(code)} is not one of c, u, r, d, t, m")


def row_change(
    record: Record, event: Mapping[str, object], schema: object, key: Mapping[str, object], rules: SourceRules
) -> Decoded:
    """Return what an envelope says of its row."""
    code = event["op"]
    operation = _OPERATIONS.get(code) if type(code) is str else None
    if operation is None:
        return _truncate(event, rules) if _is_obeyed_truncate(code, rules) else _no_change(code)
    source = event.get("source")
    if not isinstance(source, dict):
        return Rejection(RejectReason.POSITION_INVALID, "the event has no 'source' block, so no position")
    if rules.table is not None and (wrong := wrong_table(source, rules)) is not None:
        return wrong
    row = event.get("after") if operation is _UPSERT else {}
    before = event.get("before") if rules.trusts_before else None
    if source.get("connector") == "mongodb":
        row, before, key = _document(row), _document(before), mongodb.key_of(key)
        if isinstance(unreadable := row if isinstance(row, Rejection) else before, Rejection):
            return unreadable
    if not isinstance(row, dict):
        return _row_missing(code, source)
    version = version_of(source, row, operation, rules)
    if isinstance(version, Rejection):
        return version
    return RowChange(
        operation,
        key,
        row,
        before if isinstance(before, dict) else {},
        version,
        time_of(source.get("ts_ms")),
        None if schema is None else columns_of(schema, "after", rules.wanted_columns),
        former_key(record) if operation is _UPSERT else _NO_KEY,
        rules.trusts_before,
        _NO_KEY if operation is _UPSERT else new_key(record),
    )


def _is_obeyed_truncate(code: object, rules: SourceRules) -> bool:
    return code == "t" and rules.truncate is TruncatePolicy.DELETE_ALL


def _truncate(event: Mapping[str, object], rules: SourceRules) -> Truncate | Rejection:
    """What a truncate says: of which table, and where it stands among the table's changes."""
    source = event.get("source")
    block: Mapping[str, object] = source if isinstance(source, dict) else {}
    if (wrong := wrong_table(block, rules)) is not None:
        return wrong
    version = version_of(block, {}, Operation.DELETE, rules)
    if version is None:
        return Rejection(
            RejectReason.POSITION_INVALID,
            "the truncate has no position, so nothing tells which documents are older: rebuild the index",
        )
    return version if isinstance(version, Rejection) else Truncate(version)


def _document(part: object) -> object:
    return mongodb.document(part) if isinstance(part, str) else part


def _row_missing(code: object, source: Mapping[str, object]) -> Rejection:
    remedy = ": set capture.mode to change_streams_update_full" if source.get("connector") == "mongodb" else ""
    return Rejection(RejectReason.ROW_MISSING, f"op {code!r} needs the row in 'after'{remedy}")
