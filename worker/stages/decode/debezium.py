"""Debezium's JSON to a `RowChange`: the envelope or a flattened row, with or without its schema.

Which of them a record is, the record itself tells. What real connectors emit, and the traps in it, was found by
running one: see docs/change-events.md.
"""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Record, Rejection, Skip
from worker.stages.decode import envelope, flattened
from worker.stages.decode.json_values import parse
from worker.stages.decode.record_key import key_columns
from worker.stages.rules import SourceRules

_HEARTBEAT: Final = frozenset({"ts_ms"})
_TRANSACTION: Final = frozenset({"status", "id", "event_count", "data_collections", "ts_ms"})
_SCHEMA_CHANGE: Final = frozenset({"source", "databaseName", "ddl", "tableChanges"})


def decode(record: Record, rules: SourceRules) -> Decoded:
    """Return what the record says, for any bytes whatever; never raises."""
    if record.value is None:
        return flattened.tombstone(record, rules)
    parsed = parse(record.value, "value")
    if isinstance(parsed, Rejection):
        return parsed
    event, schema = parsed
    if event is None:
        return flattened.tombstone(record, rules)
    if not isinstance(event, dict):
        return Rejection(RejectReason.NOT_AN_EVENT, f"the value is a JSON {type(event).__name__}, not an object")
    is_envelope = envelope.is_envelope(event)
    if not is_envelope:
        if _is_metadata(event):
            return Skip(SkipReason.NOT_A_ROW)
        if not flattened.is_row(event, rules):
            return flattened.not_an_event(event, rules)
    key = key_columns(record)
    if isinstance(key, Rejection):
        return key
    if is_envelope:
        return envelope.row_change(record, event, schema, key, rules)
    return flattened.row_change(record, event, schema, key, rules)


def _is_metadata(event: Mapping[str, object]) -> bool:
    """Whether the connector wrote this beside its rows: a heartbeat, a transaction's begin or end, a schema change.

    By their exact names, never by some of them: to skip a row that looks like one would lose it in silence.
    """
    names = event.keys()
    if names >= _SCHEMA_CHANGE:
        return isinstance(event["source"], dict)
    return names in (_HEARTBEAT, _TRANSACTION)
