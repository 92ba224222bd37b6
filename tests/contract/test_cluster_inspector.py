"""What every inspector of a cluster promises, on the fake and on real servers."""

import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.contract.index_bench import article, real_bench, send, write
from tests.fakes.cluster_inspector import FakeClusterInspector
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_cluster import ElasticCluster
from worker.ports import ApiKey, ClusterInspector
from worker.records import Place
from worker.settings import ElasticsearchSettings
from worker.stages.cluster_view import STATUSES, Count


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.needs_jvm)])
async def inspector(request: pytest.FixtureRequest) -> AsyncIterator[ClusterInspector]:
    if request.param == "fake":
        yield FakeClusterInspector()
        return
    url = request.getfixturevalue("servers").elasticsearch
    client = build_client(settings(url))
    async with real_bench(url) as bench, client:
        await send(bench.sink, write(Place("acme/1", "acme"), 1, article("one")))
        await bench.refresh()
        yield ElasticCluster(client, [bench.sink.target])


def settings(url: str, **credentials: str) -> ElasticsearchSettings:
    return ElasticsearchSettings.model_validate({"hosts": [url], **credentials})


async def test_the_cluster_tells_its_health_disks_and_refusals(inspector: ClusterInspector) -> None:
    view = await inspector.cluster()
    assert view is not None
    assert view.status in STATUSES
    assert view.disks
    assert all(0 < used < 1 for used in view.disks.values())
    assert {count.name for count in view.counts} >= {"rejected"}


async def test_the_index_tells_its_size_and_its_queries(inspector: ClusterInspector) -> None:
    view = await inspector.index()
    assert view is not None
    ((name, size),) = view.sizes.items()
    assert name.endswith("-v000001")
    assert size.store_bytes > 0
    assert size.documents >= 1
    assert view.counts[Count("queries")] >= 0


async def test_without_security_there_is_no_key(inspector: ClusterInspector) -> None:
    assert await inspector.api_key() is None


@pytest.mark.needs_jvm
async def test_a_key_without_any_privilege_may_ask_for_itself_and_for_nothing_else(
    request: pytest.FixtureRequest,
) -> None:
    address = urlsplit(request.getfixturevalue("servers").elasticsearch_secured)
    url = f"{address.scheme}://{address.hostname}:{address.port}"
    admin = build_client(settings(url, username=address.username or "", password=address.password or ""))
    async with admin:
        assert await ElasticCluster(admin, ["*"]).api_key() is None
        assert await ElasticCluster(admin, ["*"]).cluster() is not None
        role = {"indices": [{"names": ["a-write"], "privileges": ["index"]}]}
        brief = await admin.security.create_api_key(name="brief", expiration="1h", role_descriptors={"worker": role})
        lasting = await admin.security.create_api_key(name="lasting", role_descriptors={"worker": role})
    async with (client := build_client(settings(url, api_key=brief["encoded"]))):
        inspector = ElasticCluster(client, ["a-write"])
        key = await inspector.api_key()
        assert key is not None
        assert key.name == "brief"
        assert key.expires_ms == pytest.approx(1000 * (time.time() + 3600), abs=60_000)
        assert await inspector.cluster() is None
        assert await inspector.index() is None
    async with (client := build_client(settings(url, api_key=lasting["encoded"]))):
        assert await ElasticCluster(client, ["a-write"]).api_key() == ApiKey("lasting", None)
