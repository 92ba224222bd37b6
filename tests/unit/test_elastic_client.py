"""Credentials that are refused, read again and used; and what a server's version says."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from elasticsearch import AuthenticationException, AuthorizationException

from worker.adapters.elastic_client import build_client, takes_base64_vectors, translated
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.records import Place
from worker.settings import ElasticsearchSettings


class Server:
    """Answers those who send the header that it wants."""

    def __init__(self) -> None:
        self.url = ""
        self.wants = ""
        self.refuses_with = 401
        self.seen: list[str | None] = []
        self.answer: dict[str, Any] = {"nodes": {"a": {"version": "9.5.0"}}}

    async def respond(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("authorization"))
        if self.seen[-1] != self.wants:
            return web.json_response({"error": {"type": "security_exception"}}, status=self.refuses_with)
        return web.json_response(self.answer, headers={"x-elastic-product": "Elasticsearch"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.respond)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def settings(server: Server, **more: object) -> ElasticsearchSettings:
    return ElasticsearchSettings.model_validate({"hosts": [server.url], **more})


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_is_read_again_and_the_next_request_sends_it(
    server: Server, tmp_path: Path, status: int
) -> None:
    file = tmp_path / "key"
    file.write_text("old\n")
    server.refuses_with, server.wants = status, "ApiKey old"
    async with build_client(settings(server, api_key_file=str(file))) as client:
        await client.indices.get_alias(name="x")
        server.wants = "ApiKey new"
        for _ in range(2):
            with pytest.raises((AuthenticationException, AuthorizationException)):
                await client.indices.get_alias(name="x")
        file.write_text("new\n")
        with pytest.raises(RetryLater) as fault:
            await client.indices.get_alias(name="x")
        assert fault.value.reason is RetryReason.NEW_CREDENTIALS
        await client.indices.get_alias(name="x")
    assert server.seen == ["ApiKey old"] * 4 + ["ApiKey new"]


async def test_a_password_is_read_again_too(server: Server, tmp_path: Path) -> None:
    def basic(password: str) -> str:
        return "Basic " + b64encode(f"worker:{password}".encode()).decode()

    file = tmp_path / "password"
    file.write_text("old")
    server.wants = basic("new")
    async with build_client(settings(server, username="worker", password_file=str(file))) as client:
        file.write_text("new")
        with pytest.raises(RetryLater):
            await client.indices.get_alias(name="x")
        await client.indices.get_alias(name="x")
    assert server.seen == [basic("old"), basic("new")]


async def test_a_file_that_is_gone_for_a_moment_changes_nothing(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    async with build_client(settings(server, api_key_file=str(file))) as client:
        file.unlink()
        with pytest.raises(Halt) as halt, translated():
            await client.indices.get_alias(name="x")
        assert halt.value.reason is HaltReason.UNAUTHENTICATED
        server.wants = "ApiKey old"
        await client.indices.get_alias(name="x")


async def test_a_changed_file_is_not_read_while_the_known_key_works(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    server.wants = "ApiKey old"
    async with build_client(settings(server, api_key_file=str(file))) as client:
        file.write_text("half of the n")
        await client.indices.get_alias(name="x")


async def test_what_is_refused_item_by_item_makes_the_client_read_it_again(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    server.wants = "ApiKey old"
    server.answer = {"items": [{"index": {"status": 403, "error": {"type": "security_exception", "reason": "no"}}}]}
    async with build_client(settings(server, api_key_file=str(file))) as client:
        file.write_text("new")
        (response,) = await ElasticSink(client, "articles-write").bulk(b"{}\n{}\n", 1)
        assert response.error_type == "security_exception"
        server.wants = "ApiKey new"
        await client.indices.get_alias(name="x")


async def test_so_does_a_lookup_that_is_refused_item_by_item(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    server.wants = "ApiKey old"
    refused = {"type": "security_exception", "reason": "action [indices:data/read/mget[shard]] is unauthorized"}
    server.answer = {"docs": [{"_id": "acme/articles/1", "error": refused}]}
    async with build_client(settings(server, api_key_file=str(file))) as client:
        store = ElasticStore(client, "articles-write")
        with pytest.raises(Halt) as halt:
            await store.stored([Place("acme/articles/1", "acme")])
        assert halt.value.reason is HaltReason.FORBIDDEN
        file.write_text("new")
        with pytest.raises(RetryLater) as fault:
            await store.stored([Place("acme/articles/1", "acme")])
        assert fault.value.reason is RetryReason.NEW_CREDENTIALS
        server.wants, server.answer = "ApiKey new", {"docs": [{"_id": "acme/articles/1", "found": False}]}
        assert await store.stored([Place("acme/articles/1", "acme")]) == [None]


@pytest.mark.parametrize(
    ("credentials", "key_id"),
    [
        ({"api_key": b64encode(b"the-id:the-secret").decode()}, "the-id"),
        ({"api_key": "not in base64"}, None),
        ({"username": "elastic", "password": "secret"}, None),
        ({}, None),
    ],
)
async def test_the_public_half_of_a_key_is_known(
    server: Server, credentials: dict[str, str], key_id: str | None
) -> None:
    async with (client := build_client(settings(server, **credentials))):
        assert client.api_key_id == key_id


@pytest.mark.parametrize("status", [401, 403])
async def test_who_is_refused_is_told_by_the_public_half_of_the_key(server: Server, status: int) -> None:
    server.refuses_with = status
    key = b64encode(b"the-id:the-secret").decode()
    async with build_client(settings(server, api_key=key)) as client:
        with pytest.raises(Halt) as refused, translated():
            await client.indices.get_alias(name="x")
    assert "(API key the-id)" in str(refused.value)
    assert "the-secret" not in str(refused.value)
    assert key not in str(refused.value)


async def test_without_credentials_none_are_sent(server: Server) -> None:
    async with build_client(settings(server)) as client:
        with pytest.raises(AuthenticationException):
            await client.indices.get_alias(name="x")
    assert server.seen == [None]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["9.3.0"], True),
        (["9.5.0", "10.0.0-SNAPSHOT"], True),
        (["9.5.0", "9.2.4"], False),
        (["8.19.1"], False),
        (["odd"], False),
        ([], False),
    ],
)
async def test_vectors_are_packed_where_every_node_takes_them(
    server: Server,
    versions: list[str],
    expected: bool,  # noqa: FBT001
) -> None:
    server.wants = "ApiKey k"
    server.answer = {"nodes": {str(number): {"version": version} for number, version in enumerate(versions)}}
    async with build_client(settings(server, api_key="k")) as client:
        assert await takes_base64_vectors(client) is expected


async def test_a_server_that_does_not_tell_its_version_gets_numbers(server: Server) -> None:
    server.wants, server.refuses_with = "ApiKey k", 403
    async with build_client(settings(server, api_key="other")) as client:
        assert not await takes_base64_vectors(client)
