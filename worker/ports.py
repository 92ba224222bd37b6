"""What the runtime needs from the outside world, as Protocols with written contracts.

An adapter holds one client and implements one of these; so does its fake under `tests/fakes`, and both pass the same
suite under `tests/contract`. Unless a method says otherwise: it raises `RetryLater` when the same call may succeed
later, and `Halt` when it cannot until somebody mends something.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.records import ItemResponse, OldTombstone, Place, Record, Removal, RowPlace, Stored, TopicPartition
from worker.stages.cluster_view import ClusterView, IndexView
from worker.stages.index_state import Held, IndexDefinition, IndexState, Json
from worker.stages.progress import GroupState
from worker.stages.sampling import Extent, Span, TopicLimits
from worker.stages.search import Found, Query
from worker.stages.worker_answer import WorkerAnswer

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Commit:
    """What to commit for one partition: the next offset to read, and a short text kept beside it."""

    offset: int
    metadata: str


class CommitRefusedError(Exception):
    """The group has moved on: the partitions belong to somebody else, and so do their offsets."""


class AssignmentListener(Protocol):
    """Told when partitions come and go. Called from the client's own task: fetching goes on meanwhile."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish or drop what belongs to these partitions and commit; return within the rebalance timeout.

        Never raises: the client would swallow it.
        """

    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        """Take over these partitions: ALL that this worker now has. The text is the last commit's metadata.

        Records of this assignment carry `epoch`.
        """


class Source(Protocol):
    """The log of change events."""

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group. Raises `OperatorError` for a mistake in the settings (no such topic, no access)."""

    async def fetch(self) -> Sequence[Record]:
        """Wait a short while for records and return them, in order per partition; perhaps none. One task calls this.

        Partitions that were added to a topic bring nothing until the group has read what lay in the older ones when
        they were found. Positions carry the assignment's epoch. Cancelling loses nothing that was not committed.
        Raises `Halt` when offsets are missing or lost and the declared policy is `fail`.
        """

    def pause(self) -> None:
        """Fetch nothing more from any partition until `resume`; stays in the group."""

    def resume(self) -> None:
        """Fetch again."""

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Commit. Raises `CommitRefusedError` after a rebalance: the caller drops the commit, no harm done."""

    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to read of each assigned partition that is read at present.

        Behind everything that `fetch` has returned, and behind what the log holds but shows to nobody: markers of
        transactions, records of aborted ones, gaps of compaction. Never behind a record that is still to come.
        """

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Ask up to where each assigned partition can be read: to its end, or to an open transaction.

        Raises `RetryLater` if no broker answers.
        """

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records between what was fetched last and the end of the log as last seen, per assigned partition.

        What the log has deleted does not count, once `ends` has seen that it is gone.
        """

    async def close(self) -> None:
        """Leave the group. Does not commit: the runtime has drained and committed before."""


class Embedder(Protocol):
    """Text to vectors. The work happens in a thread of its own, or behind HTTP; the event loop stays free."""

    @property
    def model(self) -> str:
        """Name and revision of the model, as it is stored with every document."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    @property
    def concurrency(self) -> int:
        """How many calls of `embed` are worth making at a time.

        For a model of this process two: while it is at one the next is ready, so its thread never waits for the event
        loop.
        """
        return 2

    async def start(self) -> None:
        """Load the model and embed one text. Raises `OperatorError` if the model is missing or broken."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one finite, non-zero vector a text: shape (len(texts), dimensions), float32, in order.

        Raises `Halt` with reason `embedder_failed` where it fails on these texts, or on any: the caller tells which.
        One behind HTTP also raises `RetryLater`, and `Halt` with reasons of its own.
        """

    async def close(self) -> None:
        """Let the thread end. Returns when the call in progress has ended."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What an `EmbeddingModel` takes and gives.

    `max_tokens` is the longest sequence that it takes, without the `special_tokens` that it puts around each.
    """

    dimensions: int
    max_tokens: int
    special_tokens: int


class EmbeddingModel(Protocol):
    """A model inside this process: tokens in, vectors out. One thread makes every call, `load` the first of them.

    What to do with long texts, with many, with the same ones again is not its concern: see
    `adapters/local_embedder.py`. Any exception of `tokens` or `embed` counts as a failure on these texts.
    """

    def load(self) -> ModelShape:
        """Load the model. Raises `OSError`, `ValueError`, `ImportError` or `RuntimeError` if that fails."""

    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return each text's tokens: all of them, however many, without special tokens. Perhaps none."""

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a sequence: shape (len(batch), dimensions), float32, in order, of any length.

        The sequences are of like length, at most `max_tokens` each; one may be empty.
        """


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

    async def stored(self, places: Sequence[Place], whole: Collection[Place] = ()) -> Sequence[Stored | None]:
        """Return what is stored at each place, tombstones included, in order; None where there is nothing.

        Only for the places in `whole` is the rest of the document brought along.
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

    async def count(self, before_ms: int) -> int:
        """Return how many were written before this time. Sees what is refreshed."""

    def found(self, before_ms: int, size: int) -> AsyncIterator[Sequence[OldTombstone]]:
        """Yield them, at most `size` at a time, as they were when this was called."""

    async def remove(self, tombstones: Sequence[OldTombstone]) -> Sequence[tuple[Removal, str]]:
        """Delete each that is still the same write; return what became of each and, if it failed, why, in order."""


class LetterTooLargeError(Exception):
    """The dead-letter topic takes no record of this size: less of it must be sent."""


