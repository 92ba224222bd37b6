"""The index: what writes, reads, finds and searches documents."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.records import ItemResponse, OldTombstone, Place, Removal, RowPlace, Stored
from worker.stages.search import Found, Query


class RequestTooLargeError(Exception):
    """413: the request must be split."""


class Sink(Protocol):
    """Where documents are written."""

    @property
    def target(self) -> str:
        """The write alias, which every item must name."""

    @property
    def packs_vectors(self) -> bool:
        """Whether vectors are to be written as base64 of their big-endian float32: the server takes that."""

    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        """Send one pre-serialised bulk body of `count` items; return one response an item, in order.

        Sends once. Raises `RetryLater` if the outcome of the whole request is unknown or "not now", `Halt` if the
        target or the credentials are wrong, `RequestTooLargeError`.
        """

    async def probe(self) -> None:
        """Check that the write alias can be written to. Raises like `bulk`."""

    async def close(self) -> None:
        """Close the connections."""


class DocumentStore(Protocol):
    """What is stored already, read in real time (not delayed by refresh)."""

    async def stored(
        self, places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        """Return what is stored at each place, tombstones included, in order; None where there is nothing.

        Only for the places in `whole` is the rest of the document brought along, and for those in `bare` that are not
        whole not even the vector: it is None there, whatever is stored.
        """


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Some documents of a source, and after which of them the next page begins; None if this one was the last."""

    documents: Sequence[RowPlace]
    after: RowPlace | None


class Locator(Protocol):
    """Finds documents by what `sync` tells of their rows, whatever their tenant. Only sees what is refreshed.

    All methods raise `RetryLater` also where only some shards answered: a copy that is missed is a leak.
    """

    async def refresh(self) -> None:
        """Let searches see everything that was acknowledged before this call.

        Raises `Halt` with reason `forbidden` without the privilege `maintenance`.
        """

    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        """Return where there are documents of these rows, tombstones apart, however many; a row without any is missing.

        Needs the privilege `read`.
        """

    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        """Return a page of a source's documents with versions below `below`, tombstones apart, in an order that stays.

        Left out, too, are rows that a snapshot has read behind `below` in the log: see `documents.stands_behind`.
        `after` is that of the page before, None for the first. What is written between two pages may be in none of
        them. Needs the privilege `read`.
        """


class Tombstones(Protocol):
    """The tombstones behind the write alias, for those who remove old ones."""

    def found(self, before_ms: int, size: int) -> AsyncIterator[Sequence[OldTombstone]]:
        """Yield those written before this time, at most `size` at a time, as they were when this was called.

        Sees what is refreshed.
        """

    async def remove(self, tombstones: Sequence[OldTombstone]) -> Sequence[tuple[Removal, str]]:
        """Delete each that is still the same write; return what became of each and, if it failed, why, in order."""


class Searcher(Protocol):
    """Ranked search for readers, inside one tenant."""

    async def search(self, query: Query) -> Sequence[Sequence[Found]]:
        """Return the rankings that the query's mode needs, best first: by words, by meaning, or both in this order.

        Each holds at most `query.window` documents, all of `query.tenant`, and no tombstone. Reads what is refreshed,
        not what was written a moment ago. Raises `OperatorError` if the index does not fit the query (no such alias,
        another vector length).
        """

    async def close(self) -> None:
        """Close the connections."""
