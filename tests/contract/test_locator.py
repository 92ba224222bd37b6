"""What every locator promises, on the fake and on a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.index_bench import Bench, article, fake_bench, real_bench, send, tombstone_body, write
from worker.errors import Halt, HaltReason
from worker.records import DocumentWrite, Place


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield fake_bench()
        return
    async with real_bench(request.getfixturevalue("servers").elasticsearch) as real:
        yield real


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


async def test_a_missing_alias_halts(bench: Bench) -> None:
    for call in (bench.missing_locator.refresh, lambda: bench.missing_locator.places(["notes/1"])):
        with pytest.raises(Halt) as halt:
            await call()
        assert halt.value.reason is HaltReason.TARGET_MISSING
