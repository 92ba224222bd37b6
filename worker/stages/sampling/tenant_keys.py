"""A tenant in the Kafka key: whether deletes tell it, and whether `tenant_in_key` is as the feed shows it.

Debezium makes a delete's key from the old row. A column that the database did not log is made up there, as 0, as an
empty text or as the column's default, which looks like any other tenant: only other events of the row give it away.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from worker.records import Operation, RowChange
from worker.stages.decode.json_values import shown
from worker.stages.findings import Finding, counted, failure, note, ok, warning
from worker.stages.rules import SourceRules, TenantInKey
from worker.stages.sampling.observed import Observed
from worker.stages.tenants import looks_made_up

_FEWEST: Final = 2
"""Deletes that must contradict the rows' other events before these are believed: one may be of a row that moved."""
_FULL: Final = "set REPLICA IDENTITY FULL on the table, and replica_identity: full here"
_Row = tuple[str, ...]


def tenant_key_finding(changes: Sequence[tuple[Observed, RowChange]], rules: SourceRules, cost: str) -> Finding:
    """Return how it stands with a source whose keys all hold the tenant. `cost` says what locating rows costs."""
    column = rules.tenant_column
    deletes = [change for _, change in changes if change.operation is Operation.DELETE]
    made_up = _made_up([change for _, change in changes], rules)
    declared = rules.tenant_in_key is TenantInKey.MESSAGE_KEY
    if declared and (shared := _shared_rows(changes, rules)):
        return failure(
            "tenant",
            f"rows of several tenants have one {' and '.join(rules.id_columns)}, such as {', '.join(shared[0])}, and "
            "tenant_in_key: message_key makes them one row",
            "set tenant_in_key: primary_key",
        )
    if declared and not rules.trusts_before:
        if made_up or not deletes:
            return warning("tenant", f"the key of a delete does not tell {column!r}: {cost}", _FULL)
        return note(
            "tenant",
            f"the key of each of {counted(len(deletes), 'delete')} may tell {column!r}, but is not believed: {cost}",
            f"set tenant_in_key: primary_key, if {column!r} is part of the primary key",
        )
    if made_up:
        return failure(
            "tenant",
            f"the key holds {column!r}, but in {counted(len(made_up), 'delete')} as {shown(made_up[0].key[column])}: "
            "the column is not in the primary key, so the database did not log it and the connector made it up",
            f"{_FULL} (or USING INDEX, of an index with the tenant); or set tenant_in_key: message_key, and snapshot "
            "the table again",
        )
    seen = "" if deletes else " (no delete was seen)"
    return ok("tenant", f"{column!r} is in the key of every record: deletes and moves tell their tenant{seen}")


def _made_up(changes: Sequence[RowChange], rules: SourceRules) -> list[RowChange]:
    """Deletes whose tenant looks made up and is in no row, or contradicts what else is said of their rows."""
    column = rules.tenant_column
    kept = {repr(change.key[column]) for change in changes if change.operation is Operation.UPSERT}
    looking = [
        change
        for change in changes
        if change.operation is Operation.DELETE
        and looks_made_up(change.key[column], (change.columns or {}).get(column))
        and repr(change.key[column]) not in kept
    ]
    return looking or _contradicting(changes, rules)


def _contradicting(changes: Iterable[RowChange], rules: SourceRules) -> list[RowChange]:
    """Deletes that all name one tenant, of rows that were never seen under it; none where tenants share keys."""
    tenants: defaultdict[_Row, set[str]] = defaultdict(set)
    deletes = []
    for change in changes:
        if change.operation is Operation.UPSERT:
            tenants[_row(change, rules)].add(_tenant(change, rules))
        else:
            deletes.append(change)
    if any(len(of_row) > 1 for of_row in tenants.values()):
        return []
    known = [change for change in deletes if _row(change, rules) in tenants]
    against = [change for change in known if _tenant(change, rules) not in tenants[_row(change, rules)]]
    one_tenant = len({_tenant(change, rules) for change in against}) == 1
    return against if one_tenant and len(against) >= max(_FEWEST, len(known) / 2) else []


def _shared_rows(changes: Iterable[tuple[Observed, RowChange]], rules: SourceRules) -> list[_Row]:
    """Keys under which rows of several tenants were inserted, or read by a snapshot."""
    tenants: defaultdict[_Row, set[str]] = defaultdict(set)
    for one, change in changes:
        if change.operation is Operation.UPSERT and not one.is_update and not change.former_key:
            tenants[_row(change, rules)].add(_tenant(change, rules))
    return sorted(row for row, of_row in tenants.items() if len(of_row) > 1)


def _row(change: RowChange, rules: SourceRules) -> _Row:
    return tuple(shown(change.key.get(name, change.row.get(name))) for name in rules.id_columns)


def _tenant(change: RowChange, rules: SourceRules) -> str:
    return repr(change.row.get(rules.tenant_column, change.key[rules.tenant_column]))
