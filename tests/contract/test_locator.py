"""What every locator promises, on the fake and on a real server."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.contract.index_bench import (
    Bench,
    article,
    bench_of,
    send,
    tombstone_body,
    write,
)
from worker.errors import Halt, HaltReason
from worker.records import DocumentWrite, LogPlace, Place, RowPlace


@pytest.fixture(params=["fake", "simulated", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


def place(key: str, tenant: str) -> Place:
    return Place(f"{tenant}/{key}", tenant)


def document(key: str, tenant: str, version: int = 1) -> DocumentWrite:
    body = article("a", version, tenant)
    body["sync"]["key"] = key
    return write(place(key, tenant), version, body)


def tombstone(key: str, tenant: str, version: int) -> DocumentWrite:
    body: dict[str, Any] = tombstone_body(version)
    body["sync"]["key"] = key
    return write(place(key, tenant), version, body)


async def test_rows_are_found_by_their_keys_whatever_their_tenants(bench: Bench) -> None:
    tenants = [f"tenant {number}" for number in range(8)]
    await send(bench.sink, *(document("notes/1", tenant) for tenant in tenants), document("notes/2", "acme"))
    await bench.locator.refresh()
    assert await bench.locator.places(["notes/2"]) == {"notes/2": {place("notes/2", "acme")}}
    assert await bench.locator.places(["notes/1"]) == {"notes/1": {place("notes/1", tenant) for tenant in tenants}}


async def test_any_number_of_rows_and_places_is_found_whole(bench: Bench) -> None:
    keys = [f"notes/{number}" for number in range(9)]
    writes = [document(key, f"t{tenant}") for number, key in enumerate(keys) for tenant in range(number)]
    await send(bench.sink, *writes)
    await bench.locator.refresh()
    found = await bench.locator.places(keys)
    assert found == {
        key: {place(key, f"t{tenant}") for tenant in range(number)} for number, key in enumerate(keys) if number
    }


async def test_tombstones_and_rows_with_other_keys_are_not_found(bench: Bench) -> None:
    await send(bench.sink, document("notes/1", "acme"), document("notes/1", "globex"), document("notes/11", "acme"))
    await send(bench.sink, tombstone("notes/1", "acme", 2), tombstone("notes/3", "acme", 2))
    await bench.locator.refresh()
    found = await bench.locator.places(["notes/1", "notes/2", "notes/3", "notes/*", ""])
    assert found == {"notes/1": {place("notes/1", "globex")}}


async def test_no_rows_are_nowhere(bench: Bench) -> None:
    assert await bench.locator.places([]) == {}


async def test_what_was_acknowledged_before_a_refresh_is_seen_after_it(bench: Bench) -> None:
    for version in range(1, 4):
        await send(bench.sink, document("notes/1", f"t{version}", version))
        await bench.locator.refresh()
        assert len((await bench.locator.places(["notes/1"]))["notes/1"]) == version


def of(source: str, key: str, tenant: str, version: int) -> DocumentWrite:
    body = article("a", version, tenant)
    body["sync"] |= {"source": source, "key": key}
    return write(place(key, tenant), version, body)


async def whole_source(bench: Bench, source: str, below: int) -> list[RowPlace]:
    page = await bench.locator.of_source(source, below, None)
    found = list(page.documents)
    while page.after is not None:
        page = await bench.locator.of_source(source, below, page.after)
        found += page.documents
    return found


async def test_the_documents_of_a_source_are_found_page_by_page_each_once(bench: Bench) -> None:
    keys = [f"notes/{number}" for number in range(4)]
    documents = [of("notes", key, f"t{tenant}", 5) for key in keys for tenant in range(4)]
    await send(bench.sink, *documents)
    await bench.locator.refresh()
    wanted = {RowPlace(key, place(key, f"t{tenant}")) for key in keys for tenant in range(4)}
    found = await whole_source(bench, "notes", 6)
    assert set(found) == wanted
    assert len(found) == len(wanted)
    first = await bench.locator.of_source("notes", 6, None)
    assert 0 < len(first.documents) < len(wanted), "a page is bounded"


async def test_of_a_source_only_older_documents_are_found_and_no_tombstones(bench: Bench) -> None:
    high, above = 127 << 56, (127 << 56) + (1 << 12)  # the embedded server compares them as floating-point numbers
    await send(
        bench.sink,
        of("notes", "notes/1", "acme", 9),
        of("notes", "notes/2", "acme", 10),
        of("notes", "notes/3", "acme", high),
        of("other", "other/1", "acme", 1),
        tombstone("notes/4", "acme", 2),
    )
    await bench.locator.refresh()
    one, two, three = (RowPlace(f"notes/{row}", place(f"notes/{row}", "acme")) for row in (1, 2, 3))
    assert await whole_source(bench, "notes", 10) == [one]
    assert await whole_source(bench, "notes", high) == [one, two]
    assert await whole_source(bench, "notes", above) == [one, two, three]
    assert await whole_source(bench, "nothing", high) == []
    assert await whole_source(bench, "articles", 3) == [], "a tombstone of that source is there"


@pytest.mark.needs_jvm
async def test_high_versions_are_compared_exactly(bench: Bench) -> None:
    high = (127 << 56) + 12345
    await send(bench.sink, of("notes", "notes/1", "acme", high))
    await bench.locator.refresh()
    assert await whole_source(bench, "notes", high) == []
    assert len(await whole_source(bench, "notes", high + 1)) == 1


async def test_of_a_source_a_row_that_a_snapshot_has_read_later_is_not_found(bench: Bench) -> None:
    """Its version is that of what it has replaced; the page it would have been on may be empty, and is not the last."""
    keys = [f"notes/{number}" for number in range(8)]
    written = [of("notes", key, "acme", 5) for key in keys]
    marked = [_read_at(one, 10 if number < 7 else 9) for number, one in enumerate(written)]
    marked[3] = _read_at(written[3], 10, positioned=True)
    await send(bench.sink, *marked)
    await bench.locator.refresh()
    assert [one.key for one in await whole_source(bench, "notes", 10)] == ["notes/3", "notes/7"]
    assert [one.key for one in await whole_source(bench, "notes", 11)] == keys


def _read_at(written: DocumentWrite, watermark: int, *, positioned: bool = False) -> DocumentWrite:
    body = orjson.loads(written.body)
    body["sync"]["log"] = {**LogPlace("cdc.notes", 0, 1, watermark)._asdict(), "positioned": positioned}
    return written._replace(body=orjson.dumps(body))


async def test_what_a_sweep_deletes_while_it_reads_makes_it_miss_nothing(bench: Bench) -> None:
    keys = [f"notes/{number}" for number in range(10)]
    await send(bench.sink, *(of("notes", key, "acme", 1) for key in keys))
    await bench.locator.refresh()
    page = await bench.locator.of_source("notes", 2, None)
    found = list(page.documents)
    while page.after is not None:
        await send(bench.sink, *(tombstone(one.key, "acme", 2) for one in page.documents))
        await bench.locator.refresh()
        page = await bench.locator.of_source("notes", 2, page.after)
        found += page.documents
    assert [one.key for one in found] == keys


async def test_a_missing_alias_halts(bench: Bench) -> None:
    locator = bench.missing_locator
    for call in (
        locator.refresh,
        lambda: locator.places(["notes/1"]),
        lambda: locator.of_source("articles", 1, None),
    ):
        with pytest.raises(Halt) as halt:
            await call()
        assert halt.value.reason is HaltReason.TARGET_MISSING
