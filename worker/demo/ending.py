"""Being told to end by SIGTERM or SIGHUP: noted at once, and heeded where nothing is left half done.

An exception from a signal's handler, as that of Ctrl-C, comes up wherever the program is just then. Inside a callback
of an import or of the garbage collector it is lost, and right behind the start of a server nobody would know of that.
Work that nothing can stop, such as a thread that loads a model, is left behind together with the process.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS: Final = 0.1
_AGAIN_SECONDS: Final = 20.0
"""Somebody's code may take a cancellation for its own."""


class Ending:
    """Whether the demo was told to end."""

    def __init__(self) -> None:
        self.told = False
        self.leave: Callable[[], object] | None = None
        """Ends the process: set while the work would not end before long, and has nothing to bring to its end."""

    @contextlib.contextmanager
    def heeded(self) -> Iterator[None]:
        """Note the signals while the block runs; one that is ignored stays so: nohup."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                # The process is about to end then, and a terminal that closes may say so again.
                signal.signal(number, signal.SIG_IGN if self.told else handler)

    async def cancels(self, work: Coroutine[Any, Any, int]) -> int:
        """Return what the work returns.

        Raises:
            CancelledError: it was told to end.
        """
        task = asyncio.create_task(work)
        try:
            while not task.done():
                if self.told:
                    self._end(task)
                await asyncio.wait([task], timeout=_AGAIN_SECONDS if self.told else _LOOK_SECONDS)
        finally:
            if not task.done():  # Ctrl-C has cancelled this
                self._end(task)
                await asyncio.wait([task])
        return task.result()

    def _end(self, work: asyncio.Task[int]) -> None:
        if self.leave is not None:
            self.leave()
        work.cancel()

    def _note(self, *_: object) -> None:
        self.told = True