class DeadLetters(Protocol):
    """Where records go that can never be indexed."""

    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        """Send the record, untouched but for added headers; return when it is durable.

        At least one of key and value is not None. Raises `Halt` when the topic cannot be written to, and
        `LetterTooLargeError`.
        """

    async def close(self) -> None:
        """Close the connection."""


class DeadLetterLog(Protocol):
    """The dead-letter topic, for those who look into it. Belongs to no group, commits nothing, changes nothing."""

    def read(self, since_ms: int | None = None) -> AsyncIterator[Record]:
        """Yield every record, partition by partition or mixed, up to the end that each had when this was called.

        Starts at the first record, or at the first that is not older than `since_ms`. Only a fetch of them is held in
        memory at a time. Raises `OperatorError` if the topic or a broker cannot be read.
        """

    async def record_at(self, partition: int, offset: int) -> Record | None:
        """Return one record; None if there is none at that place, or not any more."""

    async def close(self) -> None:
        """Close the connection."""


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


class IndexAdmin(Protocol):
    """What indices, aliases and templates there are, and the few writes that `apply` needs.

    Used by commands and at start, never while records flow. A request that the server understands and refuses raises
    `OperatorError`, with the server's reason in it.
    """

    async def indices(self, names: Sequence[str]) -> Mapping[str, IndexState]:
        """Return every index that is called one of these names or stands behind one as an alias; {} if none does.

        At least one name. Needs the privilege `view_index_metadata` on the names, and nothing else.
        """

    async def component_template(self, name: str) -> Json | None:
        """Return the body of a component template, or None if there is none of that name."""

    async def index_template(self, name: str) -> Json | None:
        """Return the body of a composable index template, or None if there is none of that name."""

    async def put_component_template(self, name: str, body: Json) -> None:
        """Create a component template, or replace it as a whole."""

    async def put_index_template(self, name: str, body: Json) -> None:
        """Create an index template, or replace it as a whole."""

    async def create_index(self, name: str, definition: IndexDefinition, aliases: Mapping[str, Json]) -> None:
        """Create an index and its aliases in one step. Raises `OperatorError` if there is one of that name."""

    async def add_sync_fields(self, index: str, fields: Json) -> None:
        """Add fields of `sync` to the mapping of an index. One that is there already stays, or is refused."""

    async def add_aliases(self, index: str, aliases: Mapping[str, Json]) -> None:
        """Add aliases to an index, all or none."""

    async def close(self) -> None:
        """Close the connections."""


class ServerInspector(Protocol):
    """What Elasticsearch says of itself and of this credential; None for what it does not tell."""

    async def version(self) -> str | None:
        """Return the server's version, such as `9.1.4`; None where the credential may not see it."""

    async def granted(self, index: str, privileges: Sequence[str]) -> frozenset[str] | None:
        """Return which of these index privileges the credential has on a name; None where security is off."""

    async def held(self, alias: str) -> Held | None:
        """Return what an alias holds, as far as it is refreshed; None without `read`, or where there is none."""

    async def clock_ms(self, alias: str) -> int | None:
        """Return the server's time in milliseconds since 1970; None without `read` on the alias."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key by its name, and when it expires; None if it never does."""

    name: str
    expires_ms: int | None


class ClusterInspector(Protocol):
    """How Elasticsearch is; None for what the credential may not see, or the server does not tell."""

    async def cluster(self) -> ClusterView | None:
        """Return health, disks, rejected requests and tripped breakers. Needs the cluster privilege `monitor`."""

    async def index(self) -> IndexView | None:
        """Return sizes and times of the index. Needs the index privilege `monitor`."""

    async def api_key(self) -> ApiKey | None:
        """Return the API key that is used; None where it is a password, or security is off. Needs no privilege."""


class TopicReader(Protocol):
    """Reads topics from the side: in no consumer group, and without a trace on the broker.

    For commands, where a person waits. Raises `OperatorError` if the broker refuses or cannot be reached.
    """

    async def topics(self) -> Mapping[str, int]:
        """Return every topic that may be seen, with the number of its partitions."""

    async def extents(self, topics: Collection[str]) -> Mapping[TopicPartition, Extent]:
        """Return which offsets each partition of these topics holds. The topics must exist."""

    async def limits(self, topics: Collection[str]) -> Mapping[str, TopicLimits]:
        """Return what these topics keep and take; those whose settings this user may not see are missing."""

    async def may_write(self, topic: str) -> bool | None:
        """Whether this user may write to a topic, tried without writing; None where that cannot be told."""

    async def read(self, spans: Sequence[Span], max_bytes: int, seconds: float) -> Sequence[Record]:
        """Return the records at these offsets, in order per partition; of each partition, spans in rising order.

        Offsets may hold nothing (compaction, marks of transactions). Stops when records of `max_bytes` or more are
        there, or after `seconds`, with what there is by then.
        """

    async def close(self) -> None:
        """Close the connections."""


class GroupReader(Protocol):
    """A consumer group seen from outside: joins nothing, commits nothing.

    For commands, where a person waits. Raises `OperatorError` if the broker refuses or cannot be reached.
    """

    async def group(self) -> GroupState:
        """Return the group's members; a group that never was is `Dead` and has none."""

    async def commits(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Commit]:
        """Return the group's commits for these partitions; those without one are missing."""

    async def may_join(self) -> bool | None:
        """Whether this user may join the group; None where the broker does not tell."""

    async def close(self) -> None:
        """Close the connections."""


class WorkerProbe(Protocol):
    """Asks a worker what its own HTTP server says."""

    async def ask(self, url: str) -> WorkerAnswer | None:
        """Return what `/readyz` and `/metrics` below this base URL say; None if nothing answers in time."""
