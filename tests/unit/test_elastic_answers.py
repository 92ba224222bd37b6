"""What is no answer of Elasticsearch, is not the whole of it, or is somebody else's: by every adapter that asks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import ReloadingClient, build_client
from worker.adapters.elastic_cluster import ElasticCluster
from worker.adapters.elastic_inspect import ElasticInspector
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_search import ElasticSearcher
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_tombstones import ElasticTombstones
from worker.control.purge import Purged, purge
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.records import OldTombstone, Place, Removal, RowPlace
from worker.settings import ElasticsearchSettings
from worker.stages.search import Mode, Query

ALIAS = "articles-write"
WHOLE: dict[str, Any] = {"total": 5, "successful": 5, "failed": 0}
NOTHING: dict[str, Any] = {"_scroll_id": "s", "timed_out": False, "_shards": WHOLE, "hits": {"hits": []}}
COUNTED: dict[str, Any] = {
    **NOTHING,
    "hits": {"total": {"value": 60}, "hits": []},
    "aggregations": {"them": {"doc_count": 0}},
}
OLD = OldTombstone("articles-v000001", "a", "acme", 1, 1, 1)


def of_json(body: object, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


class Server:
    """Answers as a test says, in the name of Elasticsearch; remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.answer: Callable[[web.Request], web.StreamResponse] = lambda _: of_json({})

    async def respond(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.asked.append((request.method, request.path))
        response = self.answer(request)
        response.headers["x-elastic-product"] = "Elasticsearch"
        return response


async def started() -> tuple[Server, web.AppRunner]:
    server, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", server.respond)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return server, runner


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, runner = await started()
    yield server
    await runner.cleanup()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Server]:
    server, runner = await started()
    yield server
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[ReloadingClient]:
    settings = ElasticsearchSettings.model_validate({"hosts": [server.url], "api_key": "a2V5OnNlY3JldA=="})
    async with (client := build_client(settings)):
        yield client


async def found(client: ReloadingClient) -> list[OldTombstone]:
    return [one async for page in ElasticTombstones(client, ALIAS).found(5, 10) for one in page]


Call = Callable[[ReloadingClient], Awaitable[Any]]
SEARCHES: dict[str, Call] = {
    "places": lambda client: ElasticLocator(client, ALIAS).places(["articles/1"]),
    "of_source": lambda client: ElasticLocator(client, ALIAS).of_source("articles", 5, None),
    "found": found,
    "held": lambda client: ElasticInspector(client).held(ALIAS),
    "search": lambda client: ElasticSearcher(client, "articles").search(Query("acme", "words", Mode.WORDS)),
}
SHARDS: dict[str, Call] = {
    **SEARCHES,
    "refresh": lambda client: ElasticLocator(client, ALIAS).refresh(),
}
CALLS: dict[str, Call] = {
    **SHARDS,
    "remove": lambda client: ElasticTombstones(client, ALIAS).remove([OLD]),
    "clock": lambda client: ElasticInspector(client).clock_ms(ALIAS),
    "version": lambda client: ElasticInspector(client).version(),
    "probe": lambda client: ElasticSink(client, ALIAS).probe(),
    "granted": lambda client: ElasticInspector(client).granted(ALIAS, ["read"]),
    "granted on the cluster": lambda client: ElasticInspector(client).granted_on_cluster(["monitor"]),
}
OF_ANY_FORM: dict[str, Call] = {
    "blocks": lambda client: ElasticInspector(client).write_blocks(),
    "cluster": lambda client: ElasticCluster(client, [ALIAS]).cluster(),
    "index": lambda client: ElasticCluster(client, [ALIAS]).index(),
    "indices": lambda client: ElasticAdmin(client).indices([ALIAS]),
}
NO_JSON: dict[str, Callable[[], web.Response]] = {
    "html": lambda: web.Response(text="<html>maintenance</html>", content_type="text/html"),
    "empty": lambda: web.Response(content_type="application/json"),
    "list": lambda: of_json([]),
}
NO_ANSWER: dict[str, Callable[[], web.Response]] = {**NO_JSON, "{}": lambda: of_json({})}


