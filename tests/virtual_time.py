"""Time that passes only when nothing else can happen: `pytestmark = pytest.mark.virtual_time`.

Timers, backoff and deadlines then take no real time, and happen in the same order at every run.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Final

import pytest
from typing_extensions import override

# What waits for no timer waits for a thread or a signal; longer than this it waits for ever.
_PATIENCE_SECONDS: Final = 5.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_JumpingSelector(self))

    @override
    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_PATIENCE_SECONDS)
            if not ready:
                raise RuntimeError("nothing is ready and no timer is set: whatever this test awaits never happens")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.now += timeout
        return ready


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: runs on an event loop whose clock jumps from timer to timer")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the event loop of a test, as pytest-asyncio asks."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
