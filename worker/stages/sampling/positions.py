"""Whether the changes carry positions, and whether these order the changes of a row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from worker.records import Operation, RowChange
from worker.stages.findings import Finding, counted, note, ok, warning
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Form, Observed, row_of

_SUBJECT: Final = "positions"
_EPOCH: Final = "raise version_epoch by one after a failover, a restore, or a reset of these logs"
_OWN_ORDER: Final[Mapping[str, str]] = {
    "mysql": "the order is that of this server's binlog files, which another server or a reset begins anew",
    "mariadb": "the order is that of this server's binlog files, which another server or a reset begins anew",
    "sqlserver": "the order is that of this database's log, which a restore begins anew",
}
_NO_ORDER: Final[Mapping[str, str]] = {
    "mongodb": "changes within a transaction have no position, and others need their ordinal",
    "sqlserver": "rows of the initial snapshot have none",
}
_ADD: Final = (
    "add.fields=op,source.lsn,source.ts_ms and add.headers=op,source.lsn of ExtractNewRecordState (MySQL: source.file, "
    "source.pos, source.row)"
)

Placed = Sequence[tuple[Observed, RowChange]]


def position_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield how many changes have a position, and whether it rises for each row within its partition."""
    changes = [(one, change) for one in observed if (change := one.change) is not None]
    if not changes:
        return
    found = [*_unpositioned(changes, rules), *_disordered(changes, rules)]
    if not any(finding.fix for finding in found) and any(change.version is not None for _, change in changes):
        yield ok(_SUBJECT, "rise with the changes of each row, and fit into 56 bits")
    yield from found
    connectors = {name for one, _ in changes if isinstance(name := one.source.get("connector"), str)}
    if rules.version_column is None:
        for told in sorted({_OWN_ORDER[name] for name in connectors & _OWN_ORDER.keys()}):
            yield note(_SUBJECT, told, _EPOCH)


def _unpositioned(changes: Placed, rules: SourceRules) -> Iterator[Finding]:
    without = [(one, change) for one, change in changes if change.version is None]
    snapshot = sum(_of_incremental_snapshot(one) for one, _ in without)
    if snapshot:
        yield note(
            _SUBJECT,
            f"none in {counted(snapshot, 'row')} of an incremental snapshot: the place in the partition orders them",
        )
    others = [(one, change) for one, change in without if not _of_incremental_snapshot(one)]
    if others:
        yield from _missing(others, len(changes), rules)


def _missing(without: Placed, changes: int, rules: SourceRules) -> Iterator[Finding]:
    if rules.version_column is not None and all(change.operation is Operation.DELETE for _, change in without):
        yield note(
            _SUBJECT,
            f"none in {counted(len(without), 'delete')}, as always where column {rules.version_column!r} gives them: "
            "the place in the partition orders deletes",
        )
        return
    told = (
        f"none in {len(without)} of {counted(changes, 'change')}, such as {without[0][0].place}: the place in the "
        "partition orders them, which neither a replay nor another partition keeps"
    )
    forms = {one.form for one, _ in without}
    if forms <= {Form.FLATTENED, Form.TOMBSTONE}:
        yield warning(_SUBJECT, told, _ADD)
    elif Form.CHANGE_EVENT in forms:
        yield warning(_SUBJECT, told, "write the property version into every change event, from the database's order")
    else:
        known = {_NO_ORDER[str(one.source.get("connector"))] for one, _ in without if _has_no_order(one)}
        why = f" ({'; '.join(sorted(known))})" if known else ""
        yield warning(_SUBJECT, f"{told}{why}", "declare a column that orders the table's changes as version")


def _of_incremental_snapshot(one: Observed) -> bool:
    """Flattened, such a row has the names of a position, but no values."""
    named = {name for name in one.metadata if name.endswith(("_lsn", "_file", "_ord"))}
    return one.source.get("snapshot") == "incremental" or (
        bool(named) and all(one.metadata[name] is None for name in named)
    )


def _has_no_order(one: Observed) -> bool:
    return one.source.get("connector") in _NO_ORDER


def _disordered(changes: Placed, rules: SourceRules) -> Iterator[Finding]:
    newest: dict[tuple[object, ...], tuple[int, RowChange]] = {}
    fell: list[Observed] = []
    equal: list[Observed] = []
    for one, change in sorted(changes, key=lambda pair: pair[0].record.position):
        if change.version is None:
            continue
        row = (*one.record.position.topic_partition, *row_of(change, rules))
        before = newest.get(row)
        if before is not None and change.version < before[0]:
            fell.append(one)
            continue
        if before is not None and change.version == before[0] and _differ(change, before[1]):
            equal.append(one)
        newest[row] = (change.version, change)
    if fell:
        yield warning(
            _SUBJECT,
            f"{counted(len(fell), 'change')} with a lower position than an earlier change of the row, such as "
            f"{fell[0].place}: superseded, as they should be if the connector sent them again",
            _must_rise(rules) if rules.version_column else "if the database was restored or failed over: " + _EPOCH,
        )
    if equal:
        yield warning(
            _SUBJECT,
            f"{counted(len(equal), 'change')} with the position of another change of the row, such as "
            f"{equal[0].place}: only the first of them counts",
            _must_rise(rules)
            if rules.version_column
            else "declare a column that orders the table's changes as version",
        )


def _differ(one: RowChange, other: RowChange) -> bool:
    try:
        return one.operation is not other.operation or one.row != other.row
    except RecursionError:  # a column that no field names may be nested to any depth
        return False


def _must_rise(rules: SourceRules) -> str:
    return f"{rules.version_column} must rise with every change of the table: take a sequence, or microseconds"
