"""Which tenant an event belongs to, and what may be believed of it.

The row says it, else the Kafka key, else the old row. Debezium makes a delete's key and its old row from what the
database logged of the old row; a column that was not logged gets its default, else 0 or an empty text. So a delete's
tenant is sure only where the database logs it: in a primary key, or under REPLICA IDENTITY FULL.
"""

import functools
from enum import StrEnum
from typing import Final, NamedTuple

from worker.errors import RejectReason
from worker.records import ColumnType, Operation, Rejection, RowChange
from worker.stages import identity
from worker.stages.conversion import is_unavailable
from worker.stages.decode.json_values import shown
from worker.stages.rules import SourceRules, TenantInKey

# Looked up once: an enumeration's members are slow to come by.
_UPSERT: Final = Operation.UPSERT
_NOTHING: Final = object()
_MADE_UP: Final[tuple[object, ...]] = (None, 0, "0", "AA==", "00000000-0000-0000-0000-000000000000")
"""What stands for a column that was not logged; False equals 0, and `AA==` is the decimal 0. See also blank texts."""


class TenantPlace(StrEnum):
    """Which part of an event holds its tenant. UNKNOWN: none does; only a search for the row could tell."""

    ROW = "row"
    KEY = "key"
    BEFORE = "before"
    UNKNOWN = "unknown"


class TenantKnown(NamedTuple):
    """Where the tenant column was found, and its value as it stands there."""

    where: TenantPlace
    value: object


class Tenant(NamedTuple):
    """A tenant, and the part that it is of a document's id."""

    name: str
    id_part: str


def tenant_known(change: RowChange, rules: SourceRules) -> TenantKnown:
    """Return where an event tells its tenant: in the row, else in the key, else in a `before` that may be believed.

    A placeholder of an unchanged value tells nothing, so the search goes on; so with a key that is not believed.
    """
    column = rules.tenant_column
    for where, columns in (
        (TenantPlace.ROW, change.row),
        (TenantPlace.KEY, change.key),
        (TenantPlace.BEFORE, change.before),
    ):
        value = columns.get(column, _NOTHING)
        if value is _NOTHING or is_unavailable(value, rules.unavailable_placeholder):
            continue
        if where is TenantPlace.KEY and not believes_key(rules) and _may_be_made_up(change, rules):
            continue
        return TenantKnown(where, value)
    return TenantKnown(TenantPlace.UNKNOWN, None)


def tenant(change: RowChange, rules: SourceRules) -> Tenant | Rejection:
    """Return the tenant that the event tells, or why it tells none."""
    where, value = tenant_known(change, rules)
    column = rules.tenant_column
    if where is TenantPlace.UNKNOWN:
        remedy = "make it part of the primary key, or set REPLICA IDENTITY FULL and replica_identity: full"
        if change.tells_moves:
            remedy = "name the property tenant in every event"
        if change.operation is not _UPSERT:
            remedy += ", or set locate: auto"
        return Rejection(RejectReason.TENANT_UNKNOWN, f"the event does not carry tenant column {column!r}: {remedy}")
    known = tenant_of(value)
    if known is not None:
        return known
    if (made_up := doubt(change, rules)) is not None:
        return made_up
    return Rejection(
        RejectReason.TENANT_MISSING,
        f"tenant column {column!r} {_why_no_tenant(value)}: a tenant is a text or an integer",
    )


def doubt(change: RowChange, rules: SourceRules) -> Rejection | None:
    """Return what a delete ends with if there is no document where its key says: its tenant looks made up.

    None where there is no doubt. Whether the database logged the tenant no event tells, only a declaration can; but
    under a tenant that was made up nothing of that row is stored.
    """
    if rules.tenant_in_key is not TenantInKey.AUTO or not _may_be_made_up(change, rules):
        return None
    where, value = tenant_known(change, rules)
    columns = change.columns or {}
    if where is not TenantPlace.KEY or not looks_made_up(value, columns.get(rules.tenant_column)):
        return None
    return Rejection(
        RejectReason.TENANT_UNKNOWN,
        f"the key of this delete has {shown(value)} for tenant column {rules.tenant_column!r}, and no such row is "
        "stored, as where Debezium makes up what the database did not log: set REPLICA IDENTITY FULL and "
        "replica_identity: full; or tenant_in_key: primary_key if the column is in the primary key, message_key if it "
        "is not, and snapshot the table again",
    )


def looks_made_up(value: object, column: ColumnType | None) -> bool:
    """Whether a value may stand for one that was not logged. `column` is what the event's schema says of it."""
    if isinstance(value, str) and not value.strip():
        return True
    if isinstance(value, (list, dict)):  # no default of a tenant's column, and perhaps too deep to be compared
        return False
    return value in _MADE_UP or (column is not None and value == column.default)


def _may_be_made_up(change: RowChange, rules: SourceRules) -> bool:
    """Whether what a key says comes from an old row that may have been logged in part."""
    return change.operation is not _UPSERT and not rules.trusts_before and not change.tells_moves


def believes_key(rules: SourceRules) -> bool:
    """Whether a tenant in the key is the row's, whatever the operation."""
    return rules.trusts_before or rules.tenant_in_key is not TenantInKey.MESSAGE_KEY


def tenant_of(value: object) -> Tenant | None:
    """Return a tenant, where the value can be one."""
    text = str(value) if type(value) is int else value
    return tenant_of_text(text) if isinstance(text, str) else None


def tenant_of_text(text: str) -> Tenant | None:
    """Return a tenant, where the text can be one."""
    return _tenant_of_short_text(text) if identity.fits(text) else None


# Many records, few tenants.
@functools.lru_cache(maxsize=4096)
def _tenant_of_short_text(text: str) -> Tenant | None:
    return Tenant(text, identity.key_part(text)) if text.strip() else None


def _why_no_tenant(value: object) -> str:
    match value:
        case None:
            return "is null"
        case str() if not value.strip():
            return "is blank"
        case str():
            return f"has {len(value.encode())} bytes, more than the {identity.MAX_ID_BYTES} allowed"
        case _:
            return f"is of type {type(value).__name__}"
