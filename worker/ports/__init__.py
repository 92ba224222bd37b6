"""What the runtime needs from the outside world, as Protocols with written contracts.

An adapter holds one client and implements one of these; so does its fake under `tests/fakes`, and both pass the same
suite under `tests/contract`. Unless a method says otherwise: it raises `RetryLater` when the same call may succeed
later, and `Halt` when it cannot until somebody mends something.
"""

from worker.ports.index import DocumentStore, Locator, RequestTooLargeError, Searcher, Sink, SourcePage, Tombstones
from worker.ports.log import (
    AssignmentListener,
    Commit,
    CommitRefusedError,
    DeadLetterLog,
    DeadLetters,
    LetterTooLargeError,
    Source,
)
from worker.ports.model import Embedder, EmbeddingModel, ModelShape, Vectors
from worker.ports.operating import (
    ApiKey,
    ClusterInspector,
    GroupReader,
    IndexAdmin,
    ServerInspector,
    TopicReader,
    WorkerProbe,
)

__all__ = [
    "ApiKey",
    "AssignmentListener",
    "ClusterInspector",
    "Commit",
    "CommitRefusedError",
    "DeadLetterLog",
    "DeadLetters",
    "DocumentStore",
    "Embedder",
    "EmbeddingModel",
    "GroupReader",
    "IndexAdmin",
    "LetterTooLargeError",
    "Locator",
    "ModelShape",
    "RequestTooLargeError",
    "Searcher",
    "ServerInspector",
    "Sink",
    "Source",
    "SourcePage",
    "Tombstones",
    "TopicReader",
    "Vectors",
    "WorkerProbe",
]
