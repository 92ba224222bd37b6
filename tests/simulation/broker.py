"""A Kafka broker, its group coordinator and the client in a worker, as far as a worker can tell them from real ones.

The broker is nobody's process: it goes on while workers die, freeze and come back. What a client does, its own task
does, inside the worker: a frozen worker does not answer the coordinator, and is thrown out when its session ends.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from worker.errors import Halt, OperatorError, RetryLater, RetryReason
from worker.ports import AssignmentListener, Commit, CommitRefusedError, Source
from worker.records import Position, Record, TopicPartition
from worker.stages.start_offsets import OffsetPolicy, PartitionLog, after_loss, has_passed, older_partitions, start_of

SESSION_SECONDS: Final = 10.0
REBALANCE_SECONDS: Final = 30.0
_FETCH_WAIT_SECONDS: Final = 2.0
_METADATA_SECONDS: Final = 3.0
"""After which the members notice that a topic has a partition more."""

Headers = Sequence[tuple[str, bytes | None]]


@dataclass
class Partition:
    """Its records by offset; None where compaction has removed one, or a transaction has left its marker."""

    records: list[Record | None] = field(default_factory=list)
    first: int = 0

    @property
    def end(self) -> int:
        return len(self.records)


@dataclass(frozen=True)
class CommitFault:
    """What happens to a commit: it fails, having been applied or not."""

    applied: bool


class Broker:
    """One topic and one consumer group."""

    def __init__(self, topic: str, partitions: int) -> None:
        self.partitions = {TopicPartition(topic, number): Partition() for number in range(partitions)}
        self.commits: dict[TopicPartition, Commit] = {}
        self.generation = 0
        self.rebalancing = False
        self.on_commit: Callable[[str, Mapping[TopicPartition, Commit]], object] = lambda _who, _commits: None
        self.on_event: Callable[[str], object] = lambda _what: None
        self._members: list[Client] = []
        self._joined: set[Client] = set()
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._coordinator: asyncio.Task[None] | None = None

    def append(self, partition: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
        """Add a record and return its offset."""
        held = self.partitions[partition]
        held.records.append(
            Record(Position(*partition, held.end), key, value, tuple(headers), timestamp_ms=1000 + held.end)
        )
        self._wake()
        return held.end - 1

    def append_marker(self, partition: TopicPartition) -> None:
        """Take an offset for what no consumer sees."""
        self.partitions[partition].records.append(None)
        self._wake()

    def add_partition(self) -> TopicPartition:
        """Add a partition; records may stand in it before anybody in the group knows it."""
        last = max(self.partitions)
        added = last._replace(partition=last.partition + 1)
        self.partitions[added] = Partition()
        if self._members:
            asyncio.get_running_loop().call_later(_METADATA_SECONDS, self.rebalance)
        return added

    def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Do what retention does."""
        self.partitions[partition].first = max(offset, self.partitions[partition].first)
        self._wake()

    def has_more(self, partition: TopicPartition) -> bool:
        """Whether records stand behind what is committed."""
        held, commit = self.partitions[partition], self.commits.get(partition)
        start = held.first if commit is None else max(held.first, commit.offset)
        return any(one is not None for one in held.records[start:])

    def _wake(self) -> None:
        for member in self._members:
            member.wake.set()

    # The group.

    def join(self, client: "Client") -> None:
        """Let a client in, or note that a member has given its partitions back."""
        if client not in self._members:
            self._members.append(client)
            self._wanted.set()
        elif not self.rebalancing:
            self._wanted.set()  # it has given back what nobody had asked for
        self._joined.add(client)
        self._changed.set()
        if self._coordinator is None:
            self._coordinator = asyncio.get_running_loop().create_task(self._coordinate(), context=Context())

    def leave(self, client: "Client") -> None:
        """Take a member out, by its own wish or because its session has ended."""
        if client in self._members:
            self._members.remove(client)
            self._joined.discard(client)
            self.on_event(f"{client.name} is out of the group")
            self._wanted.set()
            self._changed.set()

    def expel(self, client: "Client", notice_seconds: float) -> None:
        """Take a member out that has been silent for too long; it notices at its next heartbeat."""
        if client in self._members:
            self.leave(client)
            asyncio.get_running_loop().call_later(notice_seconds, client.tell_to_give_back)

    def rebalance(self) -> None:
        """Take all partitions from everybody and deal them out again."""
        self._wanted.set()

    def is_member(self, client: "Client") -> bool:
        return client in self._members

    async def _coordinate(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self.rebalancing = True
            for member in self._members:
                if member not in self._joined:
                    member.tell_to_give_back()
            await self._until_all_have_joined()
            for late in [one for one in self._members if one not in self._joined]:
                self.leave(late)
            self._wanted.clear()
            self._deal_out()
            self.rebalancing = False

    async def _until_all_have_joined(self) -> None:
        try:
            async with asyncio.timeout(REBALANCE_SECONDS):
                while not self._joined.issuperset(self._members):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    def _deal_out(self) -> None:
        self.generation += 1
        members, partitions = self._members, sorted(self.partitions)
        for number, member in enumerate(members):
            self._joined.discard(member)
            member.tell_assignment(self.generation, partitions[number :: len(members)])


class Client(Source):
    """One worker's client: `ports.Source`."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        *,
        name: str = "",
        start_from: OffsetPolicy = OffsetPolicy.EARLIEST,
        on_lost_offsets: OffsetPolicy = OffsetPolicy.FAIL,
        fetch_max_records: int = 500,
        delay: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`delay` is awaited on the way back of each request; it gets the request's name."""
        self.name = name
        self.wake = asyncio.Event()
        self.commit_faults: deque[CommitFault] = deque()
        self.cut = False
        """True once the process is dead: nothing gets through any more."""
        self.lost_as_owner = False
        """Whether the log has lost records that this client, as their owner, had not read."""
        self._broker = broker
        self._topic = topic
        self._start_from = start_from
        self._on_lost = on_lost_offsets
        self._max_records = fetch_max_records
        self._delay = delay
        self._listener: AssignmentListener | None = None
        self._inbox: asyncio.Queue[tuple[int, Sequence[TopicPartition]] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        self._generation = -1
        self._epoch = 0
        self._next: dict[TopicPartition, int] = {}
        self._waits_for: dict[TopicPartition, Mapping[TopicPartition, int]] = {}
        self._giving_back = False
        self._paused = False

    @override
    async def start(self, listener: AssignmentListener) -> None:
        if all(one.topic != self._topic for one in self._broker.partitions):
            raise OperatorError(f"sources: topic {self._topic!r} does not exist: correct its name, or create it first")
        self._listener = listener
        self._task = asyncio.get_running_loop().create_task(self._work())

    def tell_to_give_back(self) -> None:
        self._inbox.put_nowait(None)

    def tell_assignment(self, generation: int, partitions: Sequence[TopicPartition]) -> None:
        self._inbox.put_nowait((generation, partitions))

    async def _work(self) -> None:
        self._broker.join(self)
        while True:
            message = await self._inbox.get()
            if message is None:
                await self._give_back()
                self._broker.join(self)
            else:
                await self._take_up(*message)

    async def _give_back(self) -> None:
        assert self._listener is not None
        self._giving_back = True
        if self._next:
            await self._listener.revoked(frozenset(self._next))
        self._epoch += 1
        self._next = {}

    async def _take_up(self, generation: int, partitions: Sequence[TopicPartition]) -> None:
        assert self._listener is not None
        self._epoch += 1
        self._generation = generation
        commits = self._broker.commits
        try:
            self._waits_for = {}
            starts = {one: self._start(one, commits.get(one)) for one in partitions}
            self._next = {one: offset for one, (offset, _) in starts.items()}
            await self._listener.assigned(self._epoch, {one: text for one, (_, text) in starts.items()})
        except Halt as fault:
            self._fault = fault
        self._giving_back = False
        self.wake.set()

    def _start(self, partition: TopicPartition, commit: Commit | None) -> tuple[int, str]:
        older = older_partitions(partition, {one: held.offset for one, held in self._broker.commits.items()})
        if older:
            self._waits_for[partition] = {one: self._broker.partitions[one].end for one in older}
        log = self._log(partition, commit)
        if log.committed is not None and not log.first <= log.committed <= log.end:
            self._note_loss()
        start = start_of(partition, log, added=bool(older), start_from=self._start_from, on_lost=self._on_lost)
        return start.offset, start.metadata

    def _log(self, partition: TopicPartition, commit: Commit | None = None) -> PartitionLog:
        held = self._broker.partitions[partition]
        if commit is None:
            return PartitionLog(held.first, held.end)
        return PartitionLog(held.first, held.end, commit.offset, commit.metadata)

    def _lost(self, partition: TopicPartition, offset: int) -> int:
        self._note_loss()
        return after_loss(partition, self._log(partition), offset, self._on_lost)

    def _note_loss(self) -> None:
        self.lost_as_owner |= self._broker.is_member(self) and self._generation == self._broker.generation

    @override
    async def fetch(self) -> Sequence[Record]:
        self._refuse_the_dead()
        records, positions = self._records()
        if not records:
            self._next = positions
            self.wake.clear()
            try:
                async with asyncio.timeout(_FETCH_WAIT_SECONDS):
                    await self.wake.wait()
            except TimeoutError:
                return []
            records, positions = self._records()
        epoch = self._epoch
        if records and self._delay is not None:
            await self._delay("fetch")
        if epoch == self._epoch:
            self._next = positions
        return records

    def _records(self) -> tuple[list[Record], dict[TopicPartition, int]]:
        """What a fetch brings, and the positions once it has."""
        if self._fault is not None:
            raise self._fault
        positions = dict(self._next)
        if self._paused or self._giving_back:
            return [], positions
        taken: list[Record] = []
        for partition in self.positions():
            held = self._broker.partitions[partition]
            offset = positions.pop(partition)
            if offset < held.first:
                offset = self._lost(partition, offset)
            while offset < held.end and len(taken) < self._max_records:
                record = held.records[offset]
                if record is not None:
                    position = Position(*partition, offset, self._epoch)
                    taken.append(Record(position, record.key, record.value, record.headers, record.timestamp_ms))
                offset += 1
            # Put last again, so that no partition starves another.
            positions[partition] = offset
        return taken, positions

    @override
    def pause(self) -> None:
        self._paused = True

    @override
    def resume(self) -> None:
        self._paused = False
        self.wake.set()

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        self._refuse_the_dead()
        fault = self.commit_faults.popleft() if self.commit_faults else None
        if fault is not None and not fault.applied:
            raise RetryLater(RetryReason.CONNECTION, "the coordinator is elsewhere")
        owned = commits.keys() <= self._next.keys()
        if not self._broker.is_member(self) or self._generation != self._broker.generation or not owned:
            raise CommitRefusedError("the group has rebalanced")
        self._broker.commits.update(commits)
        self._broker.on_commit(self.name, commits)
        if self._delay is not None:
            await self._delay("commit")
        if fault is not None:
            raise RetryLater(RetryReason.CONNECTION, "the reply was lost")

    def _refuse_the_dead(self) -> None:
        if self.cut:
            raise asyncio.CancelledError

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        commits = {one: held.offset for one, held in self._broker.commits.items()}
        self._waits_for = {one: ends for one, ends in self._waits_for.items() if not has_passed(commits, ends)}
        return {one: offset for one, offset in self._next.items() if one not in self._waits_for}

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        self._refuse_the_dead()
        return {partition: self._broker.partitions[partition].end for partition in self._next}

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        logs = self._broker.partitions
        return {one: max(0, logs[one].end - max(offset, logs[one].first)) for one, offset in self._next.items()}

    @override
    async def close(self) -> None:
        if self.cut:
            return
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._broker.leave(self)
