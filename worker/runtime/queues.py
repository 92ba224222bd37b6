"""The hand-over between two stages: a queue bounded in bytes and items, emptied in batches."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """First in, first out. A stage that becomes free takes all that waits for it, up to its budget: no lingering.

    One item larger than the bound still passes, alone, so that nothing can block the queue for ever.
    """

    def __init__(self, max_bytes: int, max_items: int) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._has_items = asyncio.Event()
        self._was_emptied = asyncio.Event()

    @property
    def size(self) -> int:
        """Bytes in the queue."""
        return self._bytes

    async def put(self, item: T, size: int) -> None:
        """Wait for room, then add an item of `size` bytes."""
        await self.put_all([(item, size)])

    async def put_all(self, items: Iterable[tuple[T, int]]) -> None:
        """Add items with their sizes in bytes, one after the other, and wait for room whenever there is none."""
        for item, size in items:
            while not self._has_room(size):
                self._was_emptied.clear()
                await self._was_emptied.wait()
            self._items.append((item, size))
            self._bytes += size
            self._has_items.set()

    async def take(self, max_bytes: int, max_items: int) -> list[T]:
        """Wait for an item, then return it with all that follow it within both budgets."""
        while not self._items:  # somebody else took them between the wake-up and the waking, perhaps
            self._has_items.clear()
            await self._has_items.wait()
        taken: list[T] = []
        total = 0
        while self._items and len(taken) < max_items and (not taken or total + self._items[0][1] <= max_bytes):
            item, size = self._items.popleft()
            taken.append(item)
            total += size
        self._bytes -= total
        self._was_emptied.set()
        return taken

    def _has_room(self, size: int) -> bool:
        return not self._items or (self._bytes + size <= self._max_bytes and len(self._items) < self._max_items)
