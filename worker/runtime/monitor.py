"""Gauges that follow from time passing: lag, age of the oldest record, delay of the event loop."""

import asyncio
from collections.abc import Mapping
from typing import Final

from worker.metrics import Metrics
from worker.ports import Source
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger

_TICK_SECONDS: Final = 0.05
_TICKS_A_GAUGE: Final = 20


class Monitor:
    """One task beside the pipeline. A timer that fires late shows for how long something held the event loop."""

    def __init__(self, source: Source, ledger: Ledger, metrics: Metrics, clock: Clock) -> None:
        self._source = source
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._longest = 0.0
        self._caught_up: dict[TopicPartition, float] = {}

    async def run(self) -> None:
        """Watch for ever."""
        ticks = 0
        while True:
            started = self._clock.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            delay = max(0.0, self._clock.monotonic() - started - _TICK_SECONDS)
            self._metrics.loop_delay.observe(delay)
            if delay > self._longest:
                self._longest = delay
                self._metrics.loop_delay_max.set(delay)
            ticks += 1
            if ticks % _TICKS_A_GAUGE == 0:
                self.update()

    def update(self) -> None:
        """Set the gauges."""
        unread = self._source.lag()
        for partition, unresolved in self._ledger.open_by_partition().items():
            lag = unread.get(partition, 0) + unresolved
            self._metrics.lag.labels(partition.topic, str(partition.partition)).set(lag)
        self._metrics.oldest_unresolved.set(self._ledger.oldest_age)
        for partition, seconds in self._lag_seconds(unread).items():
            self._metrics.lag_seconds.labels(partition.topic, str(partition.partition)).set(seconds)

    def _lag_seconds(self, unread: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
        now, oldest = self._clock.monotonic(), self._ledger.oldest_timestamps_ms()
        assigned = self._ledger.open_by_partition()
        # What has just been assigned counts as caught up: its first fetch tells better.
        self._caught_up = {
            one: self._caught_up.get(one, now) if one in oldest or unread.get(one) else now for one in assigned
        }
        return {
            one: max(0.0, (self._clock.wall_ms() - oldest[one]) / 1000) if one in oldest else now - self._caught_up[one]
            for one in assigned
        }
