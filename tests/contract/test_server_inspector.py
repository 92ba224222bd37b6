"""What every inspector of servers promises, on the fake and on real servers."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.fakes.server_inspector import FakeServerInspector
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_inspect import ElasticInspector
from worker.ports import ServerInspector
from worker.settings import ElasticsearchSettings

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


@pytest.mark.needs_jvm
async def test_with_security_each_privilege_is_told(request: pytest.FixtureRequest) -> None:
    address = urlsplit(request.getfixturevalue("servers").elasticsearch_secured)
    hosts = [f"{address.scheme}://{address.hostname}:{address.port}"]
    owner = {"hosts": hosts, "username": address.username, "password": address.password}
    async with build_client(ElasticsearchSettings.model_validate(owner)) as admin:
        role = {"indices": [{"names": ["a-write"], "privileges": ["index", "read"]}]}
        key = await admin.security.create_api_key(name="least", role_descriptors={"worker": role})
        assert await ElasticInspector(admin).granted("a-write", PRIVILEGES) == frozenset(PRIVILEGES)
    least = ElasticsearchSettings.model_validate({"hosts": hosts, "api_key": key["encoded"]})
    async with build_client(least) as client:
        assert await ElasticInspector(client).granted("a-write", PRIVILEGES) == frozenset({"index", "read"})
        assert await ElasticInspector(client).granted("other", PRIVILEGES) == frozenset()
        assert await ElasticInspector(client).version() is None
