"""Changes at a steady rate, and how many a second the workers can do at all."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.e2e.process import until
from tests.soak.backlog import PARTITIONS, History, send, write
from tests.soak.direct import Direct, Event, producer
from tests.soak.fleet import Fleet
from tests.soak.freshness import Watch
from tests.threads import beside

_WATCHED_A_SECOND: Final = 60
_TICK_S: Final = 0.01


class Load:
    """Writes the events of a history; `watch` is told of some of them."""

    def __init__(self, built: Direct, bootstrap: str, history: History, watch: Watch) -> None:
        self._built = built
        self._bootstrap = bootstrap
        self._history = history
        self._events: Iterator[Event] = history.events()
        self._watch = watch
        self._rate = 0.0
        self._written = 0
        self._seconds = 0.0

    @property
    def real_rate(self) -> float:
        """Changes a second, as they were really written."""
        return self._written / self._seconds

    def capacity(self, fleet: Fleet, burst: int, within_s: float) -> float:
        """Changes a second that the workers do, of many at once; some before them warm everything up."""
        self._do(fleet, max(1, burst // 4), within_s)
        return burst / self._do(fleet, burst, within_s)

    def _do(self, fleet: Fleet, count: int, within_s: float) -> float:
        begin = time.monotonic()
        asyncio.run(write(self._bootstrap, self._built.topic, itertools.islice(self._events, count)))
        until(lambda: _resolved(fleet) >= self._history.written, "they are not done", within_s, every_s=0.1)
        return time.monotonic() - begin

    @contextmanager
    def running(self, rate: float) -> Iterator[None]:
        """Write so many a second in a thread of its own while the block runs."""
        self._rate = rate
        with beside(lambda stopping: asyncio.run(self._run(stopping)), "load"):
            yield

    async def _run(self, stopping: threading.Event) -> None:
        every = max(1, round(self._rate / _WATCHED_A_SECOND))
        pending: set[asyncio.Future[object]] = set()
        async with producer(self._bootstrap) as sender:
            begin = time.monotonic()
            while not stopping.is_set():
                due = int((time.monotonic() - begin) * self._rate)
                for event in itertools.islice(self._events, max(0, due - self._written)):
                    pending.add(await send(sender, self._built.topic, event))
                    self._written += 1
                    if self._written % every == 0:
                        self._watch.expect(event.id % PARTITIONS, event)
                for done in [one for one in pending if one.done()]:
                    pending.remove(done)
                    done.result()
                await asyncio.sleep(_TICK_S)
            self._seconds = time.monotonic() - begin
            await asyncio.gather(*pending)


def _resolved(fleet: Fleet) -> int:
    fleet.look()
    return sum(life.resolved - life.lost for life in fleet.lives)
