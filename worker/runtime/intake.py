"""Where changes wait for the pipeline, at most one unit a row.

A row has one unit in flight at a time. Changes that arrive meanwhile wait here, coalesced into one, until it has
ended: so a lookup never reads a state that an earlier change of the same row is about to alter.

A row whose key has changed is two rows to the worker. Where the new one takes values from the former one it *follows*
it: it waits until what is in flight of the former one has ended, and what waits of the former one, its deletion among
it, waits until the new one has ended. The deletion comes first in the log, so it waits a moment for the new row; that
may be in another partition, and another worker's. What stands right behind it is waited for as long as it takes.
"""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from typing_extensions import override

from worker.records import Change, Operation, Position, Unit, needs_whole
from worker.stages.coalesce import coalesce, with_values_of
from worker.stages.ordering import is_earlier, is_refused, is_undecided

_MOMENT_SECONDS: Final = 2.0
"""How long the deletion of a former key waits for the row's new one. As long both are shown, at worst."""
_LOOK_SECONDS: Final = 0.5


class Reading(Protocol):
    """How far the log is read."""

    @property
    def lacks_room(self) -> bool:
        """Whether nothing more is read before something that was read has ended. A halt is none of that: it passes."""

    def is_next_unread(self, position: Position) -> bool:
        """Whether the change that stands right behind a record is still to come."""


class _AllRead(Reading):
    lacks_room = False

    @override
    def is_next_unread(self, position: Position) -> bool:
        return False


@dataclass(slots=True)
class _Waiting:
    change: Change
    size: int
    """Bytes of its record."""
    hidden: list[Position] = field(default_factory=list)
    follows: frozenset[str] = frozenset()
    before_delete: Change | None = None
    """The row's last state before a delete that hides it: where its key changed, another row takes values from it."""
    then: "_Waiting | None" = None
    """What came after it and cannot be joined with it before it is known what is stored."""

    @property
    def last(self) -> "_Waiting":
        found = self
        while found.then is not None:
            found = found.then
        return found

    def add(self, incoming: Change) -> int:
        """Join a change with what waits; return by how many bytes that has grown."""
        if is_undecided(self.change, incoming):
            self.then = _Waiting(incoming, incoming.record.size)
            return self.then.size
        if incoming.operation is Operation.DELETE and self.change.operation is Operation.UPSERT:
            self.before_delete = self.change
        loser = incoming if is_refused(incoming, self.change.version) else self.change
        self.hidden.append(loser.record.position)
        self.change = coalesce(self.change, incoming)
        before, self.size = self.size, self.change.record.size
        return self.size - before

    def state_before(self, change: Change) -> Change | None:
        """The row's newest state before a change of another row, as far as it waits here."""
        states = (self.change, self.before_delete)
        here = next(
            (one for one in states if one and one.operation is Operation.UPSERT and is_earlier(one, change)), None
        )
        later = None if self.then is None else self.then.state_before(change)
        if later is None or here is None:
            return later or here
        return with_values_of(later, here)

    def unit(self) -> Unit:
        return Unit(self.change, tuple(self.hidden))


