"""Ctrl-C and SIGTERM while a command only gets ready: said, and obeyed at once.

A model loads in a thread, which nothing can stop: without this a command would go on loading it, in silence, before it
ends. And a process that is the first one of its container has no default for SIGTERM: it would not even notice.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHELLS_BASE: Final = 128
"""What a shell adds to a signal's number to make an exit code of it."""


def say_interrupted() -> None:
    """Tell a person that the command did not come to its end."""
    print("syncline: interrupted", file=sys.stderr, flush=True)


@contextlib.contextmanager
def ends_at_once(tell: Callable[[], None] = say_interrupted) -> Iterator[None]:
    """End the process at the first signal, until somebody else takes the signals. Only while nothing needs an end."""

    def end(number: int, _frame: FrameType | None) -> None:
        try:
            tell()
        finally:
            os._exit(_SHELLS_BASE + number)

    if threading.current_thread() is not threading.main_thread():  # a test
        yield
        return
    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
