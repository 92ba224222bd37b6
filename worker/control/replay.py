"""`syncline dead-letters replay`: dead letters through the worker's own pipeline once more, beside the worker itself.

Nothing here writes: the pipeline does, with the versions that the records had when they were put aside. So a document
that is newer wins, as it would against any other late record. What versions cannot settle is refused before:

- a row that is not in the index may have been deleted so long ago that its tombstone is purged, or, where events do
  not tell what tenant a row leaves, deleted or moved without any mark at this place;
- a version of another `version_epoch` belongs to a history that was given up.

A change without a version of its own takes the highest version before it in its partition, and counts as older than
everything stored with that version: nobody can tell any more which came first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from typing_extensions import override

from worker.errors import Halt
from worker.ports import AssignmentListener, Commit, DeadLetters, Source
from worker.records import (
    Change,
    Decoded,
    Operation,
    Position,
    Record,
    RowChange,
    TopicPartition,
    Verdict,
)
from worker.runtime.clock import Clock
from worker.runtime.pipeline import Pipeline
from worker.runtime.sources import Decoder, SourceReaders
from worker.settings import DeliverySettings
from worker.settings.types import format_duration
from worker.settings.worker import Deletes
from worker.stages.dead_letters import PREFIX, Letter, Omitted
from worker.stages.ordering import comes_too_late
from worker.stages.rules import SourceRules
from worker.stages.tenants import believes_key

_BATCH_LETTERS: Final = 200
_BATCH_BYTES: Final = 8 * 1024 * 1024
_MARGIN_SECONDS: Final = 3600.0
_MARGIN_SHARE: Final = 0.1


class Outcome(StrEnum):
    """What became of one letter."""

    INDEXED = "indexed"
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    """Again, and for the reason that is told with it. It is not written to the dead-letter topic a second time."""
    REFUSED = "refused"
    """Not tried, because the row could end up wrong."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One letter's outcome, and what else there is to say of it."""

    letter: Letter
    outcome: Outcome
    detail: str = ""


Told = Callable[[Replayed], None]

_OUTCOMES: Final = {
    Verdict.INDEXED: Outcome.INDEXED,
    Verdict.DELETED: Outcome.DELETED,
    Verdict.SUPERSEDED: Outcome.SUPERSEDED,
    Verdict.SKIPPED: Outcome.SKIPPED,
    Verdict.DEAD_LETTERED: Outcome.REJECTED,
}
_KEY_WITHOUT: Final = "its key does not tell the tenant, so a later delete or move need not have left a mark here"
_ROW_ALONE: Final = "its tenant is in the row alone, so a later delete, which has none, need not have left a mark here"
_WRITE_AGAIN: Final = "write an event of the row again, if it still exists"
_UNORDERED: Final = "it has no version of its own, so what is stored may also be older: to be sure, snapshot its row"


def safe_seconds(delivery: DeliverySettings) -> float:
    """Return up to what age of a letter the tombstone of a later delete of its row is still there.

    A tenth of the retention, at most an hour, is kept back for clocks that differ and for the time that the replay
    itself takes.
    """
    kept = delivery.tombstone_retention
    return kept - min(_MARGIN_SECONDS, _MARGIN_SHARE * kept)


def without_breaker(delivery: DeliverySettings) -> DeliverySettings:
    """Return the settings for a replay: many letters in a row that are rejected again are no news."""
    return delivery.model_copy(update={"rejections_in_a_row": 0, "rejection_share": 1.0})


@dataclass(slots=True)
class _Batch:
    """Letters on their way, by the positions that their records have in the pipeline."""

    letters: dict[Position, Letter] = field(default_factory=dict)
    unordered: set[Position] = field(default_factory=set)
    """Changes that have no version of their own."""
    unmarked: dict[Position, str] = field(default_factory=dict)
    """Changes of rows that may later have gone without leaving a tombstone where this one puts its document; why."""
    plain: set[Position] = field(default_factory=set)
    """Changes of sources of which there are no snapshots: who writes their events can write one again."""
    rejections: dict[Position, str] = field(default_factory=dict)


