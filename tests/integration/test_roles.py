"""The keys that SECURITY.md tells operators to make, on a server with security: enough for what is done, and no more.

What each must not be able to do is tried request by request, as somebody who stole the key would.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, ElasticsearchWarning

from tests.contract.index_bench import article, send, tombstone_body, vector, write
from tests.servers.start import Servers
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client, takes_base64_vectors
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.app.index import apply_index
from worker.app.purge import purge_index
from worker.control.apply import names_of
from worker.control.target import check_alias, check_target
from worker.records import Place
from worker.settings import ElasticsearchSettings, Settings

# One cluster for all of them: they read, or write rows of their own.
pytestmark = [pytest.mark.needs_jvm, pytest.mark.asyncio(loop_scope="module")]
FOLDER = Path(__file__).parent.parent.parent / "deploy" / "elasticsearch"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
WRITE, READ = "articles-write", "articles"
INDEX = "articles-v000001"
FOREIGN = "others"
Client = Callable[[str], Awaitable[AsyncElasticsearch]]


def request_of(role: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{role}-key.json").read_text(encoding="utf-8"))
    return content


class Cluster:
    """A server with security, an index made by the admin's key, and clients that hold the documented keys."""

    def __init__(self, url: str, owner: AsyncElasticsearch, keys: Mapping[str, str]) -> None:
        self.url = url
        self.owner = owner
        self._keys = keys
        self.clients: dict[str, AsyncElasticsearch] = {}

    def connection(self, role: str) -> ElasticsearchSettings:
        return ElasticsearchSettings.model_validate({"hosts": [self.url], "api_key": self._keys[role]})

    def settings(self, role: str) -> Settings:
        source = {
            "name": "articles",
            "topics": ["t"],
            "id": ["id"],
            "tenant": "tenant",
            "fields": {"title": "title"},
            "embed": ["title"],
        }
        return Settings.model_validate(
            {"elasticsearch": self.connection(role), "sources": [source], "delivery": {"tombstone_retention": "1s"}}
        )

    def as_(self, role: str) -> AsyncElasticsearch:
        return self.clients[role]

    async def refuses(self, role: str, method: str, path: str, body: object = None) -> bool:
        """Whether the server says that this key may not: 403, in the whole or in the one item of a bulk request."""
        headers = {"accept": "application/json", "content-type": "application/json"}
        if isinstance(body, bytes):
            headers["content-type"] = "application/x-ndjson"
        try:
            answer = await self.as_(role).perform_request(method, path, headers=headers, body=body)
        except ApiError as error:
            return bool(error.meta.status == 403)
        items = answer.body.get("items") if isinstance(answer.body, dict) else None
        return items is not None and all(next(iter(item.values()))["status"] == 403 for item in items)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    parts = urlsplit(servers.elasticsearch_secured)
    url = f"http://{parts.hostname}:{parts.port}"
    async with AsyncExitStack() as closing:
        owner = build_client(
            ElasticsearchSettings.model_validate(
                {"hosts": [url], "username": parts.username, "password": parts.password}
            )
        )
        closing.push_async_callback(owner.close)
        keys = {
            role: str((await owner.security.create_api_key(**request_of(role)))["encoded"])
            for role in ("worker", "purge", "admin", "reader")
        }
        found = Cluster(url, owner, keys)
        for role in keys:
            client = build_client(found.connection(role))
            closing.push_async_callback(client.close)
            found.clients[role] = client
        await owner.indices.create(index=FOREIGN, mappings={"properties": {"secret": {"type": "keyword"}}})
        await owner.index(index=FOREIGN, id="1", document={"secret": "theirs"}, refresh=True)
        report = await apply_index(found.settings("admin"), dry_run=False)
        assert report.ok, report
        try:
            yield found
        finally:
            for name in (FOREIGN, INDEX):
                await owner.options(ignore_status=404).indices.delete(index=name)
            names = names_of(found.settings("admin").index)
            await owner.options(ignore_status=404).indices.delete_index_template(name=names.index_template)
            await owner.options(ignore_status=404).cluster.delete_component_template(name=names.component_template)


async def test_the_workers_key_does_all_that_the_worker_does(cluster: Cluster) -> None:
    client, settings = cluster.as_("worker"), cluster.settings("worker")
    admin = ElasticAdmin(client)
    assert await check_alias(admin, settings) == INDEX
    assert await check_target(admin, settings, 384, MODEL) == []
    sink, store, locator = ElasticSink(client, WRITE), ElasticStore(client, WRITE), ElasticLocator(client, WRITE)
    here, gone = Place("acme/articles/1", "acme"), Place("acme/articles/2", "acme")
    body = article("a", embedding=vector(1))
    assert [item.status for item in await send(sink, write(here, 1, body), write(gone, 1, tombstone_body(1)))] == [
        201
    ] * 2
    assert [item.status for item in await send(sink, write(here, 1, body))] == [409]
    assert [each is not None for each in await store.stored([here, gone], [here])] == [True, True]
    await locator.refresh()
    assert here in (await locator.places(["1"]))["1"]
    await sink.probe()
    # Without the cluster privilege `monitor` the version is not told, and vectors are written as numbers.
    assert await takes_base64_vectors(client) is False


