"""What would become of the records: how many are indexed, deleted, skipped, rejected, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from worker.errors import RejectReason
from worker.records import Operation, Rejection, Skip, Truncate
from worker.stages.decode.json_values import cut
from worker.stages.findings import Finding, Level, counted, note, ok, warning
from worker.stages.sampling.observed import Form, Observed

_MESSAGE: Final = 400
_MASS: Final = 0.5
"""Beyond this share the fault is not the records'."""
_CONVERTER: Final = (
    "set key.converter and value.converter of the connector to org.apache.kafka.connect.json.JsonConverter, or take "
    "the topic out of this source"
)
_FIXES: Final = {
    RejectReason.INVALID_JSON: _CONVERTER,
    RejectReason.NOT_AN_EVENT: "correct topics, format or fields of this source",
    RejectReason.WRONG_TABLE: "correct topics or table of this source",
    RejectReason.UNSUPPORTED_OPERATION: (
        "set truncate: delete_all, or rebuild the index after a truncate; skipped.operations=t hides it"
    ),
    RejectReason.ROW_MISSING: (
        "let the connector write the whole row: REPLICA IDENTITY other than NOTHING, and for MongoDB "
        "capture.mode=change_streams_update_full"
    ),
    RejectReason.KEY_MISSING: "give the table a primary key, or set message.key.columns; correct id of this source",
    RejectReason.TENANT_MISSING: "correct tenant of this source, or the rows that have no tenant",
    RejectReason.TENANT_UNKNOWN: "see the line 'tenant'",
    RejectReason.POSITION_INVALID: "declare a column that orders the table's changes as version of this source",
    RejectReason.FIELD_INVALID: "correct fields of this source: from, type, default, or on_bad_field: null",
}
_CHANGE_EVENT_FIXES: Final = {
    RejectReason.INVALID_JSON: "write JSON objects, as docs/change-events.md has them, or take the topic out",
    RejectReason.NOT_AN_EVENT: "write only the properties that docs/change-events.md lists; correct topics or format",
    RejectReason.ROW_MISSING: "write the whole row into every upsert, as property row",
    RejectReason.KEY_MISSING: "write the columns of the primary key as property key; correct id of this source",
    RejectReason.TENANT_UNKNOWN: "name the property tenant in every event, deletes included",
    RejectReason.POSITION_INVALID: "write the property version as a whole number that rises with every change",
    RejectReason.UNKNOWN_OPERATION: "write op as upsert or delete",
}
"""Where these differ: who writes such events has no connector and no replica identity to set."""
_OTHER_FIX: Final = "look at the record, and correct the settings of this source or what writes the record"


def outcome_findings(
    observed: Sequence[Observed], *, dead_letters: bool, declared: str = "debezium"
) -> Iterator[Finding]:
    """Yield what would become of the records. Without a dead-letter topic a rejected record stops the worker."""
    rejected = sum(isinstance(one.outcome, Rejection) for one in observed)
    told = _told(observed)
    yield ok("records", told) if rejected < len(observed) else note("records", told)
    fixes = _FIXES | _CHANGE_EVENT_FIXES if declared == "change-event" else _FIXES
    yield from _rejections(observed, fixes, dead_letters=dead_letters)
    if observed and all(isinstance(one.decoded, Skip) and one.form is not Form.TOMBSTONE for one in observed):
        yield warning(
            "rows", "not one of the records is a row: they are heartbeats, transactions or the like", "correct topics"
        )


def _told(observed: Sequence[Observed]) -> str:
    verdicts: Counter[str] = Counter()
    for one in observed:
        match one.outcome:
            case Skip(reason):
                verdicts[f"skipped ({reason})"] += 1
            case Rejection():
                verdicts["rejected"] += 1
            case Truncate():
                verdicts["truncating the table"] += 1
            case _:
                change = one.change
                deleted = change is not None and change.operation is Operation.DELETE
                verdicts["to delete" if deleted else "to index"] += 1
    order = ("to index", "to delete")
    first = [f"{verdicts.pop(name)} {name}" for name in order if name in verdicts]
    return ", ".join([*first, *(f"{count} {name}" for name, count in sorted(verdicts.items()))])


def _rejections(
    observed: Sequence[Observed], fixes: Mapping[RejectReason, str], *, dead_letters: bool
) -> Iterator[Finding]:
    by_reason: defaultdict[RejectReason, list[tuple[Observed, str]]] = defaultdict(list)
    for one in observed:
        if isinstance(one.outcome, Rejection):
            by_reason[one.outcome.reason].append((one, one.outcome.message))
    many = sum(map(len, by_reason.values())) > _MASS * len(observed)
    for reason, found in sorted(by_reason.items()):
        one, message = found[0]
        level = Level.FAILURE if many or not dead_letters else Level.WARNING
        example = f"{one.place}: {cut(message, _MESSAGE)}"
        goes = (
            "a dead letter each"
            if dead_letters
            else "and without kafka.dead_letter_topic the first one stops the worker"
        )
        sentence = f"{counted(len(found), 'record')} would be rejected as {reason}, {goes}; such as {example}"
        yield Finding("rejected", level, sentence, fixes.get(reason, _OTHER_FIX))
