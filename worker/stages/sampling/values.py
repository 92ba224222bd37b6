"""Large values that an update did not touch: what stands in for them, and where nothing does."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import ColumnType, Operation, RowChange
from worker.stages.conversion import UNAVAILABLE, is_unavailable
from worker.stages.findings import Finding, Level, counted, listed, note, warning
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Observed

_SUBJECT: Final = "large values"
_LOOKS_LIKE_ONE: Final = re.compile(
    r"[_<\[({#-][\w. -]{0,40}(unavailable|unchanged|toast)[\w. -]{0,40}[_>\])}#-]", re.IGNORECASE
)
_LOST_TYPES: Final = ("io.debezium.data.Bits", "VariableScaleDecimal", "Vector", "connect.data.Decimal")

Changes = Sequence[tuple[Observed, RowChange]]


def value_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield placeholders, those that the settings do not know, and values that Debezium is known to lose."""
    upserts = [
        (one, change) for one in observed if (change := one.change) is not None and change.operation is Operation.UPSERT
    ]
    yield from _placeholders(upserts, rules)
    yield from _unknown_placeholders(upserts, rules)
    yield from _lost(upserts, rules)


def _placeholders(upserts: Changes, rules: SourceRules) -> Iterator[Finding]:
    with_one = [
        {name for name in _mapped(rules) if is_unavailable(change.row.get(name), rules.unavailable_placeholder)}
        for _, change in upserts
    ]
    columns = set[str]().union(*with_one)
    if columns:
        yield note(
            _SUBJECT,
            f"{counted(sum(map(bool, with_one)), 'update')} left out {listed(columns)}, unchanged: taken from the "
            "stored document, or rejected where none is stored",
        )


def _unknown_placeholders(upserts: Changes, rules: SourceRules) -> Iterator[Finding]:
    """Debezium's own, where another is declared; and a text in marks such as `__...__` that reads like one."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    for one, change in upserts:
        for name in _mapped(rules):
            value = change.row.get(name)
            if is_unavailable(value, rules.unavailable_placeholder):
                continue
            is_default = is_unavailable(value, UNAVAILABLE)
            if is_default or (one.is_update and isinstance(value, str) and _LOOKS_LIKE_ONE.fullmatch(value)):
                seen[UNAVAILABLE if is_default else str(value)].add(name)
    for value, columns in sorted(seen.items()):
        yield Finding(
            _SUBJECT,
            Level.FAILURE if value == UNAVAILABLE else Level.WARNING,
            f"updates hold {value!r} in {listed(columns)}: it reads like a placeholder of a value that did not change, "
            f"but unavailable_placeholder is {rules.unavailable_placeholder!r}, so it would be indexed as text",
            "set unavailable_placeholder to the connector's unavailable.value.placeholder",
        )


def _lost(upserts: Changes, rules: SourceRules) -> Iterator[Finding]:
    """Only a suspicion: an update may well set a value to null. Where the old row comes along, nothing is lost."""
    updates = [(one, change) for one, change in upserts if one.is_update and one.before is None]
    if not updates or rules.trusts_before:
        return
    others = [change for one, change in upserts if not one.is_update]
    lost = {
        name
        for name in _mapped(rules)
        if all(name in change.row and change.row[name] is None for _, change in updates)
        and any(_may_be_lost(change, name) for change in others)
    }
    if lost:
        yield warning(
            _SUBJECT,
            f"null in every update, but not in other records: {listed(lost, 20)}. Debezium loses unchanged large "
            "values of such types, and the field would be emptied",
            "if the updates did not set them to null: REPLICA IDENTITY FULL on the table",
        )


def _may_be_lost(change: RowChange, name: str) -> bool:
    """Whether the column's type is one of those that Debezium writes as null; texts and JSON get the placeholder."""
    value = change.row.get(name)
    if value is None:
        return False
    column = None if change.columns is None else change.columns.get(name)
    if column is not None:
        return _is_lost_type(column)
    # Without a schema: an array, or numeric and vector in their JSON forms.
    return isinstance(value, list) or (isinstance(value, dict) and value.keys() == {"scale", "value"})


def _is_lost_type(column: ColumnType) -> bool:
    if column.base == "array":
        return column.items is None or column.items.base != "bytes" or column.items.logical is not None
    return column.logical is not None and column.logical.endswith(_LOST_TYPES)


def _mapped(rules: SourceRules) -> list[str]:
    return [rule.column for rule in rules.fields]
