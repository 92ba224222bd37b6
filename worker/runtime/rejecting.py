"""Rejected records on their way to the dead-letter topic, in their order, and no faster than their share allows.

They wait here and not in the stage that rejected them: reading from Kafka goes on, or the group would take a worker
that polls no more for dead. What waits is bounded by the bytes in flight, like everything else that is not resolved.

There is a breaker for each source and stage, which compares what a stage rejects with what it accepts at the same time:
hundreds of bad rows are read in the time that the good ones among them take to be embedded. A rejection counts when it
comes up, not when it may pass. Reading accepts what becomes a change; skipped records say nothing of the rows and do
not count. Sending accepts what is indexed, deleted or superseded, be it only by the lookup: or a replay, where all that
is good is superseded, would halt at the hundredth bad row of a year.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from worker.errors import Halt, HaltReason
from worker.records import Record, Rejection, Unit
from worker.runtime.finishing import Finishing
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.retrying import Retrying
from worker.stages.breaker import Breaker, BreakerRule

_DEAD_LETTERS: Final = "dead_letters"
_REJECTIONS: Final = "rejections"


@dataclass(frozen=True, slots=True)
class _Waiting:
    breaker: Breaker
    put_aside: Callable[[], Awaitable[None]]
    row: str | None


class Rejecting:
    """One task puts aside what the stages reject."""

    def __init__(
        self, finishing: Finishing, intake: Intake, ledger: Ledger, retrying: Retrying, rule: BreakerRule
    ) -> None:
        self._ledger = ledger
        self._finishing = finishing
        self._intake = intake
        self._retrying = retrying
        self._rule = rule
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._waiting: deque[_Waiting] = deque()
        self._in_hand: asyncio.Task[None] | None = None
        self._has_waiting = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._calmed = asyncio.Event()

    def accepted(self, source: str, stage: str) -> None:
        """Note that a stage has not rejected a record of this source."""
        if not self._breakers:  # the usual case, asked four times a record
            return
        breaker = self._breakers.get((source, stage))
        if breaker is None or breaker.untroubled:
            return
        was_open = breaker.open
        breaker.accepted()
        if was_open and not breaker.open:
            self._calmed.set()

    def record(self, record: Record, rejection: Rejection, stage: str, source: str, version: int | None) -> None:
        """Put aside a record that did not become a change; `version` is its own, if it could be read."""
        one = _Waiting(
            self._breaker(source, stage),
            lambda: self._finishing.reject(record, rejection, stage, version=version),
            row=None,
        )
        self._add(one, f"{stage} of source {source!r}", rejection)

    def unit(self, unit: Unit, rejection: Rejection, stage: str) -> None:
        """Put aside a unit's newest record and end the unit; its row stays in flight until then.

        What is left of a lost assignment is dropped: whoever reads it again puts it aside.
        """
        change = unit.change
        if not self._ledger.holds(change.record.position):
            self._intake.release(change.key)
            return
        one = _Waiting(
            self._breaker(change.source, stage),
            lambda: self._finishing.finish_rejected(unit, rejection, stage),
            row=change.key,
        )
        self._add(one, f"{stage} of source {change.source!r}", rejection)

    async def run(self) -> None:
        """Put aside one after the other, for ever."""
        while True:
            while not self._waiting:  # cleared between the wake-up and the waking, perhaps
                await self._has_waiting.wait()
            # A task of its own, so that `clear` can end it and nothing else.
            self._in_hand = asyncio.ensure_future(self._pass(self._waiting[0]))
            try:
                await asyncio.wait([self._in_hand])
            except asyncio.CancelledError:
                self._in_hand.cancel()
                await asyncio.wait([self._in_hand])
                raise
            if not self._in_hand.cancelled():
                self._in_hand.result()

    async def idle(self) -> None:
        """Wait until nothing waits."""
        await self._is_idle.wait()

    def clear(self) -> None:
        """Forget all that waits: its assignment is lost, somebody else will read it. Their rows are free again."""
        for one in self._waiting:
            if one.row is not None:
                self._intake.release(one.row)
        self._waiting.clear()
        if self._in_hand is not None:
            self._in_hand.cancel()
        for operation in (_DEAD_LETTERS, _REJECTIONS):
            self._retrying.halting.lift(operation, "not mended: what halted this worker went away with its partitions")
        self._signal()

    def _add(self, one: _Waiting, where: str, rejection: Rejection) -> None:
        one.breaker.rejected()
        self._waiting.append(one)
        self._signal()
        if one.breaker.open:
            self._retrying.halting.declare(
                _REJECTIONS,
                Halt(
                    HaltReason.MASS_REJECTION,
                    f"{where}: {one.breaker.told}, this one because {rejection.message}; the fault seems to be the "
                    "source's or its settings': mend it, or raise delivery.rejections_in_a_row and "
                    "delivery.rejection_share if all of them belong into the dead-letter topic",
                ),
            )

    async def _pass(self, one: _Waiting) -> None:
        if one.breaker.open:
            await self._wait_for_leave(one.breaker)
        await self._retrying.call(_DEAD_LETTERS, one.put_aside)
        self._waiting.popleft()
        self._signal()
        # Whether it is mended only new records can tell: fetching goes on until the next of them is rejected.
        self._retrying.halting.lift(_REJECTIONS)

    async def _wait_for_leave(self, breaker: Breaker) -> None:
        """Wait until an interval has passed, or the breaker is closed."""
        halting = self._retrying.halting
        with halting.holding(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(halting.interval()):
                while breaker.open:  # another one closes, perhaps
                    self._calmed.clear()
                    await self._calmed.wait()

    def _breaker(self, source: str, stage: str) -> Breaker:
        breaker = self._breakers.get((source, stage))
        if breaker is None:
            breaker = self._breakers[source, stage] = Breaker(self._rule)
        return breaker

    def _signal(self) -> None:
        if self._waiting:
            self._has_waiting.set()
            self._is_idle.clear()
        else:
            self._has_waiting.clear()
            self._is_idle.set()
