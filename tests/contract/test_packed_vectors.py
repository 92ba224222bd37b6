"""Vectors as base64, on the servers that take them and on those that do not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import orjson
import pytest

from tests.builders import change
from tests.contract.index_bench import Bench, article, fake_bench, real_bench, send, statuses, vector, write
from tests.servers.addresses import Kind
from tests.servers.start import Servers
from worker.adapters.elastic_client import build_client, takes_base64_vectors
from worker.records import Place
from worker.settings import ElasticsearchSettings
from worker.stages.documents import VECTOR_FIELD, document, packed_vector

ONE, TWO = (Place(f"acme/{number}", "acme") for number in (1, 2))


async def packs(url: str) -> bool:
    async with build_client(ElasticsearchSettings.model_validate({"hosts": [url]})) as client:
        return await takes_base64_vectors(client)


@asynccontextmanager
async def of_kind(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if kind == "fake":
        yield fake_bench()
    else:
        async with real_bench(request.getfixturevalue("servers").elasticsearch) as real:
            yield real


@pytest.mark.parametrize("kind", ["fake", pytest.param("real", marks=pytest.mark.needs_jvm)])
async def test_a_packed_vector_is_stored_bit_for_bit(kind: str, request: pytest.FixtureRequest) -> None:
    given = vector(1)
    async with of_kind(kind, request) as bench:
        packed = article("packed", embedding=packed_vector(given))
        assert await statuses(bench.sink, write(ONE, 1, packed), write(TWO, 1, article("f", embedding=given))) == [
            201,
            201,
        ]
        for stored in await bench.store.stored([ONE, TWO]):
            assert stored is not None
            assert np.array_equal(np.array(stored.vector, dtype=np.float32), given)


@pytest.mark.needs_jvm
async def test_knn_finds_a_document_by_its_packed_vector(servers: Servers) -> None:
    async with real_bench(servers.elasticsearch) as bench:
        writes = [
            write(Place(f"acme/{number}", "acme"), 1, article(str(number), embedding=packed_vector(vector(number))))
            for number in range(20)
        ]
        await send(bench.sink, *writes)
        client = bench.sink._client  # type: ignore[attr-defined]
        await client.indices.refresh(index=bench.sink.target)
        knn = {"field": VECTOR_FIELD, "query_vector": vector(7).tolist(), "k": 1, "num_candidates": 20}
        found = await client.search(index=bench.sink.target, knn=knn, source=["title"])
        (hit,) = found["hits"]["hits"]
        assert hit["_source"]["title"] == "7"
        assert hit["_score"] == pytest.approx(1, abs=1e-4)


@pytest.mark.needs_jvm
async def test_an_index_that_keeps_vectors_as_they_were_written_gives_them_back_as_numbers(servers: Servers) -> None:
    given = vector(3)
    async with real_bench(servers.elasticsearch, **{"mapping.exclude_source_vectors": False}) as bench:
        await send(bench.sink, write(ONE, 1, article("packed", embedding=packed_vector(given))))
        (stored,) = await bench.store.stored([ONE])
        assert stored is not None
        assert isinstance(stored.body[VECTOR_FIELD], str), "else this test shows nothing"
        assert np.array_equal(np.array(stored.vector, dtype=np.float32), given)


async def test_a_server_is_asked_for_its_version(servers: Servers) -> None:
    assert await packs(servers.elasticsearch) is (servers.kind is not Kind.EMBEDDED)


@pytest.mark.needs_jvm
async def test_a_server_before_9_3_takes_no_packed_vectors(servers: Servers) -> None:
    assert not await packs(servers.elasticsearch_8)


async def test_a_document_is_packed_as_asked() -> None:
    given = vector(5)
    numbers = orjson.loads(document(change(), {}, "h", "m", given).body)
    packed = orjson.loads(document(change(), {}, "h", "m", given, packed=True).body)
    assert np.array_equal(np.array(numbers.pop(VECTOR_FIELD), dtype=np.float32), given)
    assert packed.pop(VECTOR_FIELD) == packed_vector(given)
    assert packed == numbers
