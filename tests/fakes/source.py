"""A log in memory and a consumer group on it: the same promises as Kafka's, rebalances and failures to order."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from worker.errors import Halt, OperatorError
from worker.ports import AssignmentListener, Commit, CommitRefusedError, Source
from worker.records import Position, Record, TopicPartition
from worker.stages.start_offsets import OffsetPolicy, PartitionLog, after_loss, has_passed, older_partitions, start_of

_WAIT_SECONDS = 0.5


class Log:
    """Topics with their records, and what groups have committed. Outlives every consumer."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        """`topics` says how many partitions each has."""
        self.records: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic, number): [] for topic, count in topics.items() for number in range(count)
        }
        self.first: dict[TopicPartition, int] = dict.fromkeys(self.records, 0)
        self.commits: dict[tuple[str, TopicPartition], Commit] = {}
        self._groups: dict[str, Group] = {}

    def append(
        self,
        partition: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> int:
        """Add a record and return its offset."""
        records = self.records[partition]
        offset = len(records)
        records.append(Record(Position(*partition, offset), key, value, tuple(headers), timestamp_ms=offset))
        for group in self._groups.values():
            group.wake()
        return offset

    def add_partition(self, topic: str) -> TopicPartition:
        """Add a partition to a topic; the groups notice at their next rebalance."""
        added = TopicPartition(topic, 1 + max(one.partition for one in self.records if one.topic == topic))
        self.records[added] = []
        self.first[added] = 0
        return added

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Do what retention does."""
        self.first[partition] = offset
        for group in self._groups.values():
            group.wake()

    def end(self, partition: TopicPartition) -> int:
        return len(self.records[partition])

    def group(self, group_id: str) -> "Group":
        return self._groups.setdefault(group_id, Group(self, group_id))


class Group:
    """One consumer group. Every rebalance takes all partitions from all members and deals them out anew."""

    def __init__(self, log: Log, group_id: str) -> None:
        self.log = log
        self.id = group_id
        self.generation = 0
        self.members: list[FakeSource] = []
        self._one_at_a_time = asyncio.Lock()

    async def rebalance(self, change: Callable[[], object] = lambda: None) -> None:
        """Revoke from the members there are, change their number, and assign to those there are then."""
        async with self._one_at_a_time:
            await asyncio.gather(*(member.give_up() for member in self.members))
            change()
            self.generation += 1
            shares: list[list[TopicPartition]] = [[] for _ in self.members]
            topics = {topic for member in self.members for topic in member.topics}
            for number, partition in enumerate(sorted(one for one in self.log.records if one.topic in topics)):
                if shares:
                    shares[number % len(shares)].append(partition)
            await asyncio.gather(*map(_take_up, self.members, shares))

    def offsets(self) -> Mapping[TopicPartition, int]:
        """What the group has committed."""
        return {one: commit.offset for (group, one), commit in self.log.commits.items() if group == self.id}

    @property
    def caught_up(self) -> bool:
        """Whether all partitions have an owner, who has fetched all there is."""
        topics = {topic for member in self.members for topic in member.topics}
        lags = {partition: lag for member in self.members for partition, lag in member.lag().items()}
        wanted = {partition for partition in self.log.records if partition.topic in topics}
        return bool(wanted) and not self._one_at_a_time.locked() and lags.keys() == wanted and not any(lags.values())

    def wake(self) -> None:
        for member in self.members:
            member.wake.set()


async def _take_up(member: "FakeSource", partitions: Sequence[TopicPartition]) -> None:
    await member.take_up(partitions)