@pytest.mark.parametrize("body", NO_ANSWER)
@pytest.mark.parametrize("name", CALLS)
async def test_what_is_no_answer_is_asked_again(server: Server, client: ReloadingClient, name: str, body: str) -> None:
    server.answer = lambda _: NO_ANSWER[body]()
    with pytest.raises(RetryLater) as fault:
        await CALLS[name](client)
    assert fault.value.reason is RetryReason.UNREADABLE_RESPONSE


@pytest.mark.parametrize("body", NO_JSON)
@pytest.mark.parametrize("name", OF_ANY_FORM)
async def test_so_is_what_may_be_of_many_forms(server: Server, client: ReloadingClient, name: str, body: str) -> None:
    server.answer = lambda _: NO_JSON[body]()
    with pytest.raises(RetryLater) as fault:
        await OF_ANY_FORM[name](client)
    assert fault.value.reason is RetryReason.UNREADABLE_RESPONSE


def answering(body: dict[str, Any]) -> Callable[[web.Request], web.Response]:
    """Answer with this, several searches with one each."""
    return lambda request: of_json({"responses": [body]} if request.path.endswith("_msearch") else body)


@pytest.mark.parametrize("name", SHARDS)
async def test_what_is_whole_is_taken(server: Server, client: ReloadingClient, name: str) -> None:
    server.answer = answering(COUNTED)
    await SHARDS[name](client)


@pytest.mark.parametrize("name", SHARDS)
async def test_what_only_some_shards_answered_is_asked_again(
    server: Server, client: ReloadingClient, name: str
) -> None:
    server.answer = answering({**COUNTED, "_shards": {"total": 5, "successful": 3, "failed": 2}})
    with pytest.raises(RetryLater, match="2 shards did not answer") as fault:
        await SHARDS[name](client)
    assert fault.value.reason is RetryReason.SERVER_ERROR


@pytest.mark.parametrize("name", SEARCHES)
async def test_so_is_a_search_whose_time_was_up(server: Server, client: ReloadingClient, name: str) -> None:
    server.answer = answering({**COUNTED, "timed_out": True})
    with pytest.raises(RetryLater, match="time limit"):
        await SEARCHES[name](client)


