"""How the records are written: the format that is declared, schemas, keys, records without a value."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from worker.records import Operation
from worker.stages.findings import Finding, Level, counted, failure, listed, note, ok, warning
from worker.stages.rules import FieldType, KeyMissing, SourceRules, TombstoneMeaning
from worker.stages.sampling.observed import Form, Observed

_YEAR_2000: Final = 946_684_800
_YEAR_2100: Final = 4_102_444_800


def form_findings(observed: Sequence[Observed], rules: SourceRules, declared: str) -> Iterator[Finding]:
    """Yield whether records are written as `format` declares."""
    forms: Counter[Form] = Counter(one.form for one in observed if one.form not in (Form.TOMBSTONE, Form.OTHER))
    if not forms:
        return
    found = ", ".join(f"{form} ({count})" if len(forms) > 1 else form for form, count in forms.most_common())
    wrong = _misdeclared(forms, declared)
    if wrong is not None:
        yield failure("format", f"the records are written as {found}, but format is {declared}", f"set format: {wrong}")
        return
    values = [one for one in observed if one.form in forms]
    schemas = sum(one.has_schema for one in values)
    told = "with schema" if schemas == len(values) else "without schema" if not schemas else f"{schemas} with schema"
    yield ok("format", f"{found}, {told}")
    times = set[str]().union(*(_bare_times(one, rules) for one in values))
    if times:
        yield note(
            "format",
            f"numbers that look like times, written as they are: {listed(times)}",
            "declare the type of these fields (epoch_millis, epoch_micros ...)"
            + ("" if declared == "change-event" else ", or set value.converter.schemas.enable=true"),
        )


def _bare_times(one: Observed, rules: SourceRules) -> set[str]:
    """Columns with a moment of this century in milli-, micro- or nanoseconds that neither schema nor settings name."""
    if one.has_schema or one.change is None:
        return set()
    return {
        rule.column
        for rule in rules.fields
        if rule.type is FieldType.AS_IS
        and type(value := one.change.row.get(rule.column)) is int
        and any(_YEAR_2000 <= value // unit < _YEAR_2100 for unit in (10**3, 10**6, 10**9))
    }


def _misdeclared(forms: Counter[Form], declared: str) -> str | None:
    events = forms[Form.CHANGE_EVENT]
    others = forms.total() - events
    if declared == "debezium" and events and not others:
        return "change-event"
    return "debezium" if declared == "change-event" and forms[Form.ENVELOPE] and not events else None


def key_findings(observed: Sequence[Observed], rules: SourceRules, declared: str) -> Iterator[Finding]:
    """Yield whether record keys name the rows; a change event says its key in the value."""
    if declared == "change-event":
        return
    changes = [(one, change) for one in observed if (change := one.change) is not None]
    keyless = sum(one.record.key is None for one, _ in changes)
    partly = {name for _, change in changes if change.key for name in rules.id_columns if name not in change.key}
    if keyless and rules.key_missing is KeyMissing.ROW:
        yield warning(
            "record keys",
            f"{keyless} of {counted(len(changes), 'row')} without a key: the changes of one row may lie in any "
            "partition, and those without a position have no order then",
            "give the table a primary key, or set message.key.columns of the connector",
        )
    if partly:
        columns = ", ".join(sorted(partly))
        yield warning(
            "record keys",
            f"not in the key: {columns}, of id; it is taken from the row, which a delete has not",
            f"put {columns} into the primary key or message.key.columns, or correct id of this source",
        )
    if changes and not keyless and not partly:
        yield ok("record keys", "hold every column of id")


def tombstone_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield whether records without a value mean what `tombstone` says."""
    tombstones = sum(one.form is Form.TOMBSTONE for one in observed)
    deletes = sum(
        one.change is not None and one.change.operation is Operation.DELETE and one.form is not Form.TOMBSTONE
        for one in observed
    )
    if not tombstones:
        if not deletes and any(one.form is Form.FLATTENED for one in observed):
            yield note(
                "deletes",
                "none was seen in any form; ExtractNewRecordState leaves them all out in mode 'drop'",
                "set delete.tombstone.handling.mode to another mode, if it is 'drop'",
            )
        return
    seen = f"{counted(tombstones, 'record')} without a value"
    follows = rules.tombstone is TombstoneMeaning.FOLLOWS_DELETE
    if follows and not deletes:
        flattened = any(one.form is Form.FLATTENED for one in observed)
        yield Finding(
            "tombstones",
            Level.FAILURE if flattened else Level.WARNING,
            f"{seen} would be skipped as following a delete, but no delete event was seen"
            + (": where rows come flattened, they are the deletes" if flattened else ""),
            "set tombstone: delete, unless the delete events are only not among the records read",
        )
    elif not follows and deletes:
        yield note(
            "tombstones",
            f"{seen}, and {counted(deletes, 'delete event')} beside them: each row is deleted twice",
            "set tombstone: follows_delete",
        )
    else:
        yield ok("tombstones", f"{seen}: {'each follows a delete' if follows else 'these are the deletes'}")