class FakeSource(Source):
    """One member of a group."""

    def __init__(
        self,
        log: Log,
        topics: Sequence[str],
        *,
        group_id: str = "syncline",
        start_from: OffsetPolicy = OffsetPolicy.EARLIEST,
        on_lost_offsets: OffsetPolicy = OffsetPolicy.FAIL,
        fetch_max_records: int = 500,
    ) -> None:
        self.topics = tuple(topics)
        self.group = log.group(group_id)
        self.wake = asyncio.Event()
        self.epoch = 0
        self.paused = False
        self.commit_faults: deque[Exception] = deque()
        """What the next commits raise instead."""
        self.on_commit: list[Callable[[Mapping[TopicPartition, Commit]], object]] = []
        """Called with every commit that is accepted."""
        self._log = log
        self._start_from = start_from
        self._on_lost_offsets = on_lost_offsets
        self._max_records = fetch_max_records
        self._generation = -1
        self._rebalancing = True
        self._next: dict[TopicPartition, int] = {}
        self._waits_for: dict[TopicPartition, Mapping[TopicPartition, int]] = {}
        self._listener: AssignmentListener | None = None
        self._fault: Exception | None = None
        self._joining: asyncio.Task[None] | None = None

    @override
    async def start(self, listener: AssignmentListener) -> None:
        if missing := [topic for topic in self.topics if topic not in {one.topic for one in self._log.records}]:
            raise OperatorError(f"sources: topic {missing[0]!r} does not exist: correct its name, or create it first")
        self._listener = listener
        # As with Kafka, joining takes place in a task of the client's own.
        self._joining = asyncio.ensure_future(self.group.rebalance(lambda: self.group.members.append(self)))

    @override
    async def fetch(self) -> Sequence[Record]:
        self._raise_fault()
        if not (records := self._records()):
            self.wake.clear()
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self.wake.wait()
            except TimeoutError:
                return []
            self._raise_fault()
            records = self._records()
        return records

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _records(self) -> list[Record]:
        if self.paused or self._rebalancing:
            return []
        taken: list[Record] = []
        for partition in self.positions():
            if self._next[partition] < self._log.first[partition]:
                self._next[partition] = self._lost(partition, self._next[partition])
            start = self._next.pop(partition)
            waiting = self._log.records[partition][start : start + self._max_records - len(taken)]
            taken += [Record(Position(*partition, one.position.offset, self.epoch), *_content(one)) for one in waiting]
            # Put last again, so that no partition starves another.
            self._next[partition] = start + len(waiting)
        return taken

    @override
    def pause(self) -> None:
        self.paused = True

    @override
    def resume(self) -> None:
        self.paused = False
        self.wake.set()

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        if self.commit_faults:
            raise self.commit_faults.popleft()
        if self._generation != self.group.generation or not commits.keys() <= self._next.keys():
            raise CommitRefusedError("the group has rebalanced")
        for partition, commit in commits.items():
            self._log.commits[self.group.id, partition] = commit
        for listener in self.on_commit:
            listener(commits)

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        commits = self.group.offsets()
        self._waits_for = {one: ends for one, ends in self._waits_for.items() if not has_passed(commits, ends)}
        return {one: offset for one, offset in self._next.items() if one not in self._waits_for}

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        return {partition: self._log.end(partition) for partition in self._next}

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        first = self._log.first
        return {one: max(0, self._log.end(one) - max(offset, first[one])) for one, offset in self._next.items()}

    @override
    async def close(self) -> None:
        if self._joining is not None:
            await self._joining
        if self in self.group.members:
            self.group.members.remove(self)  # who leaves is not asked to give anything back
            await self.group.rebalance()

    async def rebalance(self) -> None:
        """Take all partitions from everybody and deal them out again, as when a member has come or gone."""
        await self.group.rebalance()

    async def expire(self) -> None:
        """Be thrown out by the group as one that sent no heartbeat; notice it afterwards, and join again."""
        self.group.members.remove(self)
        await self.group.rebalance()
        await self.give_up()
        await self.group.rebalance(lambda: self.group.members.append(self))

    async def give_up(self) -> None:
        """Let the listener finish with what this member has."""
        assert self._listener is not None, "start() comes first"
        self._rebalancing = True
        if self._next:
            await self._listener.revoked(frozenset(self._next))
            self.epoch += 1
            self._next = {}

    async def take_up(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin an assignment."""
        assert self._listener is not None, "start() comes first"
        self.epoch += 1
        self._generation = self.group.generation
        try:
            commits = {partition: self._log.commits.get((self.group.id, partition)) for partition in partitions}
            self._waits_for = {}
            self._next = {partition: self._start(partition) for partition in partitions}
            metadata = {one: "" if commit is None else commit.metadata for one, commit in commits.items()}
            await self._listener.assigned(self.epoch, metadata)
        except Halt as fault:
            self._fault = fault
        self._rebalancing = False
        self.wake.set()

    def _start(self, partition: TopicPartition) -> int:
        commit = self._log.commits.get((self.group.id, partition))
        older = older_partitions(partition, self.group.offsets())
        if older:
            self._waits_for[partition] = {one: self._log.end(one) for one in older}
        return start_of(
            partition,
            PartitionLog(
                self._log.first[partition], self._log.end(partition), None if commit is None else commit.offset
            ),
            added=bool(older),
            start_from=self._start_from,
            on_lost=self._on_lost_offsets,
        ).offset

    def _lost(self, partition: TopicPartition, offset: int) -> int:
        log = PartitionLog(self._log.first[partition], self._log.end(partition))
        return after_loss(partition, log, offset, self._on_lost_offsets)


def _content(record: Record) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...], int]:
    return record.key, record.value, record.headers, record.timestamp_ms
