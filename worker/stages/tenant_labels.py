"""Which tenants are counted by name: the busiest, a bounded number of them, with a bounded memory.

A name is kept as long as it can be: each change of names ends a series in Prometheus and begins another. So a tenant
without one takes that of another only at the end of a window of records, and only with more than twice its traffic.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

OTHER: Final = "other"
"""Stands for all tenants without a name of their own; a tenant that is called so has none either."""
_WINDOW: Final = 10_000
_TRACKED_PER_LABEL: Final = 10
_TIMES: Final = 2


class TenantLabels:
    """Synchronous, without a clock, one owner. A `limit` of 0 names nobody."""

    def __init__(self, limit: int, window: int = _WINDOW) -> None:
        """`window` is how many records pass from one look at the traffic to the next."""
        self._limit = limit
        self._window = window
        self._named: set[str] = set()
        # Misra and Gries: whoever has a larger share than one in so many is among the tracked, however many there are.
        self._traffic: Counter[str] = Counter()
        self._left = window

    def label(self, tenant: str) -> str:
        """Return what a tenant is counted as."""
        return tenant if tenant in self._named else OTHER

    def seen(self, tenant: str, records: int = 1) -> Sequence[str]:
        """Note records of a tenant; return those who lose their names by it, mostly nobody."""
        if not self._limit or tenant == OTHER:
            return ()
        if tenant not in self._named and len(self._named) < self._limit:
            self._named.add(tenant)
        self._note(tenant, records)
        self._left -= records
        if self._left > 0:
            return ()
        self._left = self._window
        return self._renamed()

    def _note(self, tenant: str, records: int) -> None:
        if tenant in self._traffic or len(self._traffic) < _TRACKED_PER_LABEL * self._limit:
            self._traffic[tenant] += records
            return
        least = min(records, *self._traffic.values())
        self._traffic = Counter({one: count - least for one, count in self._traffic.items() if count > least})
        if records > least:
            self._traffic[tenant] = records - least

    def _renamed(self) -> Sequence[str]:
        """Give names to the busiest; then let half of what was seen be forgotten."""
        losers = []
        quiet = sorted(self._named, key=lambda one: self._traffic[one])
        busy = [one for one, _ in self._traffic.most_common() if one not in self._named]
        for loser, winner in zip(quiet, busy, strict=False):
            if self._traffic[winner] <= _TIMES * self._traffic[loser]:
                break
            self._named.remove(loser)
            self._named.add(winner)
            losers.append(loser)
        self._traffic = Counter({one: count // 2 for one, count in self._traffic.items() if count > 1})
        return losers
