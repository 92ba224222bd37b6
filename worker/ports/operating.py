"""What commands and watchers ask of servers and workers beside the flow of documents."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.ports.log import Commit
from worker.records import Record, TopicPartition
from worker.stages.cluster_view import ClusterView, IndexView
from worker.stages.index_state import Held, IndexDefinition, IndexState, Json
from worker.stages.progress import GroupState
from worker.stages.sampling import Extent, Span, TopicLimits
from worker.stages.worker_answer import WorkerAnswer


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

    async def granted_on_cluster(self, privileges: Sequence[str]) -> frozenset[str] | None:
        """Return which of these cluster privileges the credential has; None where security is off."""

    async def write_blocks(self) -> Sequence[str] | None:
        """Return the settings of the whole cluster that keep writes out. Needs the cluster privilege `monitor`."""

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

    For commands, where a person waits. Raises `OperatorError` if the broker refuses or cannot be reached,
    `NotAllowedError` of these where this user lacks a right.
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
