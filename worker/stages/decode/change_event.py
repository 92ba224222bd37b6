"""Plain change events, for programs that write their own: the contract is `schemas/change-event.v1.json`."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason
from worker.records import Decoded, Operation, Record, Rejection, RowChange
from worker.stages.decode.connect_schema import columns_of
from worker.stages.decode.flattened import tombstone
from worker.stages.decode.json_values import cut, parse, shown
from worker.stages.decode.position import POSITION_BITS, POSITION_LIMIT
from worker.stages.decode.table import wrong_name
from worker.stages.decode.version import time_of, version_in_row
from worker.stages.rules import SourceRules

_PROPERTIES: Final = frozenset({"op", "source", "key", "tenant", "version", "ts", "row"})
# Looked up once: an enumeration's members are slow to come by.
_DELETE: Final = Operation.DELETE
_OPERATIONS: Final = {"upsert": Operation.UPSERT, "delete": _DELETE}
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
"""How a time must be written; the same as in the schema, so that a validator and the worker agree."""


class _Invalid(Exception):  # noqa: N818 - carries a rejection up to decode, never leaves this module
    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(reason, message)


def decode(record: Record, rules: SourceRules) -> Decoded:
    """Return what the record says, for any bytes whatever; never raises."""
    if record.value is None:
        return tombstone(record, rules)
    parsed = parse(record.value, "value")
    if isinstance(parsed, Rejection):
        return parsed
    event, schema = parsed
    if event is None:
        return tombstone(record, rules)
    try:
        return _row_change(event, schema, rules)
    except _Invalid as invalid:
        return invalid.rejection


def _row_change(event: object, schema: object, rules: SourceRules) -> Decoded:
    if not isinstance(event, dict):
        raise _Invalid(RejectReason.NOT_AN_EVENT, f"the value is a JSON {type(event).__name__}, not an object")
    if not event.keys() <= _PROPERTIES:
        raise _not_an_event(event)
    operation = _operation(event)
    if (wrong := _wrong_source(event, rules)) is not None:
        return wrong
    key = _key(event)
    tenant = _tenant(event, rules)
    for column in key.keys() & tenant.keys():
        if str(key[column]) != str(tenant[column]):
            raise _Invalid(
                RejectReason.NOT_AN_EVENT,
                f"tenant is {shown(tenant[column])}, but key has {shown(key[column])} for {cut(column, 60)!r}: "
                "both name the row's tenant",
            )
    row = _row(event, operation, {**key, **tenant})
    version = _version(event, row, operation, rules)
    if isinstance(version, Rejection):
        return version
    return RowChange(
        operation,
        # Keys are unique within the tenant that the event names: the same key under another one is another row.
        {**key, **tenant},
        row,
        # A delete has no row, but who wrote this event vouches for its tenant.
        tenant if operation is _DELETE else {},
        version,
        _time(event),
        None if schema is None else columns_of(schema, "row", rules.wanted_columns),
        tells_moves=True,
    )


def _not_an_event(event: Mapping[str, object]) -> _Invalid:
    unknown = cut(", ".join(repr(name) for name in sorted(event.keys() - _PROPERTIES)), 120)
    hint = " (this is a Debezium event: set the source's format to debezium)" if {"op", "after"} <= event.keys() else ""
    known = ", ".join(sorted(_PROPERTIES))
    return _Invalid(RejectReason.NOT_AN_EVENT, f"a change event has only {known}, but this one has {unknown}{hint}")


def _operation(event: Mapping[str, object]) -> Operation:
    code = event.get("op")
    operation = _OPERATIONS.get(code) if isinstance(code, str) else None
    if operation is None:
        raise _Invalid(RejectReason.UNKNOWN_OPERATION, f"op {shown(code)} is neither 'upsert' nor 'delete'")
    return operation


def _wrong_source(event: Mapping[str, object], rules: SourceRules) -> Rejection | None:
    source = event.get("source")
    if source is None:
        return None
    if not isinstance(source, str):
        raise _Invalid(RejectReason.NOT_AN_EVENT, f"source {shown(source)} is not the name of a table")
    return wrong_name(source, rules)


def _key(event: Mapping[str, object]) -> dict[str, object]:
    key = event.get("key")
    if not isinstance(key, dict) or not key:
        raise _Invalid(RejectReason.KEY_MISSING, f"key {shown(key)} is not an object of the primary key's columns")
    for column, value in key.items():
        if not isinstance(value, (str, int, float)):
            raise _Invalid(
                RejectReason.KEY_MISSING, f"key column {cut(column, 60)!r} is {shown(value)}, not a text or number"
            )
    return key


def _tenant(event: Mapping[str, object], rules: SourceRules) -> dict[str, object]:
    tenant = event.get("tenant")
    if tenant is None:
        return {}
    if isinstance(tenant, bool) or not isinstance(tenant, (str, int)) or tenant == "":
        raise _Invalid(RejectReason.TENANT_MISSING, f"tenant {shown(tenant)} is not a text or an integer")
    return {rules.tenant_column: tenant}


def _row(event: Mapping[str, object], operation: Operation, said: Mapping[str, object]) -> Mapping[str, object]:
    """The row with the key's columns and the tenant, which need not be repeated in it but must agree if they are."""
    row = event.get("row")
    if operation is _DELETE:
        if row is not None:
            raise _Invalid(RejectReason.NOT_AN_EVENT, "a delete has no 'row': leave it out, or write op 'upsert'")
        return {}
    if not isinstance(row, dict):
        raise _Invalid(RejectReason.ROW_MISSING, f"row {shown(row)} is not an object of columns, which upsert needs")
    for column, value in said.items():
        if column in row and row[column] != value:
            raise _Invalid(
                RejectReason.NOT_AN_EVENT,
                f"column {cut(column, 60)!r} is {shown(row[column])} in 'row' but {shown(value)} in 'key' or 'tenant'",
            )
    return {**said, **row}


def _version(
    event: Mapping[str, object], row: Mapping[str, object], operation: Operation, rules: SourceRules
) -> int | Rejection | None:
    if rules.version_column is not None:
        return version_in_row(row, operation, rules)
    version = event.get("version")
    if version is None:
        return None
    if type(version) is not int or not 0 <= version < POSITION_LIMIT:
        raise _Invalid(
            RejectReason.POSITION_INVALID, f"version {shown(version)} is not an integer from 0 to below 2^56"
        )
    return rules.version_epoch << POSITION_BITS | version


def _time(event: Mapping[str, object]) -> int | None:
    moment = event.get("ts")
    if moment is None:
        return None
    if type(moment) is int and moment >= 0:
        return time_of(moment)
    if isinstance(moment, str) and TIME.fullmatch(moment):
        try:
            return time_of(int(dt.datetime.fromisoformat(moment).timestamp() * 1000))
        except ValueError:
            pass
    raise _Invalid(
        RejectReason.NOT_AN_EVENT,
        f"ts {shown(moment)} is neither milliseconds since 1970 nor a time such as 2026-01-31T12:00:00Z",
    )
