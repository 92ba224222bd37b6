"""The values that flow through the worker: immutable, without behaviour beyond small derivations.

    Record  --decode-->  Decoded  --map-->  Change  --coalesce-->  Unit  --plan-->  DocumentWrite  --bulk-->  Verdict

Bytes and counts are plain integers, times are milliseconds since the epoch where a name ends in `_ms`. What is made for
every record is a named tuple, or a dataclass that is not frozen and that nobody alters all the same: a frozen one takes
three times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

from worker.errors import RejectReason, SkipReason

_OBJECT_BYTES: Final = 4096


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


# What `TopicPartition(...)` calls, at half its price: it is asked for four times a record.
_partition_of: Final = partial(tuple.__new__, TopicPartition)


class Position(NamedTuple):
    """Where a record stands in the log, and under which assignment it was fetched.

    `epoch` rises with every assignment of partitions to this process. Work of an older epoch may still finish, but
    its offsets belong to somebody else by then and are never committed.
    """

    topic: str
    partition: int
    offset: int
    epoch: int = 0

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition without the offset."""
        return _partition_of(self[:2])


@dataclass(slots=True)
class Record:
    """One Kafka record as it came: raw bytes, so that nothing in it can wedge the consumer. Nobody alters it."""

    position: Position
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = 0
    size: int = field(init=False, compare=False, repr=False)
    """Bytes of key, value and headers: what the record costs while it is in flight."""

    def __post_init__(self) -> None:
        self.size = len(self.key or b"") + len(self.value or b"")
        for name, value in self.headers:
            self.size += len(name) + len(value or b"")

    @property
    def cost(self) -> int:
        """Estimated bytes of memory while the record is in flight: its bytes, their parsed form, the objects around.

        Measured on rows of 0.25 to 10 KB: about 4 KB a record and twice its bytes.
        """
        return 2 * self.size + _OBJECT_BYTES


class Operation(StrEnum):
    """What a change does to its row."""

    UPSERT = "upsert"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a Kafka Connect schema says of a column.

    `base` is Connect's type (`int64`, `string`, `bytes`, `struct`, `array`, `map` ...), `logical` the schema's name
    (`io.debezium.time.MicroTimestamp`), if it has one, `parameters` its parameters (`scale`), `items` the type of an
    array's elements or of a map's values, `default` what stands for a value that is missing.
    """

    base: str
    logical: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    items: "ColumnType | None" = None
    default: object = None


@dataclass(slots=True)
class RowChange:
    """One decoded event, still in terms of the database: columns, not document fields. Nobody alters it.

    `key` holds the columns of the Kafka key, `before` only columns that may be believed (all of them where the
    source is declared REPLICA IDENTITY FULL, none otherwise: Debezium fills absent NOT NULL columns with type
    defaults). `version` is None for an event without a source position. `columns` tells what the row's values are
    where the event carried its schema, None where it did not. `former_key` holds the key columns that the row had
    before its key changed, `new_key` those that it has since, where a header of the one half or the other tells them.
    `tells_moves` is True where a row cannot change its tenant
    unseen: `before` holds the old row if there was one, or whoever wrote the event says a move in another way.
    `watermark` is the highest version before it in its partition where that is known from elsewhere: of a dead letter.
    """

    operation: Operation
    key: Mapping[str, object]
    row: Mapping[str, object]
    before: Mapping[str, object]
    version: int | None
    source_ts_ms: int | None
    columns: Mapping[str, ColumnType] | None = None
    former_key: Mapping[str, object] = field(default_factory=dict)
    tells_moves: bool = False
    new_key: Mapping[str, object] = field(default_factory=dict)
    watermark: int | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A record that needs nothing done, and why."""

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that can never be indexed as it is: why, in a bounded code and in a sentence for a person.

    `place` is where its document would have been, where that was known before the fault was found. `departure` is the
    deletion of its row at the place that it has left, where the record tells that in spite of its fault: whatever the
    row is now, a reader of its former tenant must not go on seeing it.
    """

    reason: RejectReason
    message: str
    place: "Place | None" = field(default=None, compare=False)
    departure: "Change | None" = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    """A table was emptied: every row of it whose last change has a version below this one is gone."""

    version: int


Decoded = RowChange | Truncate | Skip | Rejection


class Place(NamedTuple):
    """Where a document lives: identity and routing always travel together."""

    document_id: str
    tenant: str


class Stay(NamedTuple):
    """When a row was at a place: from one version on, and before another. 0 where no event tells when it came."""

    since: int
    until: int


class RowPlace(NamedTuple):
    """A document of a row: the row's source key, and where the document lives."""

    key: str
    place: Place


class LogPlace(NamedTuple):
    """Where the record stands in the log that a document was written from last.

    `watermark` is the highest version in its partition up to it, its own included.
    """

    topic: str
    partition: int
    offset: int
    watermark: int


