"""Free memory goes back to the system, in time and in fact."""

import asyncio
import gc

import psutil

from worker.runtime.heap import allocators_own, giving_back

_BLOCK = 100_000
"""Bytes: below what the allocator asks the system for singly."""


async def test_it_goes_back_again_and_again_until_the_end() -> None:
    calls = 0
    twice = asyncio.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            loop.call_soon_threadsafe(twice.set)

    async with giving_back(call, seconds=0):
        await asyncio.wait_for(twice.wait(), 10)
    await asyncio.sleep(0)
    ended_at = calls
    for _ in range(100):
        await asyncio.sleep(0)
    assert calls <= ended_at + 1, "one may have been under way"


def resident() -> int:
    return psutil.Process().memory_info().rss


def test_what_lies_free_between_blocks_in_use_goes_back() -> None:
    give_back = allocators_own()
    assert give_back is not None, "this C library has no call for it: the worker grows as it did before"
    blocks = [bytearray(b"x" * _BLOCK) for _ in range(1000)]
    del blocks[::2]
    gc.collect()
    before = resident()
    give_back()
    assert before - resident() > 250 * _BLOCK
    assert blocks
