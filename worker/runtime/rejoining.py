"""When Kafka has no offset to go on from: leave the group, and try anew at each probe while the process stays up.

A person has to reset the group's offsets, which Kafka allows only while the group is empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from typing_extensions import override

from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.ports import AssignmentListener, Commit, Source
from worker.records import Record, TopicPartition
from worker.runtime.halting import SOURCE, Halting


class RestartableSource(Source):
    """`ports.Source` that can be started again after `close`: each time with a new one that `build` makes.

    Clients of Kafka cannot. Epochs go on rising from one to the next, so that what is left of an earlier one is known.
    """

    def __init__(self, build: Callable[[], Source]) -> None:
        self._build = build
        self._inner: Source | None = None
        self._paused = False
        self._epochs_before = 0
        self._last_epoch = 0

    @override
    async def start(self, listener: AssignmentListener) -> None:
        self._epochs_before = self._last_epoch
        self._inner = self._build()
        if self._paused:
            self._inner.pause()
        await self._inner.start(_Shifted(self, listener))

    @override
    async def fetch(self) -> Sequence[Record]:
        records = await self._started.fetch()
        if not self._epochs_before:
            return records
        return [replace(one, position=one.position._replace(epoch=self.shifted(one.position.epoch))) for one in records]

    @override
    def pause(self) -> None:
        self._paused = True
        if self._inner is not None:
            self._inner.pause()

    @override
    def resume(self) -> None:
        self._paused = False
        if self._inner is not None:
            self._inner.resume()

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        await self._started.commit(commits)

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return {} if self._inner is None else self._inner.positions()

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        if self._inner is None:
            raise RetryLater(RetryReason.CONNECTION, "left the group for the time being")
        return await self._inner.ends()

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        return {} if self._inner is None else self._inner.lag()

    @override
    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()
            self._inner = None

    def shifted(self, epoch: int) -> int:
        """Return an epoch of the present source as one of all of them."""
        self._last_epoch = max(self._last_epoch, self._epochs_before + epoch)
        return self._epochs_before + epoch

    @property
    def _started(self) -> Source:
        assert self._inner is not None, "start() comes first"
        return self._inner


class _Shifted(AssignmentListener):
    def __init__(self, source: RestartableSource, listener: AssignmentListener) -> None:
        self._source = source
        self._listener = listener

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        await self._listener.revoked(partitions)

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        await self._listener.assigned(self._source.shifted(epoch), partitions)


class Rejoining:
    """Consumption that ends in good order and begins again."""

    def __init__(self, source: Source, listener: AssignmentListener, halting: Halting) -> None:
        """`source` can be started again after `close`."""
        self._source = source
        self._listener = listener
        self._halting = halting

    async def after(self, fault: Halt) -> None:
        """Finish and commit what was read, leave the group, and return when the source has been started again.

        Whether there are offsets to go on from turns out when partitions are assigned: that lifts the halt, or the
        next fetch raises another one.
        """
        self._halting.declare(SOURCE, fault)
        await self._listener.revoked(frozenset())
        await self._source.close()
        while True:
            await self._halting.pause()
            try:
                await self._source.start(self._listener)
            except OperatorError as mistake:
                self._halting.declare(SOURCE, Halt(HaltReason.MISCONFIGURED, str(mistake)))
                await self._source.close()
            else:
                return