@dataclass(slots=True)
class Change:
    """One event in terms of documents. Nobody alters it.

    `key` is the source key: the source's name and the row's primary key, unique over all tenants. `left` are the
    places that the row is known to have left: each of them gets a tombstone. `fields` maps document paths to values;
    `absent` names those whose column the event did not carry (an unchanged TOAST value), `nulled` those whose value
    could not be converted and is null by the operator's choice. `former` are places where the row was before its key
    changed, and when, maybe more than once, and at its present one, too: values may be taken from there, but nothing is
    written, the other half of the key change does that. `follows` is the source key that the row had before. `leads`
    is True for the deletion of a former key whose values the row's new one may have to take: the new one goes first.
    `born` is the version at which the row came under its present key, 0 where no event tells: what is stored there from
    before was another row, but for its own former stays.
    `positioned` is False where `version` is only the partition's watermark; such a change is written with
    `external_gte`. `inherited` names fields whose value comes from an older change that this one hides, with that
    change's version: if something newer than it is stored, that counts. `left_at` gives for places that only hidden
    changes mention the newest version that does: a tombstone that is as new says all there is to say. `hides` is the
    highest version of the positioned changes that an unpositioned one hides. `watermark` is the highest version among
    the records before it in its partition: above its own where its transaction was open while others committed.

    `locates` is True where only the index knows all places of the row; those that it knows become part of `left`.
    `key_places` belong to the row's source key alone, whatever its tenant, or to its source (`stages/truncate.py`): a
    delete that does not know the tenant has its `place` there, and a change of any tenant gives way to a newer
    tombstone there. `doubt` is what a delete ends with if nothing is stored at its place: its tenant may be made up.
    `rejection` is what its record ends with, whatever it writes: see `Rejection.departure`.
    """

    record: Record
    source: str
    key: str
    operation: Operation
    place: Place
    version: int
    positioned: bool
    source_ts_ms: int | None
    left: frozenset[Place] = frozenset()
    fields: Mapping[str, object] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    former: Mapping[Place, tuple[Stay, ...]] = field(default_factory=dict)
    nulled: frozenset[str] = frozenset()
    locates: bool = False
    key_places: frozenset[Place] = frozenset()
    doubt: Rejection | None = None
    inherited: Mapping[str, int] = field(default_factory=dict)
    left_at: Mapping[Place, int] = field(default_factory=dict)
    hides: int = 0
    watermark: int = 0
    rejection: Rejection | None = None
    follows: str | None = None
    leads: bool = False
    born: int = 0

    @property
    def log_place(self) -> LogPlace:
        """Where its record stands in the log."""
        at = self.record.position
        return LogPlace(at.topic, at.partition, at.offset, max(self.version, self.watermark))


def needs_whole(change: Change) -> bool:
    """Whether a change needs the whole document that is stored: see `Unit.whole_places`."""
    return bool(change.absent or change.inherited) or not change.positioned


class Unit(NamedTuple):
    """All waiting changes of one row, resolved together: the newest one, and the positions of those it hides.

    The change's `left` already holds the places that hidden changes mention.
    """

    change: Change
    hidden: tuple[Position, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place to look up, each once: its own, those that the row left, of a former key, of its source key."""
        change = self.change
        if not (change.left or change.former or change.key_places):
            return (change.place,)
        rest = (*sorted(change.left), *sorted(change.former), *sorted(change.key_places))
        return tuple(dict.fromkeys((change.place, *rest)))

    @property
    def whole_places(self) -> tuple[Place, ...]:
        """The places whose whole document is needed: for values that the event left out, or to be compared with it."""
        change = self.change
        if change.absent or change.inherited:
            return self.places
        return () if change.positioned else (change.place,)

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions of all its records; the newest change's comes last."""
        return (*self.hidden, self.change.record.position)


@dataclass(slots=True)
class Stored:
    """What Elasticsearch holds at one place: `sync.*`, the vector, and the whole body where it was asked for. Nobody
    alters it.

    `log_place` is kept where the version alone does not tell what came before it and what after it in the log.
    """

    version: int
    deleted: bool
    text_hash: str | None = None
    model: str | None = None
    vector: tuple[float, ...] | None = None
    body: Mapping[str, object] = field(default_factory=dict)
    log_place: LogPlace | None = None


@dataclass(frozen=True, slots=True)
class OldTombstone:
    """One tombstone as a search found it: `sequence` and `term` name this very write of it, and no later one."""

    index: str
    document_id: str
    routing: str
    sequence: int
    term: int
    deleted_at_ms: int


class Removal(StrEnum):
    """What became of a tombstone that was to be removed."""

    REMOVED = "removed"
    CHANGED = "changed"
    """It is not the one that was found: its row is there again, or was deleted again."""
    GONE = "gone"
    FAILED = "failed"


class VersionType(StrEnum):
    """How Elasticsearch compares the given version with the stored one: `>` or `>=`."""

    EXTERNAL = "external"
    EXTERNAL_GTE = "external_gte"


class DocumentWrite(NamedTuple):
    """One bulk item, already serialised: retries send the same bytes again and never embed twice."""

    place: Place
    version: int
    version_type: VersionType
    body: bytes
    tombstone: bool
    hard: bool = False
    """A delete in earnest, without a body, in place of a tombstone."""


class ItemResponse(NamedTuple):
    """What Elasticsearch said of one bulk item."""

    status: int
    error_type: str = ""
    reason: str = ""
    dropped: bool = False
    """An ingest pipeline has dropped the document: nothing is stored."""


class Verdict(StrEnum):
    """What became of a record. Every record consumed is counted under exactly one of these."""

    INDEXED = "indexed"
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    DEAD_LETTERED = "dead_lettered"
