"""What every document store promises, on the fake and on a real server."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.contract.index_bench import (
    Bench,
    article,
    bench_of,
    send,
    tombstone_body,
    vector,
    write,
)
from worker.errors import Halt, HaltReason
from worker.records import LogPlace, Place

ONE, TWO, THREE = (Place(f"acme/{number}", "acme") for number in (1, 2, 3))


@pytest.fixture(params=["fake", "simulated", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


async def test_answers_come_in_the_order_of_the_places_and_none_for_nothing(bench: Bench) -> None:
    await send(bench.sink, write(TWO, 2, article("two", 2)), write(ONE, 1, article("one", 1)))
    found = await bench.store.stored([THREE, TWO, ONE, TWO])
    assert [one and one.version for one in found] == [None, 2, 1, 2]


async def test_no_places_have_no_answers(bench: Bench) -> None:
    assert list(await bench.store.stored([])) == []


async def test_what_was_written_a_moment_ago_is_seen(bench: Bench) -> None:
    for version in range(1, 6):
        await send(bench.sink, write(ONE, version, article("a", version)))
        (stored,) = await bench.store.stored([ONE])
        assert stored is not None
        assert stored.version == version


async def test_of_a_copy_that_counts_versions_anew_those_count_that_are_written_in_it(bench: Bench) -> None:
    """`_reindex` gives every document version 1 unless it is told `version_type: external`."""
    await send(bench.sink, write(ONE, 1, article("a", 90)), write(TWO, 1, tombstone_body(80)))
    assert [one and one.version for one in await bench.store.stored([ONE, TWO])] == [90, 80]


async def test_a_tombstone_is_read_back_as_deleted(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 1, article("a")), write(TWO, 1, article("b")))
    await send(bench.sink, write(ONE, 3, tombstone_body(3)))
    gone, there = await bench.store.stored([ONE, TWO])
    assert gone is not None
    assert there is not None
    assert (gone.deleted, gone.version, gone.vector) == (True, 3, None)
    assert not there.deleted


async def test_a_place_in_the_log_comes_back_with_documents_and_tombstones(bench: Bench) -> None:
    at = LogPlace("cdc.articles", 3, 2**40, 2**62)
    there, gone = article("a", 0), tombstone_body(0)
    for body in (there, gone):
        body["sync"] |= {"log": at._asdict()}
    await send(bench.sink, write(ONE, 0, there), write(TWO, 0, gone), write(THREE, 1, article("b")))
    found = await bench.store.stored([ONE, TWO, THREE], {ONE})
    assert [one and (one.version, one.log_place) for one in found] == [(0, at), (0, at), (1, None)]


async def test_the_vector_comes_back_with_what_it_was_made_from(bench: Bench) -> None:
    given = vector(1)
    body = article("a", embedding=given)
    body["sync"] |= {"text_hash": "h", "model": "m"}
    await send(bench.sink, write(ONE, 1, body))
    (stored,) = await bench.store.stored([ONE])
    assert stored is not None
    assert stored.vector is not None
    assert np.asarray(stored.vector, dtype=np.float32) == pytest.approx(given, abs=1e-6)
    assert (stored.text_hash, stored.model) == ("h", "m")


async def test_a_document_without_a_vector_has_none(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 1, article("a")))
    (stored,) = await bench.store.stored([ONE])
    assert stored is not None
    assert (stored.vector, stored.text_hash, stored.model) == (None, None, None)


async def test_only_for_whole_places_the_rest_comes_along(bench: Bench) -> None:
    given = vector(2)
    await send(
        bench.sink,
        write(ONE, 1, article("one", tags=["x"], embedding=given)),
        write(TWO, 1, article("two", tags=["y"])),
    )
    whole, part = await bench.store.stored([ONE, TWO], [ONE])
    assert whole is not None
    assert part is not None
    assert {name: whole.body[name] for name in ("title", "tags", "tenant")} == {
        "title": "one",
        "tags": ["x"],
        "tenant": "acme",
    }
    assert whole.vector is not None
    assert not part.body.keys() & {"title", "tags", "tenant"}


async def test_of_bare_places_comes_all_but_the_vector_and_whole_ones_are_not_bare(bench: Bench) -> None:
    body = article("a", embedding=vector(1))
    body["sync"] |= {"text_hash": "h", "model": "m"}
    await send(bench.sink, *(write(place, 4, body) for place in (ONE, TWO, THREE)))
    bare, whole, part = await bench.store.stored([ONE, TWO, THREE], [TWO], [ONE, TWO])
    assert bare is not None
    assert whole is not None
    assert part is not None
    assert (bare.version, bare.deleted, bare.text_hash, bare.model, bare.vector) == (4, False, "h", "m", None)
    assert "embedding" not in bare.body
    assert whole.vector == part.vector
    assert whole.vector is not None
    assert whole.body["title"] == "a"
    (alone,) = await bench.store.stored([ONE], bare=[ONE])
    assert alone == bare


@pytest.mark.needs_jvm  # the embedded server ignores routing
async def test_equal_ids_of_two_tenants_are_two_documents(bench: Bench) -> None:
    """As long as the tenants lie on different shards: an id is unique within a shard, which is why ids are scoped."""
    places = [Place("1", f"tenant-{number}") for number in range(12)]
    sent = await send(bench.sink, *(write(place, 1, article("a", tenant=place.tenant)) for place in places))
    kept = [place for place, response in zip(places, sent, strict=True) if response.status == 201]
    assert len(kept) > 1
    found = await bench.store.stored(kept, kept)
    assert [one and one.body["tenant"] for one in found] == [place.tenant for place in kept]


async def test_a_missing_alias_halts(bench: Bench) -> None:
    with pytest.raises(Halt) as halt:
        await bench.missing_store.stored([ONE])
    assert halt.value.reason is HaltReason.TARGET_MISSING
