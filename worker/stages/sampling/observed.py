"""One record as a check sees it: what the worker would make of it, and beside it the event as it stands there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from worker.records import Change, Decoded, Record, Rejection, RowChange, Skip, Truncate
from worker.stages.decode.envelope import is_envelope
from worker.stages.decode.headers import PREFIX, metadata
from worker.stages.decode.json_values import parse, shown
from worker.stages.mapping import RowMapper
from worker.stages.rules import SourceRules
from worker.stages.tenants import TenantPlace, tenant_known

_CHANGE_EVENT: Final = frozenset({"upsert", "delete"})
_NOTHING: Final[Mapping[str, object]] = {}
_UPDATE: Final = "u"
_UNREADABLE: Final = object()
_SHOWN: Final = 1000
"""Characters of a column that names a row; as many tell any two rows apart."""

Decoder = Callable[[Record, SourceRules], Decoded]


class Form(StrEnum):
    """How a record's value is written."""

    ENVELOPE = "envelope"
    FLATTENED = "flattened row"
    CHANGE_EVENT = "change event"
    TOMBSTONE = "tombstone"
    OTHER = "something else"


@dataclass(frozen=True, slots=True)
class Observed:
    """`event` is the value where it is an object, its schema taken off; `metadata` what ExtractNewRecordState kept."""

    record: Record
    form: Form
    has_schema: bool
    event: Mapping[str, object]
    metadata: Mapping[str, object]
    decoded: Decoded
    outcome: Change | Truncate | Skip | Rejection

    @property
    def change(self) -> RowChange | None:
        """The row's change, where the record is one."""
        return self.decoded if isinstance(self.decoded, RowChange) else None

    @property
    def place(self) -> str:
        """Where the record is, for a person to look it up."""
        topic, partition, offset, _ = self.record.position
        return f"{topic}[{partition}] offset {offset}"

    @property
    def source(self) -> Mapping[str, object]:
        """Debezium's `source` block; empty where there is none."""
        source = self.event.get("source")
        return source if isinstance(source, dict) else _NOTHING

    @property
    def is_update(self) -> bool:
        """Whether the event says that a row was updated, not inserted or read by a snapshot."""
        return _UPDATE in (self.event.get("op"), self.metadata.get("__op"))

    @property
    def before(self) -> Mapping[str, object] | None:
        """The old row of an envelope, believed or not."""
        before = self.event.get("before")
        return before if isinstance(before, dict) else None


def observe(record: Record, decode: Decoder, mapper: RowMapper, rules: SourceRules) -> Observed:
    """Return what the worker would make of a record; `mapper` is of the same rules."""
    decoded = decode(record, rules)
    parsed = (None, None) if record.value is None else parse(record.value, "value")
    event, schema = (_UNREADABLE, None) if isinstance(parsed, Rejection) else parsed
    fields = event if isinstance(event, dict) else _NOTHING
    return Observed(
        record=record,
        form=_form(event, rules),
        has_schema=schema is not None,
        event=fields,
        metadata=_metadata(record, fields),
        decoded=decoded,
        # The watermark only gives a version to what has none.
        outcome=mapper.map(record, decoded, 0) if isinstance(decoded, RowChange) else decoded,
    )


def _metadata(record: Record, event: Mapping[str, object]) -> Mapping[str, object]:
    """As decoding reads it; a header that is null is a name without a value here, not nothing."""
    nulls = {name: None for name, value in record.headers if value is None and name.startswith(PREFIX)}
    return {**nulls, **metadata(record), **{name: event[name] for name in event if name.startswith(PREFIX)}}


def _form(event: object, rules: SourceRules) -> Form:
    if event is None:
        return Form.TOMBSTONE
    if not isinstance(event, dict):
        return Form.OTHER
    if is_envelope(event):
        return Form.ENVELOPE
    op = event.get("op")
    if isinstance(op, str) and op in _CHANGE_EVENT and isinstance(event.get("key"), dict):
        return Form.CHANGE_EVENT
    return Form.OTHER if rules.wanted_columns.isdisjoint(event) else Form.FLATTENED


def place_of_tenant(change: RowChange, rules: SourceRules) -> TenantPlace:
    """Return which part of the event holds the tenant."""
    return tenant_known(change, rules).where


def row_of(change: RowChange, rules: SourceRules) -> tuple[str, ...]:
    """Return a text for each column that names the row, the tenant among them where the key holds it."""
    names = (*rules.id_columns, *([rules.tenant_column] if rules.tenant_column in change.key else []))
    return tuple(shown(change.key.get(name, change.row.get(name, change.before.get(name))), _SHOWN) for name in names)
