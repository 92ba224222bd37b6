"""Memory and fairness: fetching pauses above a high mark and resumes below half of it, and pauses while the worker is
halted; decoding lets others run.
"""

import asyncio
from typing import Final

from worker.metrics import Metrics
from worker.ports import Source
from worker.runtime.halting import Halting
from worker.runtime.ledger import Ledger

# Decoding this much takes a few milliseconds; then the event loop serves heartbeats, probes and other stages.
_BREATH_BYTES: Final = 128 * 1024


class Flow:
    """Watches the bytes between fetch and acknowledgement."""

    def __init__(self, source: Source, ledger: Ledger, halting: Halting, high_mark: int, metrics: Metrics) -> None:
        """`high_mark` is in bytes."""
        self._source = source
        self._ledger = ledger
        self._halting = halting
        self._high = high_mark
        self._metrics = metrics
        self._full = False
        self._paused = False
        self._since_breath = 0

    def adjust(self) -> None:
        """Pause or resume fetching, as the bytes in flight and the halts want it."""
        # What is remembered of resolved records behind a stuck one counts too: else it would grow without a bound.
        in_flight = self._ledger.bytes_in_flight + self._ledger.bytes_kept
        self._full = in_flight > (self._high // 2 if self._full else self._high)
        paused = self._full or self._halting.halted
        if paused and not self._paused:
            self._source.pause()
        elif self._paused and not paused:
            self._source.resume()
        self._paused = paused
        self._metrics.paused.set(paused)

    async def breathe(self, size: int) -> None:
        """Let other tasks run after every so many decoded bytes."""
        self._since_breath += size
        if self._since_breath >= _BREATH_BYTES:
            self._since_breath = 0
            await asyncio.sleep(0)
