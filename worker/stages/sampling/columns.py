"""Which columns the rows have that the settings do not know, and the other way round."""

from collections.abc import Iterator, Sequence

from worker.records import Operation
from worker.stages.decode.headers import PREFIX
from worker.stages.findings import Finding, Level, counted, listed, note, ok
from worker.stages.mapping import undeclared_columns
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Observed


def column_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield columns that no field takes, and fields whose column is in no row, or not in all."""
    rows = [
        change.row for one in observed if (change := one.change) is not None and change.operation is Operation.UPSERT
    ]
    if not rows:
        return
    found = [*_never_there(rows, rules), *_unused(rows, rules)]
    yield from found or [ok("columns", f"of {counted(len(rows), 'row')} are those that the settings name")]


def _never_there(rows: Sequence[object], rules: SourceRules) -> Iterator[Finding]:
    seen = [set(row) for row in rows if isinstance(row, dict)]
    for rule in rules.fields:
        there = sum(rule.column in names for names in seen)
        if there == len(seen):
            continue
        fix = f"correct 'from' of field {rule.name}, or give it a default"
        seen_in = f"column {rule.column!r} of field {rule.name!r} is in {there or 'none'} of {len(seen)} rows"
        if rule.has_default:
            yield note("columns", f"{seen_in}: the field is {rule.default!r} there", fix)
        else:
            level = Level.WARNING if there else Level.FAILURE
            yield Finding("columns", level, f"{seen_in}: a row without it is rejected", fix)


def _unused(rows: Sequence[object], rules: SourceRules) -> Iterator[Finding]:
    unused = {
        name
        for row in rows
        if isinstance(row, dict)
        for name in undeclared_columns(row, rules)
        if not name.startswith(PREFIX)
    }
    if unused:
        yield note("columns", f"no field takes: {listed(unused)}", "name them in fields, or in drop")