class Replay(Source, DeadLetters):
    """The pipeline's source and the end of what it rejects: yields a batch, waits for its verdicts, yields the next.

    Belongs to no consumer group; there is nothing to commit.
    """

    def __init__(
        self,
        letters: AsyncIterator[Letter],
        readers: SourceReaders,
        delivery: DeliverySettings,
        told: Told,
        clock: Clock,
    ) -> None:
        self.readers = readers.decoding(self._as_it_was)
        """The sources' readers, which give every record the place in the order that it had."""
        self._letters = letters
        self._delivery = delivery
        self._told = told
        self._clock = clock
        self._pipeline: Pipeline | None = None
        self._listener: AssignmentListener | None = None
        self._epoch = 0
        self._batch = _Batch()
        self._next: Letter | None = None
        self._all_resolved = asyncio.Event()
        self._all_resolved.set()
        self.at_end = asyncio.Event()
        """Every letter has its outcome."""

    async def run(self, pipeline: Pipeline) -> None:
        """Run the pipeline, whose source this is, until every letter has its outcome or it is told to stop.

        A person waits for the end of a command: a halt ends it, where a worker would wait for it to lift itself.

        Raises:
            Halt: the fault is not the letters'; what was done until then is done.
        """
        self._pipeline = pipeline
        pipeline.ledger.on_resolved = self._resolved
        async with asyncio.TaskGroup() as group:
            watching = (
                group.create_task(self._stop_at_end(pipeline)),
                group.create_task(_end_at_halt(pipeline)),
            )
            await pipeline.run()
            for task in watching:
                task.cancel()

    async def _stop_at_end(self, pipeline: Pipeline) -> None:
        await self.at_end.wait()
        pipeline.stop()

    def _as_it_was(self, decode: Decoder) -> Decoder:
        def decode_with_its_order(record: Record, rules: SourceRules) -> Decoded:
            decoded = decode(record, rules)
            if not isinstance(decoded, RowChange):
                return decoded
            # A change event that tells no tenant apart from its row is of a source whose deletes tell none either.
            if decoded.tells_moves:
                self._batch.plain.add(record.position)
            if not (rules.trusts_before or (believes_key(rules) and rules.tenant_column in decoded.key)):
                self._batch.unmarked[record.position] = _ROW_ALONE if decoded.tells_moves else _KEY_WITHOUT
            letter = self._batch.letters.get(record.position)
            watermark = 0 if letter is None else letter.watermark or 0
            if decoded.version is not None:
                return replace(decoded, watermark=watermark)
            self._batch.unordered.add(record.position)
            return replace(decoded, version=watermark, watermark=watermark)

        return decode_with_its_order

    @override
    async def start(self, listener: AssignmentListener) -> None:
        self._listener = listener

    @override
    async def fetch(self) -> Sequence[Record]:
        """Return the next batch when the one before has its verdicts; never returns after the last."""
        await self._all_resolved.wait()
        while letters := await self._take():
            if records := await self._begin(letters):
                return records
        self.at_end.set()
        await asyncio.Event().wait()
        return []

    async def _take(self) -> list[Letter]:
        """The next letters; no two of one record, or the second's verdict could not be told from the first's."""
        taken: dict[Position, Letter] = {}
        size = 0
        while (letter := self._next or await anext(self._letters, None)) is not None:
            self._next = letter
            size += letter.record.size
            full = len(taken) == _BATCH_LETTERS or (taken and size > _BATCH_BYTES)
            if full or letter.record.position in taken:
                break
            taken[letter.record.position] = letter
            self._next = None
        return list(taken.values())

    async def _begin(self, letters: Sequence[Letter]) -> list[Record]:
        assert self._listener is not None, "start() comes first"
        self._epoch += 1
        at_work = {one.record.position._replace(epoch=self._epoch): one for one in letters}
        self._batch = _Batch(letters=at_work)
        for position in await self._refused():
            del at_work[position]
        if not at_work:
            return []
        self._all_resolved.clear()
        partitions = {position.topic_partition for position in at_work}
        await self._listener.assigned(self._epoch, dict.fromkeys(partitions, ""))
        return [replace(letter.record, position=position) for position, letter in at_work.items()]

    async def _refused(self) -> list[Position]:
        """Tell of the letters that must not be tried, and return their positions."""
        done: list[Position] = []
        doubtful: dict[Position, Change] = {}
        for position, letter in self._batch.letters.items():
            if (why := self._unfit(letter)) is not None:
                self._told(Replayed(letter, Outcome.REFUSED, why))
                done.append(position)
                continue
            change, _ = self.readers.of_topic(position.topic).read(replace(letter.record, position=position), 0)
            # A tombstone does no harm at any age.
            if (
                isinstance(change, Change)
                and change.operation is Operation.UPSERT
                and self._why_doubtful(position, letter)
            ):
                doubtful[position] = change
        return done + await self._refused_as_absent(doubtful)

    def _unfit(self, letter: Letter) -> str | None:
        if letter.omitted is not Omitted.NOTHING:
            at = letter.record.position
            return (
                f"its {letter.omitted} was too large for the dead-letter topic: it is at {at.topic}[{at.partition}] "
                f"offset {at.offset}, as long as that topic keeps it"
            )
        reader = self.readers.find(letter.record.position.topic)
        if reader is None:
            return f"no source reads topic {letter.record.position.topic}"
        then, now = letter.version_epoch or 0, reader.rules.version_epoch
        if then != now:
            return f"it was put aside under version_epoch {then}, and its source is at {now}: snapshot its row instead"
        return None

    def _why_doubtful(self, position: Position, letter: Letter) -> str | None:
        """Why an absent document may be one that was deleted since; None if its tombstone would be there."""
        if self._delivery.deletes is Deletes.HARD:
            return "with delivery.deletes hard nothing tells whether it was deleted since"
        if (why := self._batch.unmarked.get(position)) is not None:
            return why
        since = letter.age_from_ms
        if since is None:
            return "its record has no time, so nobody can tell whether the tombstone of a later delete is still kept"
        if self._clock.wall_ms() - since > 1000 * safe_seconds(self._delivery):
            kept = format_duration(self._delivery.tombstone_retention)
            return f"the letter is too old for delivery.tombstone_retention ({kept}): it may have been deleted since"
        return None

    async def _refused_as_absent(self, doubtful: Mapping[Position, Change]) -> list[Position]:
        """Of doubtful upserts only those are tried whose document, or its tombstone, is there and older."""
        if not doubtful:
            return []
        places = [change.place for change in doubtful.values()]
        assert self._pipeline is not None
        store = self._pipeline.store
        found = await self._pipeline.retrying.call("lookup", lambda: store.stored(places, bare=places))
        done = []
        for (position, change), stored in zip(doubtful.items(), found, strict=True):
            letter = self._batch.letters[position]
            if stored is None:
                why = self._why_doubtful(position, letter)
                remedy = _WRITE_AGAIN if position in self._batch.plain else "snapshot the row"
                self._told(Replayed(letter, Outcome.REFUSED, f"its row is not in the index, and {why}; {remedy}"))
            elif comes_too_late(change, stored):
                # Not left to the pipeline: the tombstone that says so may be purged before it looks.
                self._told(Replayed(letter, Outcome.SUPERSEDED, self._doubt(position)))
            else:
                continue
            done.append(position)
        return done

    def _doubt(self, position: Position) -> str:
        return _UNORDERED if position in self._batch.unordered else ""

    def _resolved(self, position: Position, verdict: Verdict, reason: str) -> None:
        letter = self._batch.letters.pop(position, None)
        if letter is None:
            return
        outcome = _OUTCOMES[verdict]
        match outcome:
            case Outcome.REJECTED:
                detail = self._batch.rejections.get(position, reason)
            case Outcome.SUPERSEDED:
                detail = self._doubt(position)
            case _:
                detail = reason
        self._told(Replayed(letter, outcome, detail))
        if not self._batch.letters:
            self._all_resolved.set()

    @override
    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        """Note why a letter is rejected again; the letter in the topic says enough already."""
        reason, message = headers[f"{PREFIX}reason"], headers[f"{PREFIX}message"]
        self._batch.rejections[_position_of(headers, self._epoch)] = f"{reason}: {message}"

    @override
    def pause(self) -> None:
        """Nothing: a batch is bounded, and the next waits for it anyway."""

    @override
    def resume(self) -> None:
        """Nothing, see `pause`."""

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Nothing: the letters stay where they are."""

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return {}

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        return {}

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        return {}

    @override
    async def close(self) -> None:
        """Nothing."""


async def _end_at_halt(pipeline: Pipeline) -> None:
    halting = pipeline.retrying.halting
    await halting.blocked()
    for reason, message in halting.reasons.items():
        raise Halt(reason, message)


def _position_of(headers: Mapping[str, str], epoch: int) -> Position:
    topic, partition, offset = (headers[f"{PREFIX}{name}"] for name in ("topic", "partition", "offset"))
    return Position(topic, int(partition), int(offset), epoch)
