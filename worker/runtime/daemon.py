"""The life of the process: signals, supervision, and an exit code that tells the truth."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from worker.errors import SynclineError

_log = logging.getLogger(__name__)


class AbortedError(Exception):
    """A second signal came while the first was being served."""


@contextlib.contextmanager
def signals(on_first: Callable[[], object], on_second: Callable[[], object]) -> Iterator[None]:
    """Call `on_first` at the first SIGTERM or SIGINT and `on_second` at the next; restore the handlers at the end."""
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def handle(number: signal.Signals) -> None:
        received.append(number)
        _log.info("signal received", extra={"action": "signal", "signal": number.name, "count": len(received)})
        (on_first if len(received) == 1 else on_second)()

    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in former:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number, handler in former.items():
            loop.remove_signal_handler(number)
            # The loop leaves the system's own behind: for process 1 of a container that is to do nothing.
            signal.signal(number, handler)


_OBJECTS_A_COLLECTION: Final = 10_000
"""The default, 700, is a look at every tenth record: nearly all objects end with the last reference to them."""


def spare_the_collector() -> None:
    """Let the garbage collector leave alone what is there now, and look seldom; call it when all that stays is loaded.

    Measured: a model's libraries bring half a million objects, and each full collection would hold the event loop for a
    third of a second to find none of them unused.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION)


async def supervise(run: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
    """Run until it returns. The first signal asks it to drain, a second one aborts it.

    Raises:
        SynclineError: the first one that a task of the worker ended with.
        AbortedError: by a second signal.
    """
    task = asyncio.ensure_future(run())
    with signals(on_first=stop, on_second=task.cancel):
        try:
            await task
        except asyncio.CancelledError:
            raise AbortedError from None
        except BaseExceptionGroup as group:
            cause = first_cause(group)
            if cause is None:
                raise
            raise cause from group


def first_cause(group: BaseExceptionGroup[BaseException]) -> SynclineError | None:
    """Return the first error of this project in a group of them."""
    for error in group.exceptions:
        if isinstance(error, SynclineError):
            return error
        if isinstance(error, BaseExceptionGroup) and (cause := first_cause(error)) is not None:
            return cause
    return None
