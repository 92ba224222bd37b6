"""Rows as Debezium's ExtractNewRecordState leaves them: columns, and what `add.fields` and `add.headers` keep.

Where `delete.tombstone.handling.mode` is `rewrite` or `rewrite-with-tombstone`, a delete is the old row with
`__deleted: "true"`. In its other modes a delete is a record without a value, or nothing at all.
"""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason, SkipReason
from worker.records import Decoded, Operation, Record, Rejection, RowChange, Skip
from worker.stages.decode.connect_schema import columns_of
from worker.stages.decode.envelope import operation_of
from worker.stages.decode.headers import PREFIX, former_key, metadata, new_key
from worker.stages.decode.json_values import cut
from worker.stages.decode.record_key import key_columns
from worker.stages.decode.table import wrong_table
from worker.stages.decode.version import time_of, version_of
from worker.stages.rules import SourceRules, TombstoneMeaning

# Looked up once: an enumeration's members are slow to come by.
_UPSERT, _DELETE = Operation.UPSERT, Operation.DELETE

_OF_SOURCE: Final = "__source_"
# Outside `source` these are when the connector handled the change, not when the database made it.
_NOT_OF_SOURCE: Final = frozenset({"__op", "__deleted", "__ts_ms", "__ts_us", "__ts_ns"})
_CONNECTOR_OF: Final = (("lsn", "postgresql"), ("file", "mysql"), ("change_lsn", "sqlserver"), ("ord", "mongodb"))
"""The names of a position tell the connector where `add.fields` leaves it out."""


def row_change(
    record: Record, row: Mapping[str, object], schema: object, key: Mapping[str, object], rules: SourceRules
) -> Decoded:
    """Return what a flattened row says; a row without metadata is an upsert without a position."""
    said = {name: row[name] for name in row if name.startswith(PREFIX)}
    if record.headers:
        said = metadata(record) | said
    operation = _operation(said)
    if not isinstance(operation, Operation):
        return operation
    source = _source(said)
    if (wrong := _wrong_table(source, rules)) is not None:
        return wrong
    version = _version(source, row, operation, rules)
    if isinstance(version, Rejection):
        return version
    deleted = operation is _DELETE
    return RowChange(
        operation,
        key,
        {} if deleted else row,
        row if deleted and rules.trusts_before else {},
        version,
        time_of(source.get("ts_ms")),
        None if schema is None else columns_of(schema, None, rules.wanted_columns),
        {} if deleted or not record.headers else former_key(record),
        new_key=new_key(record) if deleted else {},
    )


def is_row(event: Mapping[str, object], rules: SourceRules) -> bool:
    """Whether an object holds at least one column of the declared ones."""
    return not rules.wanted_columns.isdisjoint(event)


def tombstone(record: Record, rules: SourceRules) -> Decoded:
    """Return what a record without a value means for this source."""
    if rules.tombstone is TombstoneMeaning.FOLLOWS_DELETE:
        return Skip(SkipReason.TOMBSTONE)
    key = key_columns(record)
    if isinstance(key, Rejection):
        return key
    if not key:
        return Rejection(
            RejectReason.KEY_MISSING,
            "the record has neither a value nor a key, so nothing says which row is deleted: "
            "give the table a primary key, or set message.key.columns",
        )
    source = _source(metadata(record))
    if (wrong := _wrong_table(source, rules)) is not None:
        return wrong
    version = _version(source, {}, _DELETE, rules)
    if isinstance(version, Rejection):
        return version
    return RowChange(_DELETE, key, {}, {}, version, time_of(source.get("ts_ms")), new_key=new_key(record))


def _wrong_table(source: Mapping[str, object], rules: SourceRules) -> Rejection | None:
    """Why the row is of another table than the declared one, where it says of which."""
    return wrong_table(source, rules) if "table" in source or "collection" in source else None


def _operation(said: Mapping[str, object]) -> Operation | Skip | Rejection:
    deleted = said.get("__deleted")
    if deleted is True or deleted == "true":
        return _DELETE
    code = said.get("__op")
    return _UPSERT if code is None else operation_of(code)


def _source(said: Mapping[str, object]) -> dict[str, object]:
    """What is known of the event's `source`: `__source_lsn` and `__lsn` are its `lsn`."""
    source = {
        name[len(_OF_SOURCE if name.startswith(_OF_SOURCE) else PREFIX) :]: value
        for name, value in said.items()
        if name not in _NOT_OF_SOURCE
    }
    if source.get("connector") is None:
        source["connector"] = next((connector for name, connector in _CONNECTOR_OF if name in source), None)
    return source


def _version(
    source: Mapping[str, object], row: Mapping[str, object], operation: Operation, rules: SourceRules
) -> int | Rejection | None:
    if rules.version_column is None and source["connector"] is None:
        return None
    return version_of(source, row, operation, rules)


def not_an_event(event: Mapping[str, object], rules: SourceRules) -> Rejection:
    """Return why an object is neither an envelope nor a row of this source."""
    return Rejection(
        RejectReason.NOT_AN_EVENT,
        "the value is neither a Debezium change event (it has no 'op' and 'source') nor a flattened row (it has no "
        f"column of source {rules.name!r}); its keys: {cut(', '.join(sorted(event)), 120)}",
    )
