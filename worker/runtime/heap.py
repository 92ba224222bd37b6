"""Free memory goes back to the system: glibc's allocator keeps it, and a worker would grow for hours.

Texts of all lengths leave gaps between what is still in use, and what is free at the end of a thread's heap stays
there, because the threshold to give it back rises with the largest block that was ever freed. Measured, and what else
was tried: docs/decisions/0029-free-memory-goes-back.md.
"""

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from worker.runtime.beside import beside

_SECONDS: Final = 10.0
"""A call takes some 10 ms, in which other threads wait for memory."""


def giving_back(
    give_back: Callable[[], object] | None = None, seconds: float = _SECONDS
) -> AbstractAsyncContextManager[None]:
    """Give free memory back every so many seconds, in a thread; do nothing on a system that has no call for it."""
    call = give_back or allocators_own()
    return nullcontext() if call is None else beside(_again_and_again(call, seconds), "heap")


async def _again_and_again(call: Callable[[], object], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(call)


def allocators_own() -> Callable[[], object] | None:
    """Return glibc's call that gives back every page that holds nothing; None where there is another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)
