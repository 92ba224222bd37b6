"""Where the tenant of a deleted or moved row comes from: the key, the old row, or nowhere in the event."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import Operation, RowChange
from worker.stages.findings import Finding, counted, failure, note, ok, warning
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Form, Observed, place_of_tenant
from worker.stages.tenants import TenantPlace

_MADE_UP: Final = (None, "", 0, False)
"""What stands in a delete for a column that PostgreSQL did not log."""
_REMEDY: Final = (
    "make the tenant part of the primary key, or set REPLICA IDENTITY FULL on the table and replica_identity: full here"
)


def tenant_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield which case holds for this source."""
    changes = [(one, change) for one in observed if (change := one.change) is not None]
    if not changes:
        return
    column = rules.tenant_column
    in_key = sum(column in change.key for _, change in changes)
    if in_key == len(changes) and not all(one.form is Form.CHANGE_EVENT for one, _ in changes):
        yield _in_key([change for _, change in changes], column)
        return
    deletes = Counter(place_of_tenant(change, rules) for _, change in changes if change.operation is Operation.DELETE)
    unknown = deletes[TenantPlace.UNKNOWN]
    if all(one.form is Form.CHANGE_EVENT for one, _ in changes):
        yield from _of_change_events(unknown, deletes.total())
    elif unknown:
        yield warning(
            "tenant",
            f"{unknown} of {counted(deletes.total(), 'delete')} do not tell the tenant {column!r}, and an update that "
            f"changes it does not tell the old one: {_LOCATE}",
            _REMEDY,
        )
    elif not rules.trusts_before:
        yield warning(
            "tenant",
            f"{column!r} is in the rows alone: a delete, or an update that changes it, would not tell the old one"
            f"{'' if deletes else ' (none was seen)'}: {_LOCATE}",
            _REMEDY,
        )
    elif any(one.form is Form.FLATTENED for one, _ in changes):
        yield warning(
            "tenant",
            f"{column!r} is not in the key, and a flattened row has no old row beside it: an update that changes the "
            f"tenant does not tell the old one: {_LOCATE}",
            "make the tenant part of the primary key, or read the envelope: leave ExtractNewRecordState out",
        )
    elif any(one.is_update and one.before is None for one, _ in changes):
        yield failure(
            "tenant",
            f"{column!r} of a deleted row is made up, because the old rows are not what is declared",
            "see the line 'replica identity'",
        )
    else:
        yield ok("tenant", f"{column!r} of a deleted or moved row is in its old row")


_LOCATE: Final = (
    "only a search for the row's document can tell, which costs each such batch a refresh and a search and needs the "
    "privilege 'maintenance'"
)


def _in_key(changes: Sequence[RowChange], column: str) -> Finding:
    """Debezium makes a delete's key from the old row: a column that PostgreSQL did not log is made up there, too."""
    kept = {repr(change.key[column]) for change in changes if change.operation is Operation.UPSERT}
    made_up = [
        change
        for change in changes
        if change.operation is Operation.DELETE
        and change.key[column] in _MADE_UP
        and repr(change.key[column]) not in kept
    ]
    if made_up:
        return failure(
            "tenant",
            f"the key holds {column!r}, but in {counted(len(made_up), 'delete')} as {made_up[0].key[column]!r}: "
            "the column is not in the primary key, so the database did not log it and the connector made it up",
            "set REPLICA IDENTITY FULL on the table (or USING INDEX, of an index with the tenant)",
        )
    return ok("tenant", f"{column!r} is in the key of every record: deletes and moves tell their tenant")


def _of_change_events(unknown: int, deletes: int) -> Iterator[Finding]:
    if unknown:
        yield warning(
            "tenant",
            f"{unknown} of {counted(deletes, 'delete')} do not tell the tenant: {_LOCATE}",
            "write the property tenant into deletes, too",
        )
    elif deletes:
        yield ok("tenant", "every delete tells its tenant")
    else:
        yield note("tenant", "no delete was seen: each must tell its tenant, and so must the first half of a move")