@pytest.mark.parametrize("name", ["places", "found", "search"])
async def test_the_first_cause_is_told_where_all_shards_failed(
    server: Server, client: ReloadingClient, name: str
) -> None:
    cause = {"type": "illegal_argument_exception", "reason": "Fielddata is disabled on [tenant]."}
    error = {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": [cause]}
    body = {"status": 400, "error": error}
    several = {"responses": [body]}
    server.answer = lambda request: of_json(several) if request.path.endswith("_msearch") else of_json(body, status=400)
    with pytest.raises((Halt, OperatorError), match="illegal_argument_exception: Fielddata is disabled"):
        await SEARCHES[name](client)


BLOCK = {"type": "cluster_block_exception", "reason": "blocked by: [FORBIDDEN/6/cluster read-only (api)];"}


@pytest.mark.parametrize("name", ["refresh", "places", "held", "bulk"])
async def test_a_block_of_the_cluster_is_no_lack_of_privileges(
    server: Server, client: ReloadingClient, name: str
) -> None:
    server.answer = lambda _: of_json({"error": BLOCK, "status": 403}, status=403)
    calls: dict[str, Call] = {**SHARDS, "bulk": lambda client: ElasticSink(client, ALIAS).bulk(b"{}\n", 1)}
    with pytest.raises(Halt, match="cluster read-only") as halt:
        await calls[name](client)
    assert halt.value.reason is HaltReason.WRITE_BLOCKED
    assert "maintenance" not in str(halt.value)
    assert "credentials" not in str(halt.value)


READ_ONLY, FULL = "cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete"


@pytest.mark.parametrize(
    ("body", "blocks"),
    [
        ({"persistent": {}, "transient": {}}, ()),
        ({"persistent": {READ_ONLY: "true"}, "transient": {READ_ONLY: "false"}}, (f"{READ_ONLY} (persistent)",)),
        ({"persistent": {READ_ONLY: False}, "transient": {FULL: True}}, (f"{FULL} (transient)",)),
        (
            {"persistent": {FULL: "true", READ_ONLY: "true"}, "transient": {}},
            (f"{READ_ONLY} (persistent)", f"{FULL} (persistent)"),
        ),
        ({}, ()),
    ],
)
async def test_the_blocks_of_the_whole_cluster_are_read_with_where_they_are_set(
    server: Server, client: ReloadingClient, body: dict[str, Any], blocks: tuple[str, ...]
) -> None:
    server.answer = lambda _: of_json(body)
    assert await ElasticInspector(client).write_blocks() == blocks
    assert server.asked == [("GET", "/_cluster/settings")]


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_blocks_that_are_not_shown_are_no_fault(server: Server, client: ReloadingClient, status: int) -> None:
    error = {"type": "security_exception", "reason": "action [cluster:monitor/settings] is unauthorized"}
    server.answer = lambda _: of_json({"error": error, "status": status}, status=status)
    assert await ElasticInspector(client).write_blocks() is None


async def test_a_privilege_that_is_missing_still_is_one(server: Server, client: ReloadingClient) -> None:
    error = {"type": "security_exception", "reason": "action [indices:admin/refresh] is unauthorized"}
    server.answer = lambda _: of_json({"error": error, "status": 403}, status=403)
    with pytest.raises(Halt, match="maintenance") as halt:
        await SHARDS["refresh"](client)
    assert halt.value.reason is HaltReason.FORBIDDEN
    assert await SHARDS["held"](client) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", [*SHARDS, "remove"])
async def test_a_redirect_is_not_followed(
    server: Server, elsewhere: Server, client: ReloadingClient, name: str, status: int
) -> None:
    """A GET without a body in place of the POST would find everything."""
    elsewhere.answer = answering(COUNTED)
    location = f"{elsewhere.url}/articles?token=secret"
    server.answer = lambda _: web.Response(status=status, headers={"Location": location}, content_type="x/y", body=b"x")
    with pytest.raises(OperatorError) as mistake:
        await CALLS[name](client)
    assert str(mistake.value).startswith(
        f"elasticsearch.hosts: {server.url} redirects requests to {elsewhere.url}: set it to"
    )
    assert "secret" not in str(mistake.value)
    assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["/login", "http://[", None])
async def test_a_redirect_within_the_server_or_to_nowhere_is_none_either(
    server: Server, client: ReloadingClient, location: str | None
) -> None:
    headers = {} if location is None else {"Location": location}
    server.answer = lambda _: web.Response(status=302, headers=headers)
    with pytest.raises(OperatorError, match="redirects requests"):
        await SHARDS["refresh"](client)
    assert len(server.asked) == 1


def hit(sync: object, **more: object) -> dict[str, Any]:
    body = {"sync": sync, **more}
    return {"_id": "a", "_index": "articles-v000001", "_routing": "acme", "_seq_no": 1, "_primary_term": 1} | {
        "_source": body,
        "sort": ["articles/1", "acme"],
    }


FOREIGN = [[{"key": "articles/1", "deleted_at": 1}], "text", None, {}, {"key": ["articles/1"], "deleted_at": [1]}]


@pytest.mark.parametrize("sync", FOREIGN)
async def test_what_somebody_else_has_written_is_no_document_of_a_row(
    server: Server, client: ReloadingClient, sync: object
) -> None:
    ours = hit({"key": "articles/1", "deleted_at": 1})
    server.answer = answering({**NOTHING, "hits": {"hits": [ours, hit(sync)]}})
    place = Place("a", "acme")
    locator = ElasticLocator(client, ALIAS, page=2)
    page = await locator.of_source("articles", 5, None)
    assert list(page.documents) == [RowPlace("articles/1", place)]
    assert page.after == RowPlace("articles/1", place)
    assert await ElasticLocator(client, ALIAS).places(["articles/1"]) == {"articles/1": {place}}
    old = ElasticTombstones(client, ALIAS).found(5, 10)
    assert [one.document_id for one in await anext(old)] == ["a"]