async def test_purge_has_a_key_that_deletes_by_index_which_the_workers_may_not(cluster: Cluster) -> None:
    client = cluster.as_("worker")
    sink = ElasticSink(client, WRITE)
    gone = Place("acme/articles/3", "acme")
    await send(sink, write(gone, 1, tombstone_body(1)))
    await cluster.owner.indices.refresh(index=WRITE)
    assert not (await purge_index(cluster.settings("worker"), size=100, dry_run=False)).ok
    assert await ElasticStore(client, WRITE).stored([gone]) != [None]
    assert (await purge_index(cluster.settings("purge"), size=100, dry_run=False)).ok
    assert await ElasticStore(client, WRITE).stored([gone]) == [None]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "POST",
            "/_bulk",
            b'{"index": {"_index": "articles-write", "_id": "1", "routing": "acme"}}\n{"title": "mine"}\n',
        ),
        ("GET", f"/{INDEX}/_search", None),
        ("GET", f"/{FOREIGN}/_search", None),
        ("DELETE", f"/{INDEX}", None),
        ("GET", "/_cluster/health", None),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_the_key_of_purge_can_do_no_more(cluster: Cluster, method: str, path: str, body: object) -> None:
    assert await cluster.refuses("purge", method, path, body)


DOCUMENT = b'{"title": "mine"}\n'
NOT_THE_WORKERS: list[tuple[str, str, object]] = [
    ("GET", f"/{FOREIGN}/_search", None),
    ("GET", f"/{FOREIGN}/_doc/1", None),
    ("POST", "/_bulk", b'{"index": {"_index": "others", "_id": "1"}}\n' + DOCUMENT),
    ("POST", "/_bulk", b'{"index": {"_index": "new-index", "_id": "1"}}\n' + DOCUMENT),
    # Not even around the alias, nor through the readers' one.
    ("GET", f"/{INDEX}/_search", None),
    ("GET", f"/{READ}/_search", None),
    ("POST", "/_bulk", b'{"index": {"_index": "articles-v000001", "_id": "1", "routing": "acme"}}\n' + DOCUMENT),
    ("PUT", "/articles-v000002", None),
    ("DELETE", f"/{INDEX}", None),
    ("PUT", f"/{INDEX}/_mapping", {"properties": {"more": {"type": "keyword"}}}),
    ("PUT", f"/{WRITE}/_settings", {"index": {"number_of_replicas": 0}}),
    ("POST", f"/{WRITE}/_close", None),
    ("POST", "/_aliases", {"actions": [{"add": {"index": INDEX, "alias": "mine"}}]}),
    ("PUT", "/_index_template/mine", {"index_patterns": ["mine-*"]}),
    ("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1001}}),
    ("GET", "/_cluster/health", None),
    ("GET", "/_security/user", None),
    ("POST", "/_security/api_key", {"name": "another"}),
    ("GET", "/_snapshot", None),
    ("GET", "/_nodes/stats", None),
]
# As it is: whether it may is the question, and the index is the other tests' too.
SAME_FIELD = {"properties": {"url": {"type": "keyword", "ignore_above": 2048}}}


@pytest.mark.parametrize(("method", "path", "body"), NOT_THE_WORKERS, ids=lambda value: str(value)[:50])
async def test_the_workers_key_can_do_no_more(cluster: Cluster, method: str, path: str, body: object) -> None:
    assert await cluster.refuses("worker", method, path, body)


async def test_the_workers_key_can_add_fields_to_the_mapping_until_elasticsearch_ends_that(cluster: Cluster) -> None:
    """Not wanted, and told in SECURITY.md: the privilege `index` still allows it on an alias, with a warning."""
    with pytest.warns(ElasticsearchWarning, match=r"privilege \[index\] allowed the update mapping action"):
        assert not await cluster.refuses("worker", "PUT", f"/{WRITE}/_mapping", SAME_FIELD)
    with pytest.raises(BadRequestError):
        await cluster.as_("worker").indices.put_mapping(index=WRITE, properties={"title": {"type": "keyword"}})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/{FOREIGN}/_search", None),
        ("DELETE", f"/{FOREIGN}", None),
        ("PUT", "/new-index", None),
        ("GET", f"/{INDEX}/_search", None),
        ("POST", "/_bulk", b'{"index": {"_index": "articles-write", "_id": "1", "routing": "acme"}}\n' + DOCUMENT),
        ("PUT", "/_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1001}}),
        ("POST", "/_security/api_key", {"name": "another"}),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_the_admins_key_makes_indices_and_reads_no_documents(
    cluster: Cluster, method: str, path: str, body: object
) -> None:
    assert await cluster.refuses("admin", method, path, body)


async def test_apply_again_finds_nothing_to_do(cluster: Cluster) -> None:
    again = await apply_index(cluster.settings("admin"), dry_run=False)
    assert (again.ok, again.actions) == (True, ())


async def test_a_search_with_a_tenants_readers_key_finds_that_tenant_and_no_other(cluster: Cluster) -> None:
    aliases = {tenant: f"articles-tenant-{tenant}" for tenant in ("acme", "globex")}
    for tenant, alias in aliases.items():
        only = {"term": {"tenant": tenant}}
        await cluster.as_("admin").indices.put_alias(index=INDEX, name=alias, filter=only, routing=tenant)
    sink = ElasticSink(cluster.as_("worker"), WRITE)
    for tenant in aliases:
        await send(sink, write(Place(f"{tenant}/articles/1", tenant), 1, article("one", tenant=tenant)))
    await cluster.owner.indices.refresh(index=WRITE)
    found = await cluster.as_("reader").search(index=aliases["acme"])
    assert [hit["_source"]["tenant"] for hit in found["hits"]["hits"]] == ["acme"]
    for other in (aliases["globex"], READ, WRITE, INDEX, FOREIGN):
        assert await cluster.refuses("reader", "GET", f"/{other}/_search"), other
    for method, path in (("GET", "/globex%2Farticles%2F1?routing=globex"),):
        assert await cluster.refuses("reader", method, f"/{INDEX}/_doc{path}")
    assert await cluster.refuses(
        "reader", "POST", "/_bulk", b'{"index": {"_index": "articles-tenant-acme"}}\n' + DOCUMENT
    )


async def test_nothing_but_a_suggester_passes_the_filter_of_a_tenants_alias(cluster: Cluster) -> None:
    """Reads by id do pass an alias's filter, also those that a search asks for: so the key may not read by id."""
    mine, alias = "acme", "articles-tenant-acme"
    only = {"term": {"tenant": mine}}
    await cluster.as_("admin").indices.put_alias(index=INDEX, name=alias, filter=only, routing=mine)
    other = await _on_the_shard_of(cluster, mine)
    secret = Place(f"{other}/articles/7", other)
    await send(ElasticSink(cluster.as_("worker"), WRITE), write(secret, 1, article("secret", tenant=other)))
    await cluster.owner.indices.refresh(index=WRITE)
    assert (await cluster.owner.get(index=alias, id=secret.document_id))["found"], "a privilege to read would suffice"
    reader = cluster.as_("reader")
    for query in ({"ids": {"values": [secret.document_id]}}, {"match": {"title": "secret"}}):
        assert (await reader.search(index=alias, query=query))["hits"]["hits"] == []
    path = secret.document_id.replace("/", "%2F")
    for method, request in (("GET", "_doc"), ("HEAD", "_doc"), ("GET", "_source"), ("GET", "_termvectors")):
        assert await cluster.refuses("reader", method, f"/{alias}/{request}/{path}"), request
    looked_up = {"index": alias, "id": secret.document_id, "path": "title", "routing": mine}
    for request, body in {
        f"_explain/{path}": {"query": {"match_all": {}}},
        "_mget": {"ids": [secret.document_id]},
        "_search": {"query": {"terms": {"title": looked_up}}},
        "_terms_enum": {"field": "tenant", "string": "r"},
    }.items():
        assert await cluster.refuses("reader", "POST", f"/{alias}/{request}", body), request
    suggester = {"text": "secrt", "term": {"field": "title", "suggest_mode": "always"}}
    suggested = await reader.search(index=alias, suggest={"title": suggester})
    assert suggested["suggest"]["title"][0]["options"], (
        "suggesters heed the filter by now: SECURITY.md says they do not"
    )


async def _on_the_shard_of(cluster: Cluster, tenant: str) -> str:
    """Return the name of another tenant whose documents are on the same shard."""

    async def shard(routing: str) -> int:
        answer = await cluster.owner.search_shards(index=INDEX, routing=routing)
        return int(answer["shards"][0][0]["shard"])

    wanted = await shard(tenant)
    for name in (f"rival-{number}" for number in range(100)):
        if await shard(name) == wanted:
            return name
    raise AssertionError("a hundred tenants, and none on that shard")
