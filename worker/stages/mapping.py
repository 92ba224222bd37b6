"""Row to document: fields, identity, tenant."""

from collections.abc import Mapping

from worker.errors import RejectReason
from worker.records import Change, Operation, Place, Record, Rejection, RowChange
from worker.stages import identity
from worker.stages.conversion import UNAVAILABLE, convert, is_unavailable
from worker.stages.rules import SourceRules


class _Unmappable(Exception):  # noqa: N818 - carries a rejection up to map_change, never leaves this module
    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(reason, message)


def map_change(record: Record, change: RowChange, rules: SourceRules, watermark: int) -> Change | Rejection:
    """Return the change in terms of documents, or why it cannot become one; never raises.

    `watermark` is the highest version among the records before this one in its partition: the version of a change
    that has none of its own.
    """
    try:
        parts = _key_parts(change, rules)
        tenant = _tenant(change, rules)
        place = Place(identity.document_id(rules.id_scope, tenant, parts), tenant)
        left = _former_place(change, rules, parts) - {place}
        fields, absent = _fields(change.row, rules) if change.operation is Operation.UPSERT else ({}, frozenset())
    except _Unmappable as unmappable:
        return unmappable.rejection
    tenant_in_key = [identity.key_part(tenant)] if rules.tenant_column in change.key else []
    return Change(
        record=record,
        source=rules.name,
        key=identity.source_key(rules.name, (*tenant_in_key, *parts)),
        operation=change.operation,
        place=place,
        version=watermark if change.version is None else change.version,
        positioned=change.version is not None,
        source_ts_ms=change.source_ts_ms,
        left=left,
        fields=fields,
        absent=absent,
    )


def _key_parts(change: RowChange, rules: SourceRules) -> list[str]:
    """The key columns are looked for in the Kafka key, then in the row, then in a `before` that may be believed."""
    parts = []
    for column in rules.id_columns:
        values = (place[column] for place in (change.key, change.row, change.before) if column in place)
        value = next(values, None)
        try:
            parts.append(identity.key_part(None if is_unavailable(value) else value))
        except ValueError as error:
            raise _Unmappable(
                RejectReason.KEY_MISSING,
                f"key column {column!r} {error}: give the table a primary key, or set message.key.columns",
            ) from None
    return parts


def _tenant(change: RowChange, rules: SourceRules) -> str:
    column = rules.tenant_column
    places = (change.row, change.key, change.before)
    value = next((place[column] for place in places if column in place), UNAVAILABLE)
    if value == UNAVAILABLE:
        remedy = "make it part of the primary key, or set REPLICA IDENTITY FULL and replica_identity: full"
        raise _Unmappable(RejectReason.TENANT_UNKNOWN, f"the event does not carry tenant column {column!r}: {remedy}")
    tenant = _tenant_text(value)
    if tenant is None:
        raise _Unmappable(
            RejectReason.TENANT_MISSING,
            f"tenant column {column!r} is null, blank, over 512 bytes, or no text or number",
        )
    return tenant


def _tenant_text(value: object) -> str | None:
    if isinstance(value, str) and value.strip() and len(value.encode()) <= identity.MAX_ID_BYTES:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _former_place(change: RowChange, rules: SourceRules, parts: list[str]) -> frozenset[Place]:
    """The place of the row before this change, where the event tells it and it may be believed."""
    value = change.before.get(rules.tenant_column)
    tenant = None if is_unavailable(value) else _tenant_text(value)
    if tenant is None:
        return frozenset()
    return frozenset({Place(identity.document_id(rules.id_scope, tenant, parts), tenant)})


def _fields(row: Mapping[str, object], rules: SourceRules) -> tuple[dict[str, object], frozenset[str]]:
    fields: dict[str, object] = {}
    absent = set()
    for rule in rules.fields:
        if rule.column not in row:
            known = ", ".join(sorted(row))[:200]
            raise _Unmappable(
                RejectReason.FIELD_INVALID,
                f"the row has no column {rule.column!r} for field {rule.name!r}; it has: {known}",
            )
        value = row[rule.column]
        if is_unavailable(value):
            absent.add(rule.name)
            continue
        try:
            fields[rule.name] = convert(value, rule.type)
        except ValueError as error:
            raise _Unmappable(
                RejectReason.FIELD_INVALID, f"column {rule.column!r} should be {rule.type}: {error}"
            ) from None
    return fields, frozenset(absent)
