"""The account of every record consumed: open until it has a durable verdict, then counted under exactly one.

From it follow what may be committed, how much memory is in flight, how old the oldest open record is, and whether
there is progress.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import Counter

from worker.errors import SkipReason
from worker.metrics import Metrics
from worker.ports import Commit
from worker.records import Position, Record, TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.stages.offsets import PartitionProgress, parse_watermark, watermark_text

# Measured: an entry of `stages.offsets` with its numbers.
_KEPT_BYTES: Final = 256


def _unheard(_position: Position, _verdict: Verdict, _reason: str) -> None:
    return


class Ledger:
    """Belongs to one assignment at a time; what an earlier one left behind is finished but never committed."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._epoch: int | None = None
        self._partitions: dict[TopicPartition, PartitionProgress] = {}
        self._committed: dict[TopicPartition, Commit] = {}
        self._counted: dict[tuple[Verdict, str], Counter] = {}
        self._consumed: dict[str, Counter] = {}
        self._progressed_at_ms = 0
        self.bytes_in_flight = 0
        self.last_progress = clock.monotonic()
        # Asked for when somebody looks, in another thread: by then no clock of the event loop can be read.
        metrics.in_flight.set_function(lambda: self.bytes_in_flight)
        metrics.last_progress.set_function(lambda: self._progressed_at_ms / 1000)
        self.on_resolved: Callable[[Position, Verdict, str], object] = _unheard
        """Called with every verdict and its reason, when it is counted."""

    def begin(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        """Take over an assignment; the text is the metadata of each partition's last commit."""
        if lost := self.open_records:
            # Whoever has the partitions next reads them again; here they were consumed, and so they are counted.
            self._metrics.records.labels(Verdict.SKIPPED.value, SkipReason.LOST_ASSIGNMENT.value).inc(lost)
        self._epoch = epoch
        self._partitions = {
            partition: PartitionProgress(parse_watermark(metadata)) for partition, metadata in partitions.items()
        }
        self._committed = {}
        self.bytes_in_flight = 0
        self.last_progress = self._clock.monotonic()

    def end(self) -> None:
        """Give the assignment up: from here on its records are nobody's."""
        self.begin(-1, {})
        self._epoch = None

    @property
    def has_assignment(self) -> bool:
        """Whether this worker takes part in the group (perhaps with no partition at all)."""
        return self._epoch is not None

    def admit(self, record: Record) -> PartitionProgress | None:
        """Open an account for a record; None if its assignment is over, so that it must be dropped."""
        position = record.position
        progress = self._partitions.get(position.topic_partition)
        if position.epoch != self._epoch or progress is None:
            return None
        now = self._clock.monotonic()
        if not self.bytes_in_flight:  # progress is measured from when there was something to do
            self.last_progress = now
        cost = record.cost
        progress.fetched(position.offset, cost, now, record.timestamp_ms)
        self._consumed_of(position.topic).inc()
        self.bytes_in_flight += cost
        return progress

    def passed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Note where reading goes on in each partition. Call it when all records fetched before have been admitted."""
        for partition, position in positions.items():
            if (progress := self._partitions.get(partition)) is not None:
                progress.passed(position)

    def holds(self, position: Position) -> bool:
        """Whether a record belongs to the present assignment."""
        return position.epoch == self._epoch and position.topic_partition in self._partitions

    def resolve(self, position: Position, verdict: Verdict, reason: str = "") -> None:
        """Close a record's account with its verdict. Of a lost assignment: nothing happens."""
        self.resolve_all((position,), verdict, reason)

    def resolve_all(self, positions: Iterable[Position], verdict: Verdict, reason: str = "") -> None:
        """Close the accounts of records that end alike."""
        closed = [position for position in positions if self._close(position)]
        if not closed:
            return
        self._counter_of(verdict, reason).inc(len(closed))
        self.progressed()
        for position in closed:
            self.on_resolved(position, verdict, reason)

    def _close(self, position: Position) -> bool:
        progress = self._partitions.get(position.topic_partition)
        if position.epoch != self._epoch or progress is None:
            return False
        size = progress.resolve(position.offset)
        if size is None:
            return False
        self.bytes_in_flight -= size
        return True

    def progressed(self) -> None:
        """Note that work on a record goes on which takes long by nature, though none is resolved."""
        self.last_progress = self._clock.monotonic()
        self._progressed_at_ms = self._clock.wall_ms()

    def watermark_before(self, position: Position) -> int | None:
        """Return the watermark that an open record was read with; None if its assignment is lost."""
        progress = self._partitions.get(position.topic_partition)
        return None if position.epoch != self._epoch or progress is None else progress.watermark_before(position.offset)

    def commits(self) -> dict[TopicPartition, Commit]:
        """What has become committable since the last commit."""
        commits = {}
        for partition, progress in self._partitions.items():
            if (committable := progress.committable) is None:
                continue
            commit = Commit(committable.offset, watermark_text(committable.watermark))
            if self._committed.get(partition) != commit:
                commits[partition] = commit
        return commits

    def committed(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Remember what was committed."""
        self._committed.update(commits)

    @property
    def open_records(self) -> int:
        """How many records have no verdict yet."""
        return sum(progress.open_records for progress in self._partitions.values())

    @property
    def bytes_kept(self) -> int:
        """Estimated memory of all that is remembered of resolved records behind one that is not."""
        return _KEPT_BYTES * sum(progress.kept_records for progress in self._partitions.values())

    def open_by_partition(self) -> dict[TopicPartition, int]:
        """How many records of each partition have no verdict yet."""
        return {partition: progress.open_records for partition, progress in self._partitions.items()}

    def oldest_timestamps_ms(self) -> dict[TopicPartition, int]:
        """What time the oldest open record of each partition bears; a partition without an open one is missing."""
        times = {partition: progress.oldest_timestamp_ms for partition, progress in self._partitions.items()}
        return {partition: time for partition, time in times.items() if time is not None}

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest open record was fetched; 0 if none is open."""
        ages = [progress.oldest_fetched_at for progress in self._partitions.values()]
        known = [age for age in ages if age is not None]
        return self._clock.monotonic() - min(known) if known else 0.0

    def _consumed_of(self, topic: str) -> Counter:
        # To find a counter by its labels takes longer than to count.
        counter = self._consumed.get(topic)
        if counter is None:
            counter = self._consumed[topic] = self._metrics.consumed.labels(topic)
        return counter

    def _counter_of(self, verdict: Verdict, reason: str) -> Counter:
        counter = self._counted.get((verdict, reason))
        if counter is None:
            counter = self._counted[verdict, reason] = self._metrics.records.labels(verdict.value, reason)
        return counter
