"""Where the tenant of a deleted or moved row comes from: the key, the old row, or nowhere in the event."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import Change, Operation
from worker.stages.findings import Finding, counted, failure, note, ok, warning
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Form, Observed, place_of_tenant
from worker.stages.sampling.tenant_keys import tenant_key_finding
from worker.stages.tenants import TenantPlace

_REMEDY: Final = (
    "make the tenant part of the primary key, or set REPLICA IDENTITY FULL on the table and replica_identity: full here"
)


def locating(observed: Sequence[Observed]) -> bool:
    """Whether any of the records makes the worker search for its row."""
    return any(isinstance(one.outcome, Change) and one.outcome.locates for one in observed)


def tenant_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield which case holds for this source."""
    changes = [(one, change) for one in observed if (change := one.change) is not None]
    if not changes:
        return
    column = rules.tenant_column
    in_key = sum(column in change.key for _, change in changes)
    if in_key == len(changes) and not all(one.form is Form.CHANGE_EVENT for one, _ in changes):
        yield tenant_key_finding(changes, rules, _LOCATE)
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
    "only a search for the row's document can tell, which costs each such batch a search on all shards and the index a "
    "refresh a second, and needs the privilege 'maintenance'"
)


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
