"""What every searcher promises, on the fake and on a real server."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from elasticsearch import AsyncElasticsearch

from tests.fakes.searcher import FakeSearcher, StoredDocument
from tests.servers.start import Servers
from worker.adapters.elastic_search import ElasticSearcher
from worker.errors import OperatorError
from worker.ports import Searcher
from worker.resources import load_index_definition
from worker.stages.search import MARK, UNMARK, Mode, Query

Fill = Callable[[Sequence[StoredDocument]], Awaitable[Searcher]]

DIMENSIONS = 384
QUEUES, SOUP = (tuple(float(at == axis) for at in range(DIMENSIONS)) for axis in (0, 1))

DOCUMENTS = [
    StoredDocument(
        "acme-1", "acme", "Running queues", "The runner waits until a place is free.", ("a", "b"), QUEUES, 7
    ),
    StoredDocument("acme-2", "acme", "Soup", "A recipe that mentions queues only here.", (), SOUP),
    StoredDocument("globex-1", "globex", "Running queues", "The runner waits until a place is free.", (), QUEUES),
    StoredDocument("list-1", "acme,globex", "Running queues", "A tenant whose name reads as a list.", (), QUEUES),
    StoredDocument("blank-1", "acme ", "Running queues", "A tenant whose name ends with a space.", (), QUEUES),
    StoredDocument("gone-1", None, deleted=True),
    # No such document is ever written; should one be there, it must not come back.
    StoredDocument("gone-2", "acme", "Running queues", "Deleted, but with all it had.", (), QUEUES, deleted=True),
]


@pytest.fixture(params=["fake", "server"])
async def fill(request: pytest.FixtureRequest) -> AsyncIterator[Fill]:
    if request.param == "fake":

        async def in_memory(documents: Sequence[StoredDocument]) -> Searcher:
            return FakeSearcher(documents)

        yield in_memory
        return
    servers: Servers = request.getfixturevalue("servers")
    index = f"search-{uuid.uuid4().hex[:12]}"
    async with AsyncElasticsearch(servers.elasticsearch, max_retries=0) as client:

        async def on_server(documents: Sequence[StoredDocument]) -> Searcher:
            await create(client, index)
            await write(client, index, documents)
            # Not through the alias: its filter would hide a tombstone that the query itself lets through.
            return ElasticSearcher(client, index)

        yield on_server
        await client.options(ignore_status=404).indices.delete(index=index)


async def create(client: AsyncElasticsearch, index: str) -> None:
    definition = load_index_definition("articles")
    settings = {**definition.settings, "number_of_replicas": 0, "number_of_shards": 5}
    await client.indices.create(index=index, settings=settings, mappings=definition.mappings)


async def write(client: AsyncElasticsearch, index: str, documents: Sequence[StoredDocument]) -> None:
    operations: list[object] = []
    for document in documents:
        # A tombstone lies where its document lay; which tenant that was, it does not say.
        operations.append({"index": {"_index": index, "_id": document.id, "routing": document.tenant or "acme"}})
        operations.append(body(document))
    response = await client.bulk(operations=operations, refresh=True)  # type: ignore[arg-type]
    assert not response["errors"], response


def body(document: StoredDocument) -> dict[str, object]:
    sync: dict[str, object] = {"source": "s", "key": document.id, "version": document.version}
    if document.deleted:
        sync |= {"deleted": True}
    if document.tenant is None:
        return {"sync": sync}
    text = {"title": document.title, "content": document.content, "tags": list(document.tags)}
    vector = {} if document.vector is None else {"embedding": list(document.vector)}
    return text | vector | {"tenant": document.tenant, "sync": sync}


def query(tenant: str, words: str, mode: Mode, window: int = 50) -> Query:
    return Query(tenant, words, mode, None if mode is Mode.WORDS else QUEUES, window)


async def ids(searcher: Searcher, asked: Query) -> list[list[str]]:
    return [[found.id for found in ranking] for ranking in await searcher.search(asked)]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("tenant", "theirs"),
    [
        ("acme", {"acme-1", "acme-2"}),
        ("globex", {"globex-1"}),
        ("acme,globex", {"list-1"}),
        ("acme ", {"blank-1"}),
        ("initech", set()),
    ],
)
async def test_a_tenant_finds_its_own_and_nothing_else(fill: Fill, tenant: str, theirs: set[str], mode: Mode) -> None:
    searcher = await fill(DOCUMENTS)
    for ranking in await ids(searcher, query(tenant, "queues", mode)):
        assert set(ranking) == theirs


@pytest.mark.parametrize("mode", [Mode.MEANING, Mode.HYBRID])
async def test_many_nearer_documents_of_others_leave_a_tenants_own_in_reach(fill: Fill, mode: Mode) -> None:
    others = [StoredDocument(f"other-{number}", "globex", "Queues", "queue", (), QUEUES) for number in range(300)]
    own = StoredDocument("own", "acme", "Soup", "recipe", (), SOUP)
    searcher = await fill([*others, own])
    assert (await ids(searcher, query("acme", "queues", mode)))[-1] == ["own"]


async def test_words_are_found_in_other_forms(fill: Fill) -> None:
    searcher = await fill(DOCUMENTS)
    (by_one,) = await ids(searcher, query("acme", "queue", Mode.WORDS))
    assert set(by_one) == {"acme-1", "acme-2"}
    assert await ids(searcher, query("acme", "waiting", Mode.WORDS)) == [["acme-1"]]
    assert await ids(searcher, query("acme", "absent", Mode.WORDS)) == [[]]


async def test_a_word_in_the_title_counts_more_than_in_the_content(fill: Fill) -> None:
    searcher = await fill(
        [
            StoredDocument("content", "acme", "Soup", "queues", (), QUEUES),
            StoredDocument("title", "acme", "Queues", "soup", (), SOUP),
        ]
    )
    assert await ids(searcher, query("acme", "queue", Mode.WORDS)) == [["title", "content"]]


async def test_meaning_is_found_nearest_first_whatever_the_words(fill: Fill) -> None:
    searcher = await fill(DOCUMENTS)
    assert await ids(searcher, query("acme", "absent", Mode.MEANING)) == [["acme-1", "acme-2"]]


async def test_hybrid_gives_both_rankings_by_words_first(fill: Fill) -> None:
    searcher = await fill(DOCUMENTS)
    assert await ids(searcher, query("acme", "recipe", Mode.HYBRID)) == [["acme-2"], ["acme-1", "acme-2"]]


@pytest.mark.parametrize("mode", Mode)
async def test_no_ranking_is_longer_than_the_window(fill: Fill, mode: Mode) -> None:
    searcher = await fill([StoredDocument(f"d{n}", "acme", "queue", "text", (), QUEUES) for n in range(20)])
    for ranking in await ids(searcher, query("acme", "queue", mode, window=3)):
        assert len(ranking) == 3


async def test_what_comes_back_is_shown_and_no_more(fill: Fill) -> None:
    searcher = await fill(DOCUMENTS)
    ((first,),) = await searcher.search(query("acme", "running", Mode.WORDS))
    assert first.title == f"{MARK}Running{UNMARK} queues"
    assert first.snippet == "The runner waits until a place is free."
    assert (first.tags, first.version) == (("a", "b"), 7)
    ((near, _),) = await searcher.search(query("acme", "place", Mode.MEANING))
    assert near.snippet == f"The runner waits until a {MARK}place{UNMARK} is free."


async def test_an_alias_that_is_missing_says_how_to_make_it(servers: Servers) -> None:
    async with AsyncElasticsearch(servers.elasticsearch) as client:
        with pytest.raises(OperatorError, match="syncline apply"):
            await ElasticSearcher(client, "no-such-alias").search(query("acme", "queue", Mode.HYBRID))


async def test_another_vector_length_is_said_plainly(servers: Servers) -> None:
    index = f"search-{uuid.uuid4().hex[:12]}"
    async with AsyncElasticsearch(servers.elasticsearch) as client:
        await create(client, index)
        await write(client, index, DOCUMENTS)
        with pytest.raises(OperatorError, match="dimension"):
            await ElasticSearcher(client, index).search(Query("acme", "queue", Mode.MEANING, (1.0, 0.5)))
        await client.indices.delete(index=index)


@pytest.mark.needs_jvm  # the embedded server keeps one shard, whatever the index says
async def test_only_the_tenants_shard_is_asked(servers: Servers) -> None:
    index = f"search-{uuid.uuid4().hex[:12]}"
    async with AsyncElasticsearch(servers.elasticsearch) as client:
        await create(client, index)
        strays = [f"stray-{number}" for number in range(40)]
        for stray in strays:
            document = StoredDocument(stray, "acme", "queue", vector=QUEUES)
            await client.index(index=index, id=stray, routing=stray, document=body(document))
        await client.indices.refresh(index=index)
        (found,) = await ids(ElasticSearcher(client, index), query("acme", "queue", Mode.WORDS))
        assert 0 < len(found) < len(strays)
        await client.indices.delete(index=index)


@pytest.mark.needs_jvm  # the embedded server's highlighter takes minutes over such a text
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice for writes, above 1 MiB
async def test_a_text_beyond_the_servers_own_limit_is_no_obstacle(servers: Servers) -> None:
    index = f"search-{uuid.uuid4().hex[:12]}"
    text = "queue " + "filler words " * 100_000
    async with AsyncElasticsearch(servers.elasticsearch) as client:
        await create(client, index)
        await write(client, index, [StoredDocument("long", "acme", "Long", text, (), QUEUES)])
        ((found,),) = await ElasticSearcher(client, index).search(query("acme", "queue", Mode.WORDS))
        assert found.snippet.startswith(f"{MARK}queue{UNMARK} filler")
        await client.indices.delete(index=index)
