"""What removing old tombstones promises, on the fake and on a real server."""

from collections.abc import AsyncIterator, Sequence

import pytest

from tests.contract.index_bench import Bench, article, fake_bench, real_bench, send, statuses, tombstone_body, write
from tests.servers.addresses import Kind
from worker.records import OldTombstone, Place, Removal, VersionType
from worker.stages.documents import hard

ONE, TWO, THREE = (Place(f"acme/{number}", "acme") for number in (1, 2, 3))
GTE = VersionType.EXTERNAL_GTE
NOW = 1_800_000_000_000
REMOVED, CHANGED, GONE = ((one, "") for one in (Removal.REMOVED, Removal.CHANGED, Removal.GONE))


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield fake_bench()
        return
    servers = request.getfixturevalue("servers")
    # A search of the embedded server does not tell a document's routing.
    async with real_bench(servers.elasticsearch, number_of_shards=5 if servers.kind is Kind.JVM else 1) as real:
        yield real


async def found(bench: Bench, before_ms: int = NOW, size: int = 100) -> list[OldTombstone]:
    await bench.refresh()
    return [one async for page in bench.tombstones.found(before_ms, size) for one in page]


async def tombstones(bench: Bench, *places: Place, version: int = 6) -> Sequence[OldTombstone]:
    """Write tombstones and find them, in the order of the places."""
    await send(bench.sink, *(write(place, version, tombstone_body(version, NOW - 10)) for place in places))
    there = {one.document_id: one for one in await found(bench)}
    return [there[place.document_id] for place in places]


async def test_only_tombstones_that_are_old_enough_are_found(bench: Bench) -> None:
    await send(
        bench.sink,
        write(ONE, 1, tombstone_body(1, NOW - 1)),
        write(TWO, 1, tombstone_body(1, NOW)),
        write(THREE, 1, article("alive")),
    )
    (only,) = await found(bench)
    assert (only.document_id, only.deleted_at_ms) == (ONE.document_id, NOW - 1)
    assert {one.document_id for one in await found(bench, NOW + 1)} == {ONE.document_id, TWO.document_id}


async def test_they_come_a_page_at_a_time_and_each_once(bench: Bench) -> None:
    places = [Place(f"acme/{number}", "acme") for number in range(25)]
    await send(bench.sink, *(write(place, 1, tombstone_body(1)) for place in places))
    await bench.refresh()
    pages = [page async for page in bench.tombstones.found(NOW, 10)]
    assert all(len(page) <= 10 for page in pages)
    assert sorted(one.document_id for page in pages for one in page) == sorted(place.document_id for place in places)


async def test_pages_go_on_while_what_came_before_is_removed(bench: Bench) -> None:
    places = [Place(f"acme/{number}", "acme") for number in range(25)]
    await send(bench.sink, *(write(place, 1, tombstone_body(1)) for place in places))
    await bench.refresh()
    removed = [await bench.tombstones.remove(page) async for page in bench.tombstones.found(NOW, 10)]
    assert [one for page in removed for one in page] == [REMOVED] * 25
    assert await found(bench) == []


async def test_nothing_is_found_where_there_is_nothing(bench: Bench) -> None:
    assert await found(bench) == []
    assert await bench.tombstones.remove([]) == []


async def test_what_is_removed_is_gone(bench: Bench) -> None:
    first, second = await tombstones(bench, ONE, TWO)
    assert list(await bench.tombstones.remove([first])) == [REMOVED]
    assert [one is None for one in await bench.store.stored([ONE, TWO])] == [True, False]
    assert list(await bench.tombstones.remove([second])) == [REMOVED]


@pytest.mark.parametrize("version", [6, 7, 1000])
async def test_a_row_that_is_there_again_is_never_removed(bench: Bench, version: int) -> None:
    """Not even one of the tombstone's own version, such as a change without a position writes."""
    first, second = await tombstones(bench, ONE, TWO)
    await send(bench.sink, write(ONE, version, article("again"), GTE))
    assert list(await bench.tombstones.remove([first, second])) == [CHANGED, REMOVED]
    (stored,) = await bench.store.stored([ONE], [ONE])
    assert stored is not None
    assert stored.body["title"] == "again"


async def test_a_row_that_was_deleted_again_keeps_its_new_tombstone(bench: Bench) -> None:
    (first,) = await tombstones(bench, ONE)
    await send(bench.sink, write(ONE, 9, tombstone_body(9, NOW)))
    assert list(await bench.tombstones.remove([first])) == [CHANGED]
    (stored,) = await bench.store.stored([ONE])
    assert stored is not None
    assert stored.version == 9


async def test_removing_twice_does_no_harm(bench: Bench) -> None:
    old = await tombstones(bench, ONE)
    await bench.tombstones.remove(old)
    ((removal, _),) = await bench.tombstones.remove(old)
    assert removal in {Removal.CHANGED, Removal.GONE}


@pytest.mark.parametrize("version", [0, (127 << 56) + (1 << 55)])
async def test_tombstones_of_the_lowest_and_the_highest_version_can_be_removed(bench: Bench, version: int) -> None:
    old = await tombstones(bench, ONE, version=version)
    assert list(await bench.tombstones.remove(old)) == [REMOVED]


@pytest.mark.needs_jvm  # the embedded server remembers no deletes
async def test_what_a_removal_leaves_behind_is_forgotten_after_gc_deletes(bench: Bench) -> None:
    """Until then the version after the tombstone's is refused: why `index.gc_deletes` should be short."""
    await bench.tombstones.remove(await tombstones(bench, ONE))
    assert await statuses(bench.sink, write(ONE, 6, article("a"), GTE), write(ONE, 7, article("b"))) == [409, 409]
    assert await statuses(bench.sink, write(ONE, 8, article("c"))) == [201]
    await bench.tombstones.remove(await tombstones(bench, TWO))
    await bench.forget_deletes()
    assert await statuses(bench.sink, write(TWO, 6, article("a"), GTE)) == [201]


@pytest.mark.parametrize(("version", "version_type"), [(7, VersionType.EXTERNAL), (6, GTE)])
async def test_a_delete_by_version_would_take_a_row_that_has_the_tombstones(
    bench: Bench, version: int, version_type: VersionType
) -> None:
    """Why removals name the sequence number."""
    await tombstones(bench, ONE)
    await send(bench.sink, write(ONE, 6, article("again"), GTE))
    assert await statuses(bench.sink, hard(write(ONE, version, tombstone_body(version), version_type))) == [200]
    assert await bench.store.stored([ONE]) == [None]


@pytest.mark.needs_jvm  # the embedded server remembers no deletes
async def test_a_delete_by_version_is_remembered_with_that_version(bench: Bench) -> None:
    await tombstones(bench, ONE, TWO)
    await send(bench.sink, hard(write(ONE, 7, tombstone_body(7))), hard(write(TWO, 6, tombstone_body(6), GTE)))
    assert await statuses(bench.sink, write(ONE, 7, article("a")), write(TWO, 7, article("b"))) == [409, 201]
