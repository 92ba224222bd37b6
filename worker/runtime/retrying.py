"""Trying again, the one way this is done: full jitter, without end, counted by reason."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.errors import RetryLater
from worker.metrics import Metrics
from worker.settings import DeliverySettings
from worker.stages.backoff import longest_wait

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Retrying:
    """Waits and counts; the caller decides what is sent again."""

    def __init__(self, settings: DeliverySettings, metrics: Metrics, chance: random.Random | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._chance = chance or random.Random()
        self._failing: set[str] = set()

    @property
    def failing(self) -> frozenset[str]:
        """The operations whose last try failed: the worker is backing off, and alive."""
        return frozenset(self._failing)

    def recovered(self, operation: str) -> None:
        """Note that an operation has succeeded."""
        self._failing.discard(operation)

    async def wait(self, operation: str, attempt: int, reason: str, message: str) -> None:
        """Wait after failed try number `attempt` (the first is 1) of an operation."""
        seconds = self._chance.uniform(0, longest_wait(attempt, self._settings.retry_initial, self._settings.retry_max))
        self._failing.add(operation)
        self._metrics.retries.labels(operation, reason).inc()
        _log.warning(
            "trying again",
            extra={
                "action": "retry",
                "operation": operation,
                "attempt": attempt,
                "reason": reason,
                "wait_seconds": round(seconds, 3),
                "detail": message[:500],
            },
        )
        await asyncio.sleep(seconds)

    async def call(self, operation: str, function: Callable[[], Awaitable[Result]]) -> Result:
        """Call until it returns; anything but `RetryLater` is the caller's."""
        attempt = 0
        while True:
            try:
                result = await function()
            except RetryLater as fault:
                attempt += 1
                await self.wait(operation, attempt, fault.reason, str(fault))
            else:
                self.recovered(operation)
                return result
