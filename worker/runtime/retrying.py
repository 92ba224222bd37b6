"""Trying again, the one way this is done: with full jitter after a passing fault, slowly while the worker is halted,
and without end in both cases.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from worker.errors import Halt, HaltReason, OperatorError, RetryLater
from worker.metrics import Metrics
from worker.runtime.halting import Halting
from worker.settings import DeliverySettings
from worker.stages.backoff import longest_wait

_LONGEST_ASKED: Final = 300.0
"""Seconds. A server that asks for more is asked again all the same: it may have been mended by then."""
_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Retrying:
    """Waits and counts; the caller decides what is sent again."""

    def __init__(
        self,
        settings: DeliverySettings,
        metrics: Metrics,
        chance: random.Random | None = None,
        halting: Halting | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._chance = chance or random.Random()
        self.halting = halting or Halting(settings, metrics, self._chance)
        self._failing: Counter[str] = Counter()
        self.recovered_at: float | None = None
        """When a call that had failed before succeeded last, on the event loop's clock."""

    @property
    def failing(self) -> frozenset[str]:
        """The operations of which some call's last try failed: the worker is backing off, and alive."""
        return frozenset(self._failing)

    async def call(self, operation: str, function: Callable[[], Awaitable[Result]]) -> Result:
        """Call until it returns, however long that takes; while the operation is halted, each try is a probe.

        What the function has done before it raised is its own business: it is called again as it is. Any exception
        but `RetryLater`, `Halt` and `OperatorError` is the caller's; the last is a mistake that came up while the
        worker ran (a certificate that has expired), and no reason to end it.
        """
        attempt = 0
        with contextlib.ExitStack() as failing:
            while True:
                async with self.halting.turn(operation) as probing:
                    try:
                        result = await function()
                    except Halt as fault:
                        self.halting.declare(operation, fault)
                        continue
                    except OperatorError as fault:
                        self.halting.declare(operation, Halt(HaltReason.MISCONFIGURED, str(fault)))
                        continue
                    except RetryLater as fault:
                        trouble = fault
                    except Exception:  # what the caller makes of an answer: whoever gave that answer was reached
                        if probing:
                            self.halting.lift(operation)
                        raise
                    else:
                        self._succeeded(operation, probing=probing, after_failures=attempt > 0)
                        return result
                    if probing:  # what halted is not what is wrong now; if it is still there, the next try will tell
                        self.halting.lift(operation)
                attempt += 1
                if attempt == 1:
                    failing.enter_context(self._counted(operation))
                await self._wait(operation, attempt, trouble)

    def _succeeded(self, operation: str, *, probing: bool, after_failures: bool) -> None:
        if probing:
            self.halting.lift(operation)
        if after_failures:
            self.recovered_at = asyncio.get_running_loop().time()

    @contextlib.contextmanager
    def _counted(self, operation: str) -> Iterator[None]:
        # Counted, not noted: one sender's success must not hide that another is still backing off.
        self._failing[operation] += 1
        try:
            yield
        finally:
            self._failing[operation] -= 1
            self._failing = +self._failing

    async def _wait(self, operation: str, attempt: int, trouble: RetryLater) -> None:
        """Wait after failed try number `attempt` (the first is 1)."""
        self._metrics.retries.labels(operation, trouble.reason).inc()
        seconds = self._chance.uniform(0, longest_wait(attempt, self._settings.retry_initial, self._settings.retry_max))
        # On top of what the server asks for: many workers were asked for the same.
        seconds += min(trouble.wait_s or 0.0, _LONGEST_ASKED)
        _log.warning(
            "trying again",
            extra={
                "action": "retry",
                "operation": operation,
                "attempt": attempt,
                "reason": trouble.reason,
                "wait_seconds": round(seconds, 3),
                "detail": str(trouble)[:500],
            },
        )
        await asyncio.sleep(seconds)
