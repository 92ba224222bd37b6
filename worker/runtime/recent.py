"""Where rows were written since the last refresh: what a search cannot see yet."""

from collections.abc import Callable, Collection

from worker.records import Place


class RecentPlaces:
    """Places by source key. Owned by one task; bounded, because its owner refreshes when it is full."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: dict[str, frozenset[Place]] = {}

    def note(self, key: str, place: Place) -> None:
        """Remember that a document of a row is about to be written."""
        self._places[key] = self._places.get(key, frozenset()) | {place}

    def of(self, key: str) -> frozenset[Place]:
        """Return where a row was written."""
        return self._places.get(key, frozenset())

    @property
    def is_full(self) -> bool:
        """Whether it is time for a refresh, so that most can be forgotten."""
        return len(self._places) >= self._limit

    def finished(self, is_in_flight: Callable[[str], bool]) -> Collection[str]:
        """Return the keys of which nothing is in flight: a refresh that starts now will show all their writes."""
        return [key for key in self._places if not is_in_flight(key)]

    def forget(self, keys: Collection[str]) -> None:
        """Forget what a search can see by now."""
        for key in keys:
            self._places.pop(key, None)
