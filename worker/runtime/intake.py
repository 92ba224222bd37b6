"""Where changes wait for the pipeline, at most one unit a row.

A row has one unit in flight at a time. Changes that arrive meanwhile wait here, coalesced into one, until it has
ended: so a lookup never reads a state that an earlier change of the same row is about to alter.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.records import Change, Position, Unit
from worker.stages.coalesce import coalesce
from worker.stages.ordering import is_refused


@dataclass(slots=True)
class _Waiting:
    change: Change
    hidden: list[Position] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.change.record.size

    def add(self, incoming: Change) -> None:
        loser = incoming if is_refused(incoming, self.change.version) else self.change
        self.hidden.append(loser.record.position)
        self.change = coalesce(self.change, incoming)

    def unit(self) -> Unit:
        return Unit(self.change, tuple(self.hidden))


class Intake:
    """Owned by one event loop, with one task that takes. Memory is bounded by whoever adds: see `flow`."""

    def __init__(self, on_change: Callable[[int], object] | None = None) -> None:
        """`on_change` is told the bytes of the records that wait whenever they change."""
        self._on_change = on_change
        self._bytes = 0
        self._ready: dict[str, _Waiting] = {}
        self._held: dict[str, _Waiting] = {}
        # Each row with the number of its turn; a dictionary keeps its order, so the first is the oldest.
        self._busy: dict[str, int] = {}
        self._turns = 0
        self._released = asyncio.Event()
        self._open = True
        self._has_ready = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def add(self, change: Change) -> None:
        """Let a change wait, joined with what waits for the same row already."""
        place = self._held if change.key in self._busy else self._ready
        waiting = place.get(change.key)
        if waiting is None:
            place[change.key] = _Waiting(change)
            self._account(change.record.size)
            self._signal()
        else:
            before = waiting.size
            waiting.add(change)
            self._account(waiting.size - before)

    async def take(self, max_units: int) -> list[Unit]:
        """Wait for rows that are not in flight, and take the longest waiting of them, up to `max_units`."""
        while not self._has_ready.is_set():  # closed or cleared between the wake-up and the waking, perhaps
            await self._has_ready.wait()
        keys = list(itertools.islice(self._ready, max_units))
        self._turns += 1
        self._busy.update(dict.fromkeys(keys, self._turns))
        units = [self._ready.pop(key).unit() for key in keys]
        self._account(-sum(unit.change.record.size for unit in units))
        self._signal()
        return units

    def release(self, key: str) -> None:
        """End a row's turn; what waited for it is ready now."""
        self._busy.pop(key, None)
        self._released.set()
        self._released.clear()
        if (waiting := self._held.pop(key, None)) is not None:
            self._ready[key] = waiting
        self._signal()

    def clear(self) -> None:
        """Forget all that waits: its assignment is lost, somebody else will read it. What is in flight goes on."""
        self._ready.clear()
        self._held.clear()
        self._account(-self._bytes)
        self._signal()

    def close(self) -> None:
        """Hand out nothing more until `reopen`."""
        self._open = False
        self._signal()

    def reopen(self) -> None:
        """Hand out again."""
        self._open = True
        self._signal()

    async def idle(self) -> None:
        """Wait until no row is in flight."""
        await self._is_idle.wait()

    async def passed(self) -> None:
        """Wait until all that is in flight now has ended, whatever is taken meanwhile."""
        turn = self._turns
        while next(iter(self._busy.values()), turn + 1) <= turn:
            await self._released.wait()

    def is_in_flight(self, key: str) -> bool:
        """Whether a row has a unit in flight."""
        return key in self._busy

    @property
    def rows_in_flight(self) -> int:
        """How many rows have a unit in flight."""
        return len(self._busy)

    def _account(self, size: int) -> None:
        self._bytes += size
        if self._on_change is not None:
            self._on_change(self._bytes)

    def _signal(self) -> None:
        _set(self._has_ready, on=self._open and bool(self._ready))
        _set(self._is_idle, on=not self._busy)


def _set(event: asyncio.Event, *, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()
