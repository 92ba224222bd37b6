import asyncio
import logging

import pytest

from tests.fakes.cluster_inspector import FakeClusterInspector
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import ApiKey
from worker.records import TopicPartition
from worker.runtime.beside import beside
from worker.runtime.cluster_watch import ClusterWatch
from worker.settings import MetricsSettings
from worker.stages.cluster_view import ClusterView, Count, IndexView, cluster_view, index_view, is_elected, rises

pytestmark = pytest.mark.virtual_time
REJECTED = Count("rejected", ("node-1", "write"))


class Watched:
    def __init__(self, key: ApiKey | None = None, **settings: bool) -> None:
        self.metrics = Metrics(MetricsSettings.model_validate({"cluster_interval": 30, **settings}))
        self.inspector = FakeClusterInspector(key)
        self.elected = True
        self.watch = ClusterWatch(self.inspector, lambda: self.elected, self.metrics)

    def value(self, name: str, /, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"syncline_{name}", labels)

    def rejected(self, count: int) -> None:
        self.inspector.view = ClusterView("green", {"node-1": 0.4}, {REJECTED: count})


async def test_what_the_cluster_tells_is_shown() -> None:
    one = Watched()
    await one.watch.look()
    assert one.value("cluster_view_up") == 1
    assert one.value("cluster_status", status="green") == 1
    assert one.value("cluster_status", status="red") == 0
    assert one.value("cluster_disk_used_ratio", node="node-1") == 0.4
    assert one.value("index_store_bytes", index="articles-v000001") == 1000
    assert one.value("index_documents", index="articles-v000001") == 10


async def test_counts_begin_at_nothing_and_rise_with_the_servers() -> None:
    one = Watched()
    for server, shown in [(5, 0), (7, 2), (1, 2), (4, 5)]:
        one.rejected(server)
        await one.watch.look()
        assert one.value("cluster_rejected_threads_total", node="node-1", pool="write") == shown


async def test_one_that_is_not_elected_shows_and_asks_nothing() -> None:
    one = Watched()
    await one.watch.look()
    one.elected = False
    await one.watch.look()
    assert one.inspector.asked == 1
    assert one.value("cluster_view_up") == 0
    assert one.value("cluster_status", status="green") is None
    one.elected = True
    one.rejected(1000)
    await one.watch.look()
    assert one.value("cluster_rejected_threads_total", node="node-1", pool="write") == 0, "it was another's to count"


async def test_it_can_be_switched_off_and_the_key_is_watched_all_the_same() -> None:
    one = Watched(ApiKey("worker", 1_800_000_000_000), cluster=False)
    await one.watch.look()
    assert one.inspector.asked == 0
    assert one.value("api_key_expiry_timestamp_seconds", name="worker") == 1_800_000_000


async def test_a_key_that_never_expires_has_no_series() -> None:
    one = Watched(ApiKey("worker", 1_800_000_000_000))
    await one.watch.look()
    one.inspector.key = ApiKey("worker", None)
    await one.watch.look()
    assert one.value("api_key_expiry_timestamp_seconds", name="worker") is None


async def test_a_missing_privilege_is_one_line_and_seldom_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = Watched()
    one.inspector.view = one.inspector.indices = None
    async with beside(one.watch.run(), "cluster-watch"):
        await asyncio.sleep(3600)
    (told,) = (record.message for record in caplog.records)
    assert "grant the privilege monitor on the cluster and index to the worker's credentials" in told
    assert 5 <= one.inspector.asked <= 7


async def test_half_a_view_is_shown_where_half_is_granted() -> None:
    one = Watched()
    one.inspector.indices = None
    await one.watch.look()
    assert one.value("cluster_view_up") == 1
    assert one.value("index_documents", index="articles-v000001") is None


@pytest.mark.parametrize(
    "fault", [RetryLater(RetryReason.CONNECTION, "refused"), Halt(HaltReason.UNAUTHENTICATED, "no")]
)
async def test_while_there_is_no_answer_nothing_old_is_shown(
    fault: RetryLater | Halt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = Watched()
    async with beside(one.watch.run(), "cluster-watch"):
        await asyncio.sleep(1)
        one.inspector.fault = fault
        await asyncio.sleep(100)
        assert one.value("cluster_view_up") == 0
        assert one.value("cluster_disk_used_ratio", node="node-1") is None
        one.inspector.fault = None
        await asyncio.sleep(30)
        assert one.value("cluster_view_up") == 1
    assert len(caplog.records) == 1


async def test_an_answer_that_nobody_foresaw_ends_nothing() -> None:
    one = Watched()
    one.inspector.view = ClusterView("green", counts={Count("unheard of"): 1})
    async with beside(one.watch.run(), "cluster-watch"):
        await asyncio.sleep(31)
        one.rejected(1)
        await asyncio.sleep(31)
        assert one.value("cluster_view_up") == 1


def test_the_fullest_data_path_counts_by_what_is_available() -> None:
    paths = [
        {"total_in_bytes": 100, "free_in_bytes": 90, "available_in_bytes": 10},
        {"total_in_bytes": 100, "available_in_bytes": 80},
    ]
    node = {
        "name": "es-0",
        "fs": {"data": paths},
        "thread_pool": {"write": {"rejected": 3}, "flush": {"rejected": 9}},
        "breakers": {"parent": {"tripped": 2}},
    }
    view = cluster_view({"status": "yellow"}, {"nodes": {"x1": node, "x2": {}}})
    assert view.status == "yellow"
    assert view.disks == {"es-0": pytest.approx(0.9)}
    assert view.counts[Count("rejected", ("es-0", "write"))] == 3
    assert view.counts[Count("trips", ("es-0", "parent"))] == 2
    assert Count("rejected", ("es-0", "flush")) not in view.counts


def test_times_of_an_index_are_seconds_over_all_its_shards() -> None:
    search, indexing = {"query_total": 8, "query_time_in_millis": 500}, {"index_total": 4, "index_time_in_millis": 20}
    view = index_view({"_all": {"total": {"search": search, "indexing": indexing}}, "indices": {"a": {}}})
    assert view.counts == {
        Count("queries"): 8,
        Count("query_seconds"): 0.5,
        Count("indexed"): 4,
        Count("indexing_seconds"): 0.02,
    }
    assert view.sizes == {"a": (0, 0)}


def test_an_empty_answer_is_an_empty_view() -> None:
    assert cluster_view({}, {}) == ClusterView("")
    assert index_view({}) == IndexView({}, dict.fromkeys(index_view({}).counts, 0))


def test_a_count_that_is_new_begins_at_nothing() -> None:
    assert dict(rises({Count("a"): 3}, {Count("a"): 5, Count("b"): 7})) == {Count("a"): 2, Count("b"): 0}


@pytest.mark.parametrize(
    ("topics", "partitions", "elected"),
    [
        (["b", "a"], [("a", 0)], True),
        (["b", "a"], [("b", 0), ("a", 1)], False),
        ([], [("x", 1), ("y", 0)], True),
        ([], [("x", 1)], False),
    ],
)
def test_who_has_the_first_partition_of_the_first_topic_watches(
    topics: list[str], partitions: list[tuple[str, int]], *, elected: bool
) -> None:
    assert is_elected(topics, [TopicPartition(*one) for one in partitions]) is elected
