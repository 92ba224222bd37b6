"""One lookup, in as many requests as its answers are large."""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from worker.errors import RetryLater, RetryReason
from worker.ports import DocumentStore
from worker.records import Place, Stored

_MOST_WHOLE: Final = 125
"""Whole documents in a request. How large they are is known only when they are there, and some are megabytes."""
_TOO_MUCH: Final = frozenset({RetryReason.TIMEOUT, RetryReason.REJECTED})


class Asking:
    """Asks for places. Called again after a fault it begins anew, since what it has read may be old by then.

    It asks for fewer whole documents at a time if the fault may be that they were too many.
    """

    def __init__(
        self, store: DocumentStore, places: Sequence[Place], whole: AbstractSet[Place], bare: Collection[Place]
    ) -> None:
        self._store = store
        self._small = [place for place in places if place not in whole]
        self._large = [place for place in places if place in whole]
        self._whole = whole
        self._bare = bare
        self._size = _MOST_WHOLE

    async def __call__(self) -> dict[Place, Stored | None]:
        """Return what is stored at each place. Raises like the store."""
        found: dict[Place, Stored | None] = {}
        for part in self._parts():
            try:
                answers = await self._store.stored(part, self._whole, self._bare)
            except RetryLater as fault:
                if fault.reason in _TOO_MUCH and not self._whole.isdisjoint(part):
                    self._size = max(1, min(self._size, len(self._large)) // 2)
                raise
            found.update(zip(part, answers, strict=True))
        return found

    def _parts(self) -> Iterator[Sequence[Place]]:
        """Most lookups are one request: what is small goes with the first of what is large."""
        yield [*self._small, *self._large[: self._size]]
        for start in range(self._size, len(self._large), self._size):
            yield self._large[start : start + self._size]
