"""What a lookup's answer says beside the document: whose version counts, and which index stands behind the alias."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from elasticsearch import AsyncElasticsearch

from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_store import ElasticStore
from worker.errors import Halt, HaltReason
from worker.records import Place, Stored
from worker.settings import ElasticsearchSettings

PLACE = Place("acme/articles/1", "acme")
FIRST, SECOND = "articles-v000001", "articles-v000002"


class Server:
    """Answers every lookup with one document."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"_index": FIRST, "found": True, "_version": 7, "_source": {}}
        self.refuses_questions = False
        self.asked: list[str] = []

    async def respond(self, request: web.Request) -> web.Response:
        self.asked.append(request.query_string)
        if self.refuses_questions and "exclude_vectors" in request.query_string:
            return web.json_response({"error": "no details", "status": 400}, status=400)
        return web.json_response({"docs": [self.document]}, headers={"x-elastic-product": "Elasticsearch"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncElasticsearch]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.respond)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hosts = [f"http://127.0.0.1:{runner.addresses[0][1]}"]
    async with build_client(ElasticsearchSettings.model_validate({"hosts": hosts})) as client:
        yield client
    await runner.cleanup()


async def looked_up(client: AsyncElasticsearch) -> Stored:
    (found,) = await ElasticStore(client, "articles-write").stored([PLACE])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ours", "version"), [(90, 90), (7, 7), (3, 7), (None, 7)], ids=["copied", "ours", "raised", "somebody else's"]
)
async def test_a_copy_that_counts_versions_from_one_keeps_those_that_are_written_in_it(
    server: Server, client: AsyncElasticsearch, ours: int | None, version: int
) -> None:
    server.document["_source"] = {"sync": {"version": ours}}
    assert (await looked_up(client)).version == version


@pytest.mark.parametrize("sync", [[{"version": 9}], "text", None])
async def test_a_document_of_somebody_else_is_one_like_any_other(
    server: Server, client: AsyncElasticsearch, sync: object
) -> None:
    server.document["_source"] = {"sync": sync}
    assert (await looked_up(client)).version == 7


async def test_a_document_without_a_source_would_lose_values(server: Server, client: AsyncElasticsearch) -> None:
    del server.document["_source"]
    with pytest.raises(Halt, match=f"{FIRST} keeps no _source") as halt:
        await looked_up(client)
    assert halt.value.reason is HaltReason.TARGET_MISCONFIGURED


async def test_an_index_that_comes_behind_the_alias_is_checked_before_anything_goes_there(
    server: Server, client: AsyncElasticsearch
) -> None:
    checks: list[str] = []
    fits = False

    async def check() -> None:
        checks.append(server.document["_index"])
        if not fits:
            raise Halt(HaltReason.TARGET_MISCONFIGURED, "made for another model")

    store = ElasticStore(client, "articles-write", index=FIRST, check=check)
    await store.stored([PLACE])
    assert checks == []
    server.document["_index"] = SECOND
    for _ in range(2):
        with pytest.raises(Halt):
            await store.stored([PLACE])
    fits = True
    for _ in range(2):
        await store.stored([PLACE])
    assert checks == [SECOND] * 3
    server.document["_index"] = FIRST
    await store.stored([PLACE])
    assert checks[3:] == [FIRST]


async def test_a_missing_alias_is_no_other_index(server: Server, client: AsyncElasticsearch) -> None:
    async def check() -> None:
        raise AssertionError("there is no index to be checked")

    error = {"type": "index_not_found_exception", "reason": "no such index [articles-write]"}
    server.document = {"_index": "articles-write", "_id": PLACE.document_id, "error": error}
    with pytest.raises(Halt) as halt:
        await ElasticStore(client, "articles-write", index=FIRST, check=check).stored([PLACE])
    assert halt.value.reason is HaltReason.TARGET_MISSING


async def test_a_server_that_does_not_say_what_it_refuses_is_asked_without_the_question(
    server: Server, client: AsyncElasticsearch
) -> None:
    """Before 9.2, and with `http.detailed_errors.enabled: false`."""
    server.refuses_questions = True
    store = ElasticStore(client, "articles-write")
    for _ in range(2):
        await store.stored([PLACE])
    assert server.asked == ["_source_exclude_vectors=false", "", ""]
