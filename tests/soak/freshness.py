"""How old a change is when Elasticsearch shows it: measured from outside, and as the workers' own histograms tell it.

*Measured* is from the moment at which a change was written, which stands in it as its commit's time, to the answer of
Elasticsearch that first gives this version of the document or a newer one. It is asked by id, which needs no refresh;
fifty times a second, so a measured time is up to some 30 ms longer than the true one.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import islice, pairwise
from typing import Final

from tests.e2e.index import Index, call
from tests.e2e.process import Scrape
from tests.soak.direct import Event
from tests.threads import beside

_EVERY_S: Final = 0.02
_AT_ONCE: Final = 500
_NAME: Final = "syncline_freshness_seconds"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A change that Elasticsearch shows; times are those of the clock, in seconds."""

    partition: int
    committed_at: float
    seen_at: float

    @property
    def age(self) -> float:
        return self.seen_at - self.committed_at


class Watch:
    """Looks for the changes that it is told of, in a thread of its own."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._expected: dict[tuple[int, Event], None] = {}
        self.sightings: list[Sighting] = []
        self.unanswered = 0

    @property
    def waiting(self) -> int:
        """How many changes are not seen yet."""
        return len(self._expected)

    def expect(self, partition: int, event: Event) -> None:
        """Look for this change from now on."""
        with self._lock:
            self._expected[partition, event] = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look while the block runs."""

        def look(stopping: threading.Event) -> None:
            while not stopping.wait(_EVERY_S):
                try:
                    self._look()
                except (OSError, HTTPException):
                    self.unanswered += 1

        with beside(look, "freshness"):
            yield

    def _look(self) -> None:
        with self._lock:
            oldest = list(islice(self._expected, _AT_ONCE))
        if not oldest:
            return
        wanted = [{"_id": event.document_id, "routing": event.tenant, "_source": False} for _, event in oldest]
        found = call("POST", f"{self._index.url}/{self._index.alias}-write/_mget", {"docs": wanted})["docs"]
        now = time.time()
        for (partition, event), document in zip(oldest, found, strict=True):
            if document.get("found") and document["_version"] >= event.revision:
                self.sightings.append(Sighting(partition, event.at_ms / 1000, now))
                with self._lock:
                    del self._expected[partition, event]


def ages(sightings: Sequence[Sighting], begin: float, end: float) -> list[float]:
    """Of the changes that were committed in this time, sorted."""
    return sorted(one.age for one in sightings if begin <= one.committed_at < end)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these values that at least this share of them does not exceed; NaN of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def pauses(times: Sequence[float], begin: float, end: float, least: float = 0) -> list[tuple[float, float]]:
    """Between which moments, no less than `least` seconds apart, nothing was seen, be it in part in this time."""
    return [
        (before, after)
        for before, after in pairwise(sorted(times))
        if after - before >= least and after > begin and before < end
    ]


@dataclass(frozen=True, slots=True)
class Histogram:
    """What a worker has observed since its start, or several together, or between two moments."""

    buckets: Mapping[float, float] = field(default_factory=dict)
    """By upper edge in seconds, how many were not above it."""
    total: float = 0.0
    """The sum of all that was observed, in seconds."""

    @classmethod
    def of(cls, scrape: Scrape) -> "Histogram":
        counts = scrape.by(f"{_NAME}_bucket", "le")
        return cls({float(edge): count for edge, count in counts.items()}, scrape.total(f"{_NAME}_sum"))

    def __add__(self, other: "Histogram") -> "Histogram":
        return self._with(other, 1)

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        return self._with(earlier, -1)

    def _with(self, other: "Histogram", sign: int) -> "Histogram":
        edges = sorted(self.buckets.keys() | other.buckets.keys())
        counts = {edge: self.buckets.get(edge, 0) + sign * other.buckets.get(edge, 0) for edge in edges}
        return Histogram(counts, self.total + sign * other.total)

    @property
    def count(self) -> float:
        return self.buckets.get(math.inf, 0)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan

    def quantile(self, share: float) -> float:
        """As Prometheus's `histogram_quantile`: on a straight line within the bucket."""
        rank, lower, below = share * self.count, 0.0, 0.0
        for edge, count in sorted(self.buckets.items()):
            if count and count >= rank:
                if math.isinf(edge):
                    return lower
                return lower + (edge - lower) * (rank - below) / (count - below)
            lower, below = edge, count
        return math.nan
