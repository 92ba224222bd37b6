"""An index for the suites of sink, store and locator: in memory, or on a server under a write alias of its own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from tests.fakes.elasticsearch import FakeElasticsearch
from tests.simulation.elasticsearch import Connection, Server
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.elastic_tombstones import ElasticTombstones
from worker.ports import DocumentStore, Locator, Sink, Tombstones, Vectors
from worker.records import DocumentWrite, ItemResponse, Place, VersionType
from worker.resources import load_index_definition
from worker.settings import ElasticsearchSettings
from worker.stages.bulk import item_bytes

DIMENSIONS = 384


class Bench(NamedTuple):
    sink: Sink
    store: DocumentStore
    missing_sink: Sink
    """Of an alias that does not exist, on the same server."""
    missing_store: DocumentStore
    locator: Locator
    """On a server it reads pages of three hits, for two keys at a time."""
    missing_locator: Locator
    tombstones: Tombstones
    refresh: Callable[[], Awaitable[object]]
    """Lets searches see what was written."""
    forget_deletes: Callable[[], Awaitable[object]]
    """Lets the time of `index.gc_deletes` pass."""


def fake_bench() -> Bench:
    there, nowhere = FakeElasticsearch(dimensions=DIMENSIONS), FakeElasticsearch("missing-write")
    nowhere.alias_exists = False

    async def at_once() -> None:
        return

    async def forget() -> None:
        there.remembered.clear()

    return Bench(there, there, nowhere, nowhere, there, nowhere, there, at_once, forget)


def simulated_bench() -> Bench:
    """The server of the simulation, five shards as on the real one."""
    there, nowhere = Server(shards=5, dimensions=DIMENSIONS), Server("missing-write")
    nowhere.alias_exists = False
    one, other = Connection(there), Connection(nowhere)

    async def forget() -> None:
        there.gc_deletes = 0.0
        await asyncio.sleep(0.01)

    async def refresh() -> None:
        there.refresh()

    return Bench(one, one, other, other, one, other, FakeElasticsearch(), refresh, forget)


@asynccontextmanager
async def real_bench(url: str, *, keys: int = 2, page: int = 3, **settings: object) -> AsyncIterator[Bench]:
    """`settings` are those of the index."""
    client = build_client(ElasticsearchSettings.model_validate({"hosts": [url]}))
    name = f"bench-{secrets.token_hex(6)}"
    index, alias, missing = f"{name}-v000001", f"{name}-write", f"{name}-missing"
    definition = load_index_definition("articles")
    await client.indices.create(
        index=index,
        settings={
            **definition.settings,
            "number_of_replicas": 0,
            "number_of_shards": 5,
            # What is to be seen by a search must be made so by the worker.
            "refresh_interval": "-1",
            **settings,
        },
        mappings=definition.mappings,
        aliases={alias: {"is_write_index": True}},
    )

    async def forget() -> None:
        await client.indices.put_settings(index=index, settings={"gc_deletes": "1s"})
        await asyncio.sleep(2)  # the server's clock of deletes ticks with a delay of its own

    yield Bench(
        ElasticSink(client, alias),
        ElasticStore(client, alias),
        ElasticSink(client, missing),
        ElasticStore(client, missing),
        ElasticLocator(client, alias, keys=keys, page=page),
        ElasticLocator(client, missing),
        ElasticTombstones(client, alias),
        lambda: client.indices.refresh(index=alias),
        forget,
    )
    assert not await client.indices.exists(index=missing), "the missing alias has become an index"
    await client.indices.delete(index=index)
    await client.close()


@asynccontextmanager
async def bench_of(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The one that a fixture's parameter names: fake, simulated or real."""
    if request.param == "fake":
        yield fake_bench()
    elif request.param == "simulated":
        yield simulated_bench()
    else:
        async with real_bench(request.getfixturevalue("servers").elasticsearch) as real:
            yield real


def write(
    place: Place, version: int, body: dict[str, Any], version_type: VersionType = VersionType.EXTERNAL
) -> DocumentWrite:
    """Return a write as the stages make it, vectors as numpy arrays."""
    deleted = bool(body.get("sync", {}).get("deleted"))
    return DocumentWrite(
        place, version, version_type, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), tombstone=deleted
    )


async def send(sink: Sink, *writes: DocumentWrite) -> list[ItemResponse]:
    return list(await sink.bulk(b"".join(item_bytes(one, sink.target) for one in writes), len(writes)))


async def statuses(sink: Sink, *writes: DocumentWrite) -> list[int]:
    return [response.status for response in await send(sink, *writes)]


def article(title: str, version: int = 1, tenant: str = "acme", **more: object) -> dict[str, Any]:
    return {"title": title, "tenant": tenant, "sync": {"source": "articles", "key": "1", "version": version}, **more}


def tombstone_body(version: int, deleted_at: int = 1) -> dict[str, Any]:
    """Return the body of a tombstone."""
    return {"sync": {"source": "articles", "key": "1", "version": version, "deleted": True, "deleted_at": deleted_at}}


def vector(seed: int) -> Vectors:
    values = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return (values / np.linalg.norm(values)).astype(np.float32)
