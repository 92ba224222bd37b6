"""How many requests may be in flight: fewer while the server is overloaded, more again when it is not.

Additive increase, multiplicative decrease, as TCP does it. The alternative, a limit that follows the gradient of
latency, needs a trustworthy latency without load; that of a bulk request depends on its size, on merges and on
refreshes, and with a handful of requests in flight there is too little of it to measure. What Elasticsearch says by
itself (429) and a timeout are beyond doubt, so these decide, and latency only where it has doubled.
"""

from typing import Final

_RISING: Final = 2.0
"""A request that takes so many times as long as those of its size did is a sign of pressure."""
_SLOWEST: Final = 4.0
_QUICK: Final = 0.3
"""Weight of the newest request in the present ratio, where no request counts as more than `_SLOWEST` times as slow: one
that hits a merge or a refresh is no sign yet, two in a row are."""
_SLOW: Final = 0.02
"""Weight of the newest request in the usual duration: what stays slow is usual after some hundred requests."""


class Pressure:
    """The limit on requests in flight. Synchronous, with one owner, and without a clock: it is told durations.

    A request notes `round` when it begins. Of all that were in flight together only the first that fails shrinks the
    limit: they saw the same overload, and to halve once for each would end at 1 at every hiccup.
    """

    def __init__(self, most: int) -> None:
        """`most` is the upper bound; the limit begins there, since at most that many fail and are sent again."""
        self._most = most
        self._limit = float(most)
        self._usual: dict[int, float] = {}
        self._ratio = 1.0
        self.round = 0

    @property
    def limit(self) -> int:
        """How many requests may be in flight; 1 at least."""
        return int(self._limit)

    def answered(self, began_in: int, size: int, seconds: float) -> None:
        """Note a request of `size` bytes that was answered in full after `seconds`."""
        self._ratio += _QUICK * (self._compared(size, seconds) - self._ratio)
        if self._ratio > _RISING:
            self.overloaded(began_in)
        else:
            self.accepted(began_in)

    def accepted(self, began_in: int) -> None:
        """Note a request that was answered, where its duration tells nothing."""
        if began_in == self.round:
            # By 1 for as many requests as are in flight together.
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def overloaded(self, began_in: int) -> None:
        """Note a request that was refused, in full or in part, for want of room, or that was not answered in time."""
        if began_in != self.round:
            return
        self.round += 1
        self._ratio = 1.0
        self._limit = max(1.0, self._limit / 2)

    def _compared(self, size: int, seconds: float) -> float:
        """Return how many times as long as usual a request took, among those of the same power of two of bytes."""
        kind = size.bit_length()
        usual = self._usual.get(kind)
        if usual is None or seconds <= usual:
            self._usual[kind] = seconds if usual is None else usual + _QUICK * (seconds - usual)
            return 1.0
        self._usual[kind] = usual + _SLOW * (seconds - usual)
        return min(_SLOWEST, seconds / usual) if usual else 1.0
