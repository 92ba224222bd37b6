"""The one way to finish what is in flight: for a rebalance, for a source that is started again, and for the end."""

import asyncio
import logging
from typing import Final

from worker.runtime.halting import SOURCE, Halting
from worker.runtime.intake import Intake
from worker.runtime.rejecting import Rejecting

_log = logging.getLogger(__name__)
# While the worker is halted nothing ends that needs what is broken; the rest ends within this time.
_HALTED_SECONDS: Final = 1.0


class Draining:
    """Waits until all that was begun has ended, no longer than its deadline, and hardly at all while halted."""

    def __init__(self, intake: Intake, rejecting: Rejecting, halting: Halting, timeout: float) -> None:
        """`timeout` is in seconds."""
        self._intake = intake
        self._rejecting = rejecting
        self._halting = halting
        self._timeout = timeout

    async def finish(self) -> None:
        """Wait; what is unfinished then stays uncommitted and is read again: versions make a late write harmless."""
        ended = asyncio.ensure_future(self._ended())
        halted = asyncio.ensure_future(self._halted())
        try:
            await asyncio.wait([ended, halted], timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            halted.cancel()
            await asyncio.wait([ended, halted])
        if ended.cancelled():
            _log.warning(
                "gave up finishing what is in flight",
                extra={"action": "drain_timeout", "rows_in_flight": self._intake.rows_in_flight},
            )

    def drop(self) -> None:
        """Forget the rejected records that wait: they were the group's, and somebody else will read them."""
        self._rejecting.clear()

    def joined(self) -> None:
        """Note that this worker takes part in its group again: that ends a halt for want of an offset."""
        self._halting.lift(SOURCE)

    async def _ended(self) -> None:
        await self._intake.idle()
        await self._rejecting.idle()

    async def _halted(self) -> None:
        await self._halting.blocked()
        await asyncio.sleep(_HALTED_SECONDS)
