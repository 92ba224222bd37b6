"""Memory and fairness: fetching pauses above a high mark and resumes below half of it; decoding lets others run."""

import asyncio
from typing import Final

from worker.metrics import Metrics
from worker.ports import Source
from worker.runtime.ledger import Ledger

# Decoding this much takes a few milliseconds; then the event loop serves heartbeats, probes and other stages.
_BREATH_BYTES: Final = 128 * 1024


class Flow:
    """Watches the bytes between fetch and acknowledgement."""

    def __init__(self, source: Source, ledger: Ledger, high_mark: int, metrics: Metrics) -> None:
        """`high_mark` is in bytes."""
        self._source = source
        self._ledger = ledger
        self._high = high_mark
        self._metrics = metrics
        self._paused = False
        self._since_breath = 0

    def adjust(self) -> None:
        """Pause or resume fetching, as the bytes in flight want it."""
        in_flight = self._ledger.bytes_in_flight
        if not self._paused and in_flight > self._high:
            self._source.pause()
            self._paused = True
        elif self._paused and in_flight <= self._high // 2:
            self._source.resume()
            self._paused = False
        self._metrics.paused.set(self._paused)

    async def breathe(self, size: int) -> None:
        """Let other tasks run after every so many decoded bytes."""
        self._since_breath += size
        if self._since_breath >= _BREATH_BYTES:
            self._since_breath = 0
            await asyncio.sleep(0)
