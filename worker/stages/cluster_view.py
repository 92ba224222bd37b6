"""What Elasticsearch tells of itself, from the bodies of its answers to what is worth watching."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from worker.records import TopicPartition

Json = Mapping[str, Any]
STATUSES: Final = ("green", "yellow", "red")
POOLS: Final = ("write", "search", "get")
"""Thread pools whose rejections concern the worker or those who search."""
_BLOCKS: Final = ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")


class Count(NamedTuple):
    """A number that only rises while its node is up; `name` says which, `labels` of what."""

    name: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Needs the cluster's privilege `monitor`. `disks` are shares by node; `counts` are `rejected` and `trips`."""

    status: str
    disks: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[Count, float] = field(default_factory=dict)


class IndexSize(NamedTuple):
    """Bytes with all copies, documents without."""

    store_bytes: int
    documents: int


@dataclass(frozen=True, slots=True)
class IndexView:
    """Needs the index's privilege `monitor`. `counts` are sums over shards: queries, documents written, and seconds."""

    sizes: Mapping[str, IndexSize] = field(default_factory=dict)
    counts: Mapping[Count, float] = field(default_factory=dict)


def cluster_view(health: Json, nodes: Json) -> ClusterView:
    """Read `_cluster/health` and `_nodes/stats/fs,thread_pool,breaker`; what is missing there is missing here."""
    disks: dict[str, float] = {}
    counts: dict[Count, float] = {}
    for node_id, node in nodes.get("nodes", {}).items():
        name = str(node.get("name", node_id))
        if (used := _fullest(node.get("fs", {}))) is not None:
            disks[name] = used
        for pool in POOLS:
            counts[Count("rejected", (name, pool))] = _number(node, "thread_pool", pool, "rejected")
        for breaker, state in node.get("breakers", {}).items():
            counts[Count("trips", (name, breaker))] = _number(state, "tripped")
    return ClusterView(str(health.get("status", "")), disks, counts)


def index_view(stats: Json) -> IndexView:
    """Read `<index>/_stats/docs,store,search,indexing`."""
    sizes = {
        name: IndexSize(
            int(_number(index, "total", "store", "size_in_bytes")), int(_number(index, "primaries", "docs", "count"))
        )
        for name, index in stats.get("indices", {}).items()
    }
    total = stats.get("_all", {}).get("total", {})
    counts = {
        Count("queries"): _number(total, "search", "query_total"),
        Count("query_seconds"): _number(total, "search", "query_time_in_millis") / 1000,
        Count("indexed"): _number(total, "indexing", "index_total"),
        Count("indexing_seconds"): _number(total, "indexing", "index_time_in_millis") / 1000,
    }
    return IndexView(sizes, counts)


def write_blocks(settings: Json) -> tuple[str, ...]:
    """Read `_cluster/settings?flat_settings=true`: the settings that keep all writes out, each with where it is set.

    Set in one of both places such a setting holds, also where the other says false.
    """
    return tuple(
        f"{name} ({place})"
        for name in _BLOCKS
        for place in ("persistent", "transient")
        if str((settings.get(place) or {}).get(name)).lower() == "true"
    )


def rises(before: Mapping[Count, float] | None, now: Mapping[Count, float]) -> Iterator[tuple[Count, float]]:
    """Yield by how much each count has risen: 0 for what is seen for the first time, or has fallen.

    A node that starts again, or a shard that moves, begins at nothing: what it counted in between is left out.
    """
    for count, value in now.items():
        yield count, 0.0 if before is None else max(0.0, value - before.get(count, value))


def is_elected(topics: Collection[str], partitions: Collection[TopicPartition]) -> bool:
    """Whether of all workers of a group the one with these partitions is to watch Elasticsearch.

    It has partition 0 of the first topic that the settings name. Where they name none but give a pattern, no worker
    knows all topics: then each that has a partition 0 does, and whoever reads the metrics takes the maximum.
    """
    if topics:
        return TopicPartition(min(topics), 0) in partitions
    return any(partition.partition == 0 for partition in partitions)


def _fullest(fs: Json) -> float | None:
    """Return the share of a node's fullest disk; by what is available, as Elasticsearch's own watermarks."""
    paths = fs.get("data") or [fs.get("total", {})]
    shares = [
        1 - path["available_in_bytes"] / path["total_in_bytes"]
        for path in paths
        if path.get("total_in_bytes") and path.get("available_in_bytes") is not None
    ]
    return max(shares, default=None)


def _number(body: Json, *path: str) -> float:
    value: Any = body
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else 0.0
