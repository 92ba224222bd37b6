"""What every inspector of servers promises, on the fake and on real servers."""

import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.fakes.server_inspector import FakeServerInspector
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_inspect import ElasticInspector
from worker.control.apply import apply
from worker.ports import ServerInspector
from worker.settings import ElasticsearchSettings, IndexSettings
from worker.stages.index_state import Held

PRIVILEGES = ["index", "read", "maintenance"]


@pytest.fixture(params=["fake", "real"])
async def inspector(request: pytest.FixtureRequest) -> AsyncIterator[ServerInspector]:
    if request.param == "fake":
        yield FakeServerInspector()
        return
    hosts = [request.getfixturevalue("servers").elasticsearch]
    async with build_client(ElasticsearchSettings.model_validate({"hosts": hosts})) as client:
        yield ElasticInspector(client)


async def test_a_version_is_numbers_or_not_to_be_seen(inspector: ServerInspector) -> None:
    version = await inspector.version()
    assert version is None or all(part.isdigit() for part in version.split("."))


async def test_without_security_there_are_no_privileges(inspector: ServerInspector) -> None:
    assert await inspector.granted("articles-write", PRIVILEGES) is None
    assert await inspector.granted_on_cluster(["monitor"]) is None


async def test_a_cluster_that_takes_writes_has_no_block(inspector: ServerInspector) -> None:
    assert not await inspector.write_blocks()


async def test_nothing_is_told_of_an_alias_that_is_not_there(inspector: ServerInspector) -> None:
    assert await inspector.held("nowhere-write") is None
    assert await inspector.clock_ms("nowhere-write") is None


async def test_documents_and_tombstones_are_counted_apart_and_the_clock_is_the_servers(
    request: pytest.FixtureRequest,
) -> None:
    hosts = [request.getfixturevalue("servers").elasticsearch]
    settings = IndexSettings(alias=f"held-{secrets.token_hex(4)}")
    async with build_client(ElasticsearchSettings.model_validate({"hosts": hosts})) as client:
        await apply(ElasticAdmin(client), settings, dry_run=False)
        alias = settings.writer_alias
        for number, deleted in enumerate([False, False, True]):
            sync = {"source": "a", "key": str(number), "version": 1} | ({"deleted": True} if deleted else {})
            await client.index(index=alias, id=str(number), routing="acme", document={"sync": sync}, refresh=True)
        inspector = ElasticInspector(client)
        assert await inspector.held(alias) == Held(documents=2, tombstones=1)
        before = time.time_ns() // 1_000_000
        clock = await inspector.clock_ms(alias)
        assert clock is not None
        # The servers of these tests are on this machine.
        assert before - 1000 <= clock <= time.time_ns() // 1_000_000 + 1000
        await client.indices.delete(index=settings.first_index)


@pytest.mark.needs_jvm
async def test_with_security_each_privilege_is_told(request: pytest.FixtureRequest) -> None:
    address = urlsplit(request.getfixturevalue("servers").elasticsearch_secured)
    hosts = [f"{address.scheme}://{address.hostname}:{address.port}"]
    owner = {"hosts": hosts, "username": address.username, "password": address.password}
    async with build_client(ElasticsearchSettings.model_validate(owner)) as admin:
        role = {"indices": [{"names": ["a-write"], "privileges": ["index", "read"]}]}
        key = await admin.security.create_api_key(name="least", role_descriptors={"worker": role})
        assert await ElasticInspector(admin).granted("a-write", PRIVILEGES) == frozenset(PRIVILEGES)
        assert await ElasticInspector(admin).granted_on_cluster(["monitor"]) == frozenset({"monitor"})
        assert await ElasticInspector(admin).write_blocks() == ()
    least = ElasticsearchSettings.model_validate({"hosts": hosts, "api_key": key["encoded"]})
    async with build_client(least) as client:
        assert await ElasticInspector(client).granted("a-write", PRIVILEGES) == frozenset({"index", "read"})
        assert await ElasticInspector(client).granted("other", PRIVILEGES) == frozenset()
        assert await ElasticInspector(client).granted_on_cluster(["monitor"]) == frozenset()
        assert await ElasticInspector(client).version() is None
        assert await ElasticInspector(client).write_blocks() is None
        assert await ElasticInspector(client).held("other") is None
        assert await ElasticInspector(client).clock_ms("other") is None
