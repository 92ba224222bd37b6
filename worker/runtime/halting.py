"""Halts that lift themselves: what the worker does while a fault that is no record's lasts.

It fetches nothing, stays in its group, says why, and tries again now and then until a try succeeds. What it has in
hand, vectors and serialised bytes included, stays as it is.
"""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.errors import Halt, HaltReason
from worker.metrics import Metrics
from worker.runtime.clock import Clock
from worker.settings import DeliverySettings

SOURCE: Final = "source"
"""The operation of reading from Kafka. While it alone is halted, what has been read can still be finished."""

_REMINDER_SECONDS: Final = 600.0
_DETAIL_CHARACTERS: Final = 2000
"""Of a fault's message in the log. What Elasticsearch says names the condition last, behind all that it lists."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Declared:
    fault: Halt
    since: float
    logged_at: float


class Halting:
    """The halts in force: at most one an operation (`bulk`, `lookup`, `embed` ...)."""

    def __init__(
        self,
        settings: DeliverySettings,
        metrics: Metrics,
        chance: random.Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._interval = settings.halt_probe_interval
        self._metrics = metrics
        self._chance = chance or random.Random()
        self._clock = clock or Clock()
        self._declared: dict[str, _Declared] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._blocked = asyncio.Event()
        self._held = 0
        self.on_change: Callable[[], object] = lambda: None
        """Called when the first halt is declared and when the last is lifted, among others."""
        self.lifted_at: float | None = None
        """When a halt was lifted last, or something held back was let go, on the event loop's clock."""
        for reason in HaltReason:
            metrics.halted.labels(reason.value).set(0)

    @property
    def halted(self) -> bool:
        """Whether any halt is in force."""
        return bool(self._declared)

    @property
    def held(self) -> bool:
        """Whether something is held back, see `holding`."""
        return self._held > 0

    @property
    def reasons(self) -> Mapping[HaltReason, str]:
        """Why the worker is halted, and what was said of it; empty if it is not."""
        # A copy, made at one stroke: `syncline_ready` is asked for in another thread.
        return {one.fault.reason: str(one.fault) for one in tuple(self._declared.values())}

    async def blocked(self) -> None:
        """Wait until a halt is in force, or something held, that keeps what is in flight from being finished."""
        await self._blocked.wait()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold something back in the block that will not be finished before long, though no halt is in force."""
        self._held += 1
        self._update()
        try:
            yield
        finally:
            self._held -= 1
            self.lifted_at = self._clock.monotonic()
            self._update()

    def declare(self, operation: str, fault: Halt) -> None:
        """Halt, or say that the halt goes on; with another reason perhaps."""
        now = self._clock.monotonic()
        known = self._declared.get(operation)
        if known is None or known.fault.reason is not fault.reason:
            self._declared[operation] = _Declared(fault, now, now)
            self._metrics.halts.labels(fault.reason.value).inc()
            self._tell(logging.ERROR, "halted: nothing is consumed until this is mended", operation, fault)
        else:
            known.fault = fault
            if now - known.logged_at >= _REMINDER_SECONDS:
                known.logged_at = now
                self._tell(logging.ERROR, "still halted", operation, fault, now - known.since)
        self._update()

    def lift(self, operation: str, told: str = "going on") -> None:
        """End the halt of an operation, if there is one, and log what is `told` of it."""
        known = self._declared.pop(operation, None)
        if known is not None:
            self.lifted_at = self._clock.monotonic()
            self._tell(logging.INFO, told, operation, known.fault, self.lifted_at - known.since)
            self._update()

    @contextlib.asynccontextmanager
    async def turn(self, operation: str) -> AsyncIterator[bool]:
        """Enter at once, unless the operation is halted; yields whether this try is the one that probes.

        Of all that wait one probes at a time, after a pause; if the halt is lifted by then, all the others go on.
        """
        async with contextlib.AsyncExitStack() as turn:
            if operation in self._declared:
                await turn.enter_async_context(self._turns[operation])
                if operation in self._declared:
                    await self.pause()
                else:
                    await turn.aclose()
            yield operation in self._declared

    async def pause(self) -> None:
        """Wait from one probe to the next: at random, so that many workers do not come back together."""
        await asyncio.sleep(self.interval())

    def interval(self) -> float:
        """Draw the seconds until the next probe: from half of `delivery.halt_probe_interval` to all of it."""
        return self._chance.uniform(0.5, 1.0) * self._interval

    def _update(self) -> None:
        present = self.reasons
        for reason in HaltReason:
            self._metrics.halted.labels(reason.value).set(reason in present)
        if self._held or self._declared.keys() - {SOURCE}:
            self._blocked.set()
        else:
            self._blocked.clear()
        self.on_change()

    def _tell(self, level: int, message: str, operation: str, fault: Halt, seconds: float | None = None) -> None:
        lasting = {} if seconds is None else {"halted_seconds": round(seconds, 1)}
        _log.log(
            level,
            message,
            extra={
                "action": "halt_lifted" if level == logging.INFO else "halted",
                "operation": operation,
                "reason": fault.reason.value,
                "detail": str(fault)[:_DETAIL_CHARACTERS],
                **lasting,
            },
        )
