"""The columns in a record's Kafka key."""

from collections.abc import Mapping

from worker.errors import RejectReason
from worker.records import Record, Rejection
from worker.stages.decode.json_values import parse


def key_columns(record: Record) -> Mapping[str, object] | Rejection:
    """Return the columns of the key; none where the record has no key, as for a table without a primary key."""
    if record.key is None:
        return {}
    parsed = parse(record.key, "key")
    if isinstance(parsed, Rejection):
        return parsed
    columns = parsed[0]
    if not isinstance(columns, dict):
        return Rejection(
            RejectReason.KEY_MISSING,
            "the record's key is not an object of key columns: write it with JsonConverter, without ExtractField",
        )
    return columns
