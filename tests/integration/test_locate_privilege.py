"""What a worker needs to be allowed to locate rows, on a server with security."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.contract.index_bench import article, send, write
from tests.servers.start import Servers
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.errors import Halt, HaltReason
from worker.records import Place
from worker.resources import load_index_definition
from worker.settings import ElasticsearchSettings

pytestmark = pytest.mark.needs_jvm
USUAL = ["index", "delete", "read", "view_index_metadata"]


@pytest.mark.parametrize("more", [[], ["maintenance"]], ids=["usual", "maintenance"])
async def test_a_refresh_takes_the_privilege_maintenance_and_the_refusal_says_so(
    servers: Servers, more: list[str]
) -> None:
    parts = urlsplit(servers.elasticsearch_secured)
    url = f"http://{parts.hostname}:{parts.port}"
    alias = f"locate-{len(more)}-write"
    admin = build_client(
        ElasticsearchSettings.model_validate({"hosts": [url], "username": parts.username, "password": parts.password})
    )
    definition = load_index_definition("articles")
    await admin.indices.create(
        index=f"locate-{len(more)}-v000001",
        settings={**definition.settings, "number_of_replicas": 0},
        mappings=definition.mappings,
        aliases={alias: {"is_write_index": True}},
    )
    role: dict[str, Any] = {"worker": {"indices": [{"names": [alias], "privileges": [*USUAL, *more]}]}}
    key = await admin.security.create_api_key(name=alias, role_descriptors=role)
    worker = build_client(ElasticsearchSettings.model_validate({"hosts": [url], "api_key": key["encoded"]}))
    locator = ElasticLocator(worker, alias)
    try:
        await send(ElasticSink(worker, alias), write(Place("acme/1", "acme"), 1, article("a")))
        if more:
            await locator.refresh()
            assert await locator.places(["1"]) == {"1": {Place("acme/1", "acme")}}
        else:
            assert await locator.places(["2"]) == {}
            with pytest.raises(Halt, match=f"'maintenance' on {alias}, or set locate: never") as halt:
                await locator.refresh()
            assert halt.value.reason is HaltReason.FORBIDDEN
    finally:
        await worker.close()
        await admin.close()
