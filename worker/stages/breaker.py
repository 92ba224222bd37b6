"""When so much is rejected that the fault cannot be the records'.

A renamed column or a mapping that does not fit rejects every record of a source, and the dead-letter topic would drain
the whole log within minutes. What is asked of a breaker is a function of a source's last records alone, so it closes
by itself when they are accepted again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """What is too much: so many `in_a_row` (0: never), or more than `share` of the last `window` (1: never)."""

    in_a_row: int
    window: int
    share: float


NEVER: Final = BreakerRule(in_a_row=0, window=1, share=1)
"""Nothing is too much."""


class Breaker:
    """The last records of one source, and whether too many of them were rejected.

    One for each source: a source whose every record is rejected must not hide behind a busy good one. Which records
    count is decided by the caller: see `runtime.rejecting`.
    """

    def __init__(self, rule: BreakerRule) -> None:
        self._rule = rule
        self._last: deque[bool] = deque(maxlen=rule.window)
        self._rejected = 0
        self._in_a_row = 0

    def accepted(self) -> None:
        """Count a record that was not rejected."""
        if self.untroubled:
            return
        self._count(rejected=False)
        self._in_a_row = 0

    def rejected(self) -> None:
        """Count a record that was rejected."""
        self._count(rejected=True)
        self._in_a_row += 1

    def _count(self, *, rejected: bool) -> None:
        if len(self._last) == self._rule.window:
            self._rejected -= self._last[0]
        self._last.append(rejected)
        self._rejected += rejected

    @property
    def untroubled(self) -> bool:
        """Whether none of the last records was rejected: one more that is accepted tells nothing new."""
        return not self._rejected

    @property
    def open(self) -> bool:
        """Whether too much was rejected. The window need not be full: as if all before it had been accepted."""
        too_many_in_a_row = 0 < self._rule.in_a_row <= self._in_a_row
        return too_many_in_a_row or self._rejected > self._rule.share * self._rule.window

    @property
    def told(self) -> str:
        """What was counted, in words."""
        return f"{self._rejected} of the last {self._rule.window} records were rejected, {self._in_a_row} in a row"
