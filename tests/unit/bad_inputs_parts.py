"""What a row of the table of bad inputs is made of; the table itself is `bad_inputs.ALL`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests import builders
from worker.errors import RejectReason, SkipReason
from worker.records import Operation, Record, Stored
from worker.stages.rules import FieldRule, FieldType, OnBadField, SourceRules

Outcome = Operation | SkipReason | RejectReason
RULES = builders.rules()
TRUSTING = builders.rules(trusts_before=True)


@dataclass(frozen=True, slots=True)
class Case:
    """One record and what reading it gives.

    `says` are words that a rejection's message must hold. Of an upsert: `fields` are some of its document's fields,
    `document_id` its id, `text` what is embedded, `positioned` whether it has a version of its own, `timed`
    whether the source's time is known. `not_yet` tells why the present code does otherwise.
    """

    record: Record
    outcome: Outcome
    says: tuple[str, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)
    document_id: str | None = None
    text: str | None = None
    positioned: bool | None = None
    timed: bool | None = None
    absent: frozenset[str] = frozenset()
    rules: SourceRules = RULES
    format: str = "debezium"
    not_yet: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Records of one partition, and what an index shows in the end: ids and titles, or titles alone.

    The same whether they are planned one by one or coalesced first. `stored` is what the index held before;
    `rejections` are the reasons for which records are refused by the plan. A topic with rules of its own in `others`
    is another source.
    """

    records: tuple[Record, ...]
    live: Mapping[str, object] | tuple[str, ...]
    stored: Mapping[str, Stored] = field(default_factory=dict)
    rejections: tuple[RejectReason, ...] = ()
    rules: SourceRules = RULES
    others: Mapping[str, SourceRules] = field(default_factory=dict)
    not_yet: str | None = None


@dataclass(frozen=True, slots=True)
class BadInput:
    """One input: its number in the list, its name, and the outcome, as a person reads them."""

    number: int
    name: str
    outcome: str
    cases: tuple[Case | History, ...]
    later: tuple[RejectReason, ...] = ()
    """Reasons for which Elasticsearch may still make it a dead letter."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Reason codes of what does not become a document, in the order of the cases."""
        return tuple(dict.fromkeys([*self._codes(), *(reason.value for reason in self.later)]))

    def _codes(self) -> Iterator[str]:
        for case in self.cases:
            if isinstance(case, History):
                yield from (reason.value for reason in case.rejections)
            elif not isinstance(case.outcome, Operation):
                yield case.outcome.value

    @property
    def not_yet(self) -> tuple[str, ...]:
        """Why the present code does otherwise."""
        return tuple(dict.fromkeys(case.not_yet for case in self.cases if case.not_yet is not None))


def rejected(record: Record, reason: RejectReason, *says: str, **given: Any) -> Case:  # noqa: ANN401 - Case's fields
    return Case(record, reason, says, **given)


def skipped(record: Record, reason: SkipReason, **given: Any) -> Case:  # noqa: ANN401
    return Case(record, reason, **given)


def written(record: Record, **given: Any) -> Case:  # noqa: ANN401
    return Case(record, Operation.UPSERT, **given)


def deleted(record: Record, **given: Any) -> Case:  # noqa: ANN401
    return Case(record, Operation.DELETE, **given)


def history(*records: Record, live: Mapping[str, object] | tuple[str, ...], **given: Any) -> History:  # noqa: ANN401
    return History(records, live, **given)


def upsert(row: Mapping[str, object] | None = None, *, key: object = b'{"id":1}', **given: Any) -> Record:  # noqa: ANN401
    """An update of a row, `builders.row()` unless given; the rest is for the event."""
    return builders.record(builders.event("u", builders.row() if row is None else row, **given), key)


def at(record: Record, offset: int, topic: str = builders.TOPIC) -> Record:
    """The same record elsewhere in the log."""
    return replace(record, position=record.position._replace(offset=offset, topic=topic))


def column(value: object, schema: Mapping[str, object] | None = None) -> Record:
    """An update of a row whose column `value` is this; where a schema is given, the event has one."""
    event = builders.event("u", builders.row(value=value))
    if schema is None:
        return builders.record(event)
    after = {"field": "after", "type": "struct", "fields": [{"field": "value", **schema}]}
    return builders.record({"schema": {"type": "struct", "fields": [after]}, "payload": event})


def field_rules(kind: FieldType = FieldType.AS_IS, *, on_bad: OnBadField = OnBadField.REJECT) -> SourceRules:
    """Rules with the field `value`, of this type."""
    return replace(RULES, fields=(*RULES.fields, FieldRule("value", "value", kind, on_bad=on_bad)))


def value_is(given: object, expected: object, kind: FieldType = FieldType.AS_IS) -> Case:
    """The column `value` without a schema: what the document holds."""
    return written(column(given), fields={"value": expected}, rules=field_rules(kind))


def value_is_refused(given: object, kind: FieldType, *says: str) -> Case:
    """The column `value` without a schema cannot be of the declared type."""
    record = column(given)
    return rejected(record, RejectReason.FIELD_INVALID, "'value'", kind.value, *says, rules=field_rules(kind))