@pytest.mark.parametrize("name", ["places", "of_source", "found"])
async def test_an_index_that_keeps_no_documents_halts(server: Server, client: ReloadingClient, name: str) -> None:
    bare = {key: value for key, value in hit({}).items() if key != "_source"}
    server.answer = answering({**NOTHING, "hits": {"hits": [bare]}})
    with pytest.raises(Halt, match="keeps no _source") as halt:
        await SEARCHES[name](client)
    assert halt.value.reason is HaltReason.TARGET_MISCONFIGURED


def purging(server: Server, last: Callable[[web.Request], web.StreamResponse]) -> None:
    """One tombstone, which is removed; `last` answers to what comes after its page."""
    tombstone = hit({"deleted_at": 1})

    def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/_bulk"):
            return of_json({"items": [{"delete": {"status": 200}}]})
        if request.path == f"/{ALIAS}/_search":
            return of_json({**NOTHING, "hits": {"hits": [tombstone]}})
        return last(request)

    server.answer = answer


async def purged(client: ReloadingClient, *, dry_run: bool = False) -> Purged:
    return await purge(ElasticTombstones(client, ALIAS), 1.0, 2_000_000_000_000, size=1, dry_run=dry_run)


@pytest.mark.parametrize("sync", FOREIGN)
async def test_a_dry_run_counts_what_a_run_finds_and_not_what_somebody_else_has_written(
    server: Server, client: ReloadingClient, sync: object
) -> None:
    hits = [hit({"deleted_at": 1}), hit(sync)]

    def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/_bulk"):
            return of_json({"items": [{"delete": {"status": 200}}]})
        return of_json({**NOTHING, "hits": {"hits": hits}} if request.path == f"/{ALIAS}/_search" else NOTHING)

    server.answer = answer
    dry = await purged(client, dry_run=True)
    assert not any(path.endswith("/_bulk") for _, path in server.asked)
    assert (dry.found, dry.removals) == (1, {})
    done = await purged(client)
    assert (done.found, done.removals) == (1, {Removal.REMOVED: 1})


def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return of_json({})


FAULTS: dict[str, Callable[[web.Request], web.StreamResponse]] = {
    "cut": cut,
    "429": lambda _: of_json({"error": {"type": "es_rejected_execution_exception"}}, status=429),
    "redirect": lambda _: web.Response(status=302, headers={"Location": "/login"}),
    "gone": lambda _: of_json({"succeeded": True, "num_freed": 0}, status=404),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_search_that_cannot_be_ended_does_not_lose_the_report(
    server: Server, client: ReloadingClient, fault: str
) -> None:
    purging(server, lambda request: FAULTS[fault](request) if request.method == "DELETE" else of_json(NOTHING))
    done = await purged(client)
    assert (done.found, done.removals) == (1, {Removal.REMOVED: 1})
    assert ("DELETE", "/_search/scroll") in server.asked


async def test_nor_does_it_hide_what_went_wrong_before(server: Server, client: ReloadingClient) -> None:
    purging(server, lambda request: cut(request) if request.method == "DELETE" else of_json({}, status=503))
    with pytest.raises(RetryLater) as fault:
        await purged(client)
    assert fault.value.reason is RetryReason.SERVER_ERROR


async def test_a_search_that_is_given_up_is_told_from_an_alias_that_is_missing(
    server: Server, client: ReloadingClient
) -> None:
    cause = {"type": "search_context_missing_exception", "reason": "No search context found for id [7]"}
    error = {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": [cause]}
    purging(server, lambda _: of_json({"error": error, "status": 404}, status=404))
    with pytest.raises(OperatorError, match="run 'syncline purge' again"):
        await purged(client)
    server.answer = lambda _: of_json({"error": {"type": "index_not_found_exception"}}, status=404)
    with pytest.raises(Halt) as halt:
        await purged(client)
    assert halt.value.reason is HaltReason.TARGET_MISSING
