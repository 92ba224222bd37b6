"""A truncated table: its documents become tombstones, while everything else goes on.

    record --> marker written --> what is in flight ends --> sweep --> a while for other workers --> sweep --> verdict

Once the marker is acknowledged, every change that is looked up gives way to it; only what was looked up before may
still be written, so the sweep waits for it. Nothing is held back meanwhile: rows that were inserted after the truncate
have higher versions, and a tombstone never replaces those. The record stays open until the end, so that whoever reads
it after a crash or a rebalance begins again, with what is left.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from worker.errors import SynclineError
from worker.metrics import Metrics
from worker.ports import Locator
from worker.records import Change, Record, Rejection, RowPlace, Truncate, Unit, Verdict
from worker.runtime.clock import Clock
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.rejecting import Rejecting
from worker.runtime.retrying import Retrying
from worker.runtime.sending import Work
from worker.settings import DeliverySettings
from worker.settings.worker import Deletes
from worker.stages import documents
from worker.stages.documents import tombstone
from worker.stages.truncate import deletions, marking

_LOOK_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Work]], Awaitable[None]]
Progress = Callable[[int], object]
"""Told after every step how many documents it has made tombstones of; raises if the sweep must end."""


class _LostError(SynclineError):
    """The record's assignment is over: whoever reads it next sweeps."""


class _RefusedError(SynclineError):
    """Elasticsearch will never take a tombstone: that is nobody's fault but the target's."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


@dataclass(frozen=True, slots=True)
class Truncation:
    """One record that says that the table of a source was emptied."""

    record: Record
    truncate: Truncate
    source: str


class Sweeper:
    """Makes tombstones of all documents of a source that are older than its truncate, a page at a time."""

    def __init__(
        self,
        locator: Locator,
        deliver: Deliver,
        retrying: Retrying,
        intake: Intake,
        clock: Clock,
        delivery: DeliverySettings,
    ) -> None:
        """`deliver` gives every write its verdict."""
        self._locator = locator
        self._deliver = deliver
        self._retrying = retrying
        self._intake = intake
        self._clock = clock
        # As long as every worker has to end what it has in flight when it loses its partitions.
        self._grace = delivery.drain_timeout
        self._hard = delivery.deletes is Deletes.HARD

    async def sweep(self, one: Truncation, progress: Progress) -> None:
        """Return when nothing older is left, and nothing that could still be written."""
        # The marker is a tombstone even where deletes are real: one a source, and all that keeps older changes out.
        await self._delete([marking(one.record, one.truncate, one.source)], hard=False)
        await self._intake.passed()
        await self._all(one, progress)
        await self._others_end(progress)
        await self._all(one, progress)

    async def _all(self, one: Truncation, progress: Progress) -> None:
        """Sweep until a whole pass deletes nothing: what it finds then, if anything, has become newer meanwhile."""
        while await self._once(one, progress):
            pass

    async def _once(self, one: Truncation, progress: Progress) -> int:
        await self._retrying.call("locate", self._locator.refresh)
        progress(0)
        deleted = 0
        after: RowPlace | None = None
        while True:
            ask = partial(self._locator.of_source, one.source, one.truncate.version, after)
            page = await self._retrying.call("locate", ask)
            progress(0)
            count = await self._delete(deletions(one.record, one.truncate, one.source, page.documents), hard=self._hard)
            progress(count)
            deleted += count
            if page.after is None:
                return deleted
            after = page.after

    async def _delete(self, changes: Sequence[Change], *, hard: bool) -> int:
        now_ms = self._clock.wall_ms()
        writes = [tombstone(change, change.place, now_ms) for change in changes]
        works = [
            Work(Unit(change), (documents.hard(write) if hard else write,))
            for change, write in zip(changes, writes, strict=True)
        ]
        if works:
            await self._deliver(works)
        for work in works:
            if work.rejection is not None:
                raise _RefusedError(work.rejection)
        return sum(work.verdict is Verdict.DELETED for work in works)

    async def _others_end(self, progress: Progress) -> None:
        """Another worker may have looked before the marker was there, and write what is older after the sweep."""
        until = self._clock.monotonic() + self._grace
        while (left := until - self._clock.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            progress(0)


class Truncating:
    """One sweep a source at a time, those of several sources side by side."""

    def __init__(self, sweeper: Sweeper, ledger: Ledger, rejecting: Rejecting, metrics: Metrics, clock: Clock) -> None:
        self._sweeper = sweeper
        self._ledger = ledger
        self._rejecting = rejecting
        self._metrics = metrics
        self._clock = clock
        self._waiting: defaultdict[str, list[Truncation]] = defaultdict(list)
        self._sources: asyncio.Queue[str] = asyncio.Queue()

    def add(self, record: Record, truncate: Truncate, source: str) -> None:
        """Let a truncate wait for its turn. Its record gets its verdict when nothing older is left."""
        if source not in self._waiting:
            self._sources.put_nowait(source)
        self._waiting[source].append(Truncation(record, truncate, source))

    async def run(self) -> None:
        """Sweep, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                source = await self._sources.get()
                group.create_task(self._source(source), name=f"truncate-{source}")

    async def _source(self, source: str) -> None:
        while waiting := self._waiting[source]:
            self._waiting[source] = []
            await self._together(waiting)
        del self._waiting[source]

    async def _together(self, waiting: Sequence[Truncation]) -> None:
        """Sweep once for several truncates of a source: what is older than the newest is all there is to be found."""
        held = [one for one in waiting if self._ledger.holds(one.record.position)]
        if not held:
            return
        newest = max(held, key=lambda one: one.truncate.version)
        started, deleted = self._clock.monotonic(), 0

        def progress(count: int) -> None:
            nonlocal deleted
            deleted += count
            self._metrics.truncated.labels(newest.source).inc(count)
            if not self._ledger.holds(newest.record.position):
                raise _LostError("the assignment is over")
            self._ledger.progressed()

        _tell("table truncated: deleting its documents", newest)
        try:
            await self._sweeper.sweep(newest, progress)
        except _LostError:
            _tell("gave up deleting the documents of a truncated table: its partition is another worker's", newest)
            return
        except _RefusedError as refused:
            self._rejecting.record(newest.record, refused.rejection, "bulk", newest.source, newest.truncate.version)
        else:
            self._ledger.resolve(newest.record.position, Verdict.DELETED)
            seconds = round(self._clock.monotonic() - started, 1)
            _tell("documents of a truncated table deleted", newest, count=deleted, seconds=seconds)
        for one in held:
            if one is not newest:
                self._ledger.resolve(one.record.position, Verdict.SUPERSEDED)


def _tell(message: str, one: Truncation, **more: object) -> None:
    position = one.record.position
    _log.info(
        message,
        extra={
            "action": "truncate",
            "source": one.source,
            "record": f"{position.topic}[{position.partition}] offset {position.offset}",
            "version": one.truncate.version,
            **more,
        },
    )
