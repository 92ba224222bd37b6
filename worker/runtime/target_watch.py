"""Asks for the write alias now and then: a worker that has nothing to write would not notice that it is gone.

What it finds is for the readiness probe and the log; it steers nothing, and nothing that goes wrong with it disturbs
the work.
"""

import asyncio
import logging
from typing import Final

from worker.errors import RetryLater, SynclineError
from worker.ports import Sink
from worker.runtime.retrying import Retrying

_LOOK_SECONDS: Final = 5.0
_REFUSED_SECONDS: Final = 30.0
"""After a refusal: each try may be a line in somebody's audit log, or count towards the lock of an account."""
_MISSES: Final = 2
"""So many looks in a row are a fault: a single one may meet a node that restarts, or a key that is being replaced."""
_log = logging.getLogger(__name__)


class TargetWatch:
    """One task beside the pipeline; `health` asks it. How long a look may take is the client's to say."""

    def __init__(self, sink: Sink, retrying: Retrying) -> None:
        self._sink = sink
        self._retrying = retrying
        self._misses = 0
        self._pause = _LOOK_SECONDS
        self.fault = ""
        """Why the write alias was not there when it was asked for last; empty if it was, or if the work itself asks."""

    async def run(self) -> None:
        """Look, for ever: five seconds after an answer, thirty after a refusal."""
        while True:
            await asyncio.sleep(self._pause)
            await self.look()

    async def look(self) -> None:
        """Ask once, unless the worker is halted or backing off: then it asks by itself, at its own pace."""
        self._pause = _LOOK_SECONDS
        found = "" if self._retrying.halting.halted or self._retrying.failing else await self._asked()
        self._misses = self._misses + 1 if found else 0
        before, self.fault = self.fault, found if self._misses >= _MISSES else ""
        if self.fault and not before:
            _log.warning("the write alias cannot be asked for: %s", found, extra={"action": "target_unreachable"})
        elif before and not self.fault:
            _log.info("the write alias is there again", extra={"action": "target_reached"})

    async def _asked(self) -> str:
        """Why it is not there; empty if it is."""
        try:
            await self._sink.probe()
        except RetryLater as fault:
            return str(fault)
        except SynclineError as fault:
            self._pause = _REFUSED_SECONDS
            return str(fault)
        except Exception as error:  # noqa: BLE001 - no answer, however odd, may end the worker
            return repr(error)
        return ""