class Intake:
    """Owned by one event loop, with one task that takes. Memory is bounded by whoever adds: see `flow`."""

    def __init__(self, reading: Reading | None = None) -> None:
        self._reading = reading or _AllRead()
        self._bytes = 0
        self._ready: dict[str, _Waiting] = {}
        self._held: dict[str, _Waiting] = {}
        # Rows of which others wait, or are in flight, that follow them; and whom those in flight follow.
        self._followed: Counter[str] = Counter()
        self._following: dict[str, frozenset[str]] = {}
        # Rows whose deletion waits for their new key, each with the end of its patience.
        self._expecting: dict[str, asyncio.TimerHandle] = {}
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
        former = change.follows if change.absent else None
        if former is not None:
            change = self._completed(change, former)
        if change.leads and not self._has_new_key(change):
            self._expect_new_key(change.key, change.record.position)
        waiting = self._waiting(change.key)
        if waiting is None:
            waiting = _Waiting(change, change.record.size)
            self._bytes += waiting.size
            self._put(change.key, waiting)
        else:
            self._bytes += waiting.last.add(change)
        if former is not None:
            # Its values may be found only where the former row itself would have taken them from.
            before = self._waiting(former)
            for one in (former, *(before.follows if before else ())):
                self._follow(change.key, waiting, one)
        if change.follows is not None:
            self._expect_no_more(change.follows)

    async def take(self, max_units: int, max_whole: int = sys.maxsize) -> list[Unit]:
        """Wait for rows that are not in flight, and take the longest waiting of them, up to `max_units`.

        At most `max_whole` of them need the whole document that is stored.
        """
        while not self._has_ready.is_set():  # closed or cleared between the wake-up and the waking, perhaps
            await self._has_ready.wait()
        keys = list(self._first_ready(max_units, max_whole))
        self._turns += 1
        self._busy.update(dict.fromkeys(keys, self._turns))
        taken = [self._ready.pop(key) for key in keys]
        self._following.update((key, one.follows) for key, one in zip(keys, taken, strict=True) if one.follows)
        self._held.update((key, one.then) for key, one in zip(keys, taken, strict=True) if one.then is not None)
        self._bytes -= sum(one.size for one in taken)
        self._signal()
        return [one.unit() for one in taken]

    def _first_ready(self, max_units: int, max_whole: int) -> Iterator[str]:
        for key, waiting in itertools.islice(self._ready.items(), max_units):
            if needs_whole(waiting.change):
                if not max_whole:
                    return
                max_whole -= 1
            yield key

    def release(self, key: str) -> None:
        """End a row's turn; what waited for it is ready now."""
        self.release_all((key,))

    def release_all(self, keys: Iterable[str]) -> None:
        """End the turns of rows; what waited for them is ready now."""
        for key in keys:
            self._release(key)
        self._released.set()
        self._released.clear()
        self._signal()

    def _release(self, key: str) -> None:
        self._busy.pop(key, None)
        former = self._following.pop(key, None)
        if former:
            self._followed -= Counter(former)
        free = [key, *(former or ())]
        if self._followed:
            free += [other for other, waiting in self._held.items() if key in waiting.follows]
        for other in free:
            if (waiting := self._held.pop(other, None)) is not None:
                self._put(other, waiting)

    def clear(self) -> None:
        """Forget all that waits: its assignment is lost, somebody else will read it. What is in flight goes on."""
        self._ready.clear()
        self._held.clear()
        self._bytes = 0
        for patience in self._expecting.values():
            patience.cancel()
        self._expecting.clear()
        self._followed = Counter(former for taken in self._following.values() for former in taken)
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
    def size(self) -> int:
        """Bytes of the records that wait."""
        return self._bytes

    @property
    def rows_in_flight(self) -> int:
        """How many rows have a unit in flight."""
        return len(self._busy)

    def _waiting(self, key: str) -> _Waiting | None:
        return self._ready.get(key) or (self._held.get(key) if self._held else None)

    def _put(self, key: str, waiting: _Waiting) -> None:
        held = key in self._busy or key in self._expecting or self._followed.get(key)
        free = not held and (not waiting.follows or self._busy.keys().isdisjoint(waiting.follows))
        (self._ready if free else self._held)[key] = waiting
        self._signal()

    def _completed(self, change: Change, former: str) -> Change:
        """The change with the values that wait here under the row's former key."""
        waiting = self._waiting(former)
        earlier = None if waiting is None else waiting.state_before(change)
        return change if earlier is None else with_values_of(change, earlier)

    def _follow(self, key: str, waiting: _Waiting, former: str) -> None:
        """Let a row go before what waits of its former key; not if that follows the row itself: one must be first."""
        if former in waiting.follows or former == key:
            return
        if self._reaches(former, key):
            self._follow_none(former)
            if self._reaches(former, key):
                return
        waiting.follows |= {former}
        self._followed[former] += 1
        for one in (former, key):
            if (held := self._ready.pop(one, None)) is not None:
                self._put(one, held)

    def _follow_none(self, key: str) -> None:
        """Let a row follow nobody any more if it is gone: what it took values for is hidden by its deletion."""
        waiting = self._waiting(key)
        if waiting is None or waiting.then is not None or waiting.change.operation is not Operation.DELETE:
            return
        former, waiting.follows = waiting.follows, frozenset()
        self._followed -= Counter(former)
        for one in (key, *former):
            if (held := self._held.pop(one, None)) is not None:
                self._put(one, held)

    def _has_new_key(self, deletion: Change) -> bool:
        """Whether the row's new key waits already; that of a row that had the key before may follow it, too."""
        return bool(self._followed.get(deletion.key)) and any(
            one.change.follows == deletion.key and one.change.version >= deletion.version
            for one in (*self._ready.values(), *self._held.values())
        )

    def _expect_new_key(self, key: str, position: Position) -> None:
        if (patience := self._expecting.pop(key, None)) is not None:
            patience.cancel()
        self._look_later(_MOMENT_SECONDS, key, position)
        if (waiting := self._ready.pop(key, None)) is not None:
            self._put(key, waiting)

    def _look_later(self, seconds: float, key: str, position: Position) -> None:
        self._expecting[key] = asyncio.get_running_loop().call_later(seconds, self._look, key, position)

    def _look(self, key: str, position: Position) -> None:
        """Expect no more once the next change is read, or where only this makes room to read it."""
        is_stuck = self._reading.lacks_room and not (self._busy or self._ready)
        if self._reading.is_next_unread(position) and not is_stuck:
            self._look_later(_LOOK_SECONDS, key, position)
        else:
            self._expect_no_more(key)

    def _expect_no_more(self, key: str) -> None:
        if (patience := self._expecting.pop(key, None)) is not None:
            patience.cancel()
            if (waiting := self._held.pop(key, None)) is not None:
                self._put(key, waiting)

    def _reaches(self, key: str, wanted: str) -> bool:
        """Whether a row is another one, or follows it over whatever rows between."""
        seen, left = set[str](), [key]
        while left:
            one = left.pop()
            if one == wanted:
                return True
            if one not in seen and (waiting := self._waiting(one)) is not None:
                seen.add(one)
                left += waiting.follows
        return False

    def _signal(self) -> None:
        if self._ready and self._open:
            self._has_ready.set()
        else:
            self._has_ready.clear()
        if self._busy:
            self._is_idle.clear()
        else:
            self._is_idle.set()
