"""Notices a consumer that is stuck. It raises nothing, its heartbeats may go on, and to itself it looks idle.

Clients were seen to end like this after restarts of brokers and after long blocks of the event loop. So the brokers are
asked beside the fetching: is there anything to read that is not read?
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from worker.errors import RetryLater
from worker.ports import Source
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger

_LOOK_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0


class Watchdog:
    """One task beside the pipeline; `health` asks it."""

    def __init__(self, source: Source, ledger: Ledger, clock: Clock) -> None:
        self._source = source
        self._ledger = ledger
        self._clock = clock
        self._positions: Mapping[TopicPartition, int] = {}
        self._stuck_since: float | None = None
        self.unreachable = False
        """Whether the brokers did not answer when they were asked last: then nothing can be read, whoever tries."""

    async def run(self) -> None:
        """Look every five seconds, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask once."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                ends = await self._source.ends()
        except (RetryLater, TimeoutError):
            self.unreachable = True
            self._stuck_since = None
            return
        self.unreachable = False
        if not self._is_stuck(ends):
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = self._clock.monotonic()

    @property
    def stuck_seconds(self) -> float:
        """For how long the brokers have answered, records have waited, and none was fetched."""
        return 0.0 if self._stuck_since is None else self._clock.monotonic() - self._stuck_since

    def _is_stuck(self, ends: Mapping[TopicPartition, int]) -> bool:
        before, self._positions = self._positions, dict(self._source.positions())
        if not self._ledger.has_assignment:
            return True
        # With records open, whether they make progress is the question, not whether more are fetched.
        if self._ledger.open_records:
            return False
        return any(
            offset < ends.get(partition, 0) and before.get(partition) == offset
            for partition, offset in self._positions.items()
        )
