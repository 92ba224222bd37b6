"""Who may send a request now: as many at a time as the pressure on the server allows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from prometheus_client import Gauge

from worker.stages.pressure import Pressure


class Permits:
    """A semaphore whose size follows `stages.pressure`; those who wait are served in their order."""

    def __init__(self, most: int, gauge: Gauge) -> None:
        """`gauge` is told how many there are."""
        self.pressure = Pressure(most)
        self._gauge = gauge
        self._in_use = 0
        self._changed = asyncio.Condition()
        gauge.set(self.pressure.limit)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a permit. What the request told of the pressure is to be noted before it is given back."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_use < self.pressure.limit)
            self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1
            self._gauge.set(self.pressure.limit)
            async with self._changed:
                self._changed.notify_all()
