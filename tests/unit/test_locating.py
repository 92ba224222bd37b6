"""Rows whose places no event tells, through the real pipeline on fakes: found, and searched for no more than needed."""

import asyncio

import pytest

from tests import builders
from tests.builders import key_place, place
from tests.fakes.world import World
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.records import Place
from worker.runtime import looking_up
from worker.settings import BatchSettings

pytestmark = pytest.mark.virtual_time
ACME, GLOBEX = place("acme"), place("globex")


def delete(world: World, lsn: int, row_id: int = 1) -> None:
    """As under default replica identity: the key, and type defaults for what is not null."""
    world.append(builders.event("d", lsn=lsn, before={"id": row_id, "tenant": "", "title": ""}), row_id)


def found(world: World) -> dict[str, float]:
    return {
        where: value
        for where in ("here", "elsewhere", "nowhere")
        if (value := world.value("syncline_located_total", where=where))
    }


def tombstones(world: World) -> dict[Place, int]:
    return {where: held.version for where, held in world.index.documents.items() if held.deleted}


async def test_a_deleted_row_is_gone_for_its_tenant() -> None:
    world = World()
    world.upsert(1, "a", lsn=10)
    world.upsert(2, "b", lsn=11)
    async with world.running():
        await world.settle()
        delete(world, 12)
        await world.settle()
    assert world.titles == {place(row_id=2): "b"}
    assert tombstones(world) == {ACME: 12, key_place(): 12}
    assert world.verdicts == {"indexed": 2, "deleted": 1}
    assert found(world) == {"nowhere": 2, "elsewhere": 1}


async def test_a_row_that_moves_unseen_leaves_no_copy_behind() -> None:
    world = World()
    for lsn, tenant in enumerate(("acme", "globex", "initech", "acme"), 10):
        world.upsert(1, f"at {tenant}", lsn, tenant=tenant)
    async with world.running():
        await world.settle()
    assert world.titles == {ACME: "at acme"}
    world.upsert(1, "moved", lsn=20, tenant="globex")
    again = World(like=world)
    await again.run_to_the_end()
    assert again.titles == {GLOBEX: "moved"}
    assert found(again) == {"elsewhere": 1}


async def test_what_was_written_a_moment_ago_is_found_without_another_refresh() -> None:
    world = World(batch=BatchSettings(lookup_documents=1))
    async with world.running():
        for number, tenant in enumerate(("acme", "globex", "initech", "acme")):
            world.upsert(1, f"at {tenant}", 10 + number, tenant=tenant)
            await asyncio.sleep(0.1)
            assert world.verdicts.total() == number + 1
    assert world.titles == {ACME: "at acme"}
    assert (world.index.refreshes, len(world.index.searches)) == (1, 4)


async def test_what_another_worker_wrote_before_it_lost_its_partitions_is_found() -> None:
    """The index shows it to no search yet: only a refresh does."""
    first = World()
    first.upsert(1, "at acme", lsn=10)
    await first.run_to_the_end()
    assert first.index.searchable == {}
    first.upsert(1, "at globex", lsn=11, tenant="globex")
    second = World(like=first)
    await second.run_to_the_end()
    assert second.titles == {GLOBEX: "at globex"}


async def test_after_a_rebalance_the_last_refresh_is_too_old_however_young_it_is() -> None:
    world = World()
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.settle()
        refreshes = world.index.refreshes
        await world.source.rebalance()
        world.index.documents[place("initech")] = world.index.documents[ACME]  # whoever had the partition meanwhile
        world.upsert(1, "b", lsn=12)
        await world.settle()
    assert world.index.refreshes > refreshes
    assert world.titles == {ACME: "b"}


async def test_a_write_that_is_still_in_flight_when_others_are_refreshed_is_not_forgotten() -> None:
    world = World(batch=BatchSettings(bulk_documents=1, bulk_concurrency=2))
    gate_open = False

    async def hold_the_first(places: object) -> None:
        if places == [ACME]:
            await world.until(lambda: gate_open)

    world.index.before_bulk = hold_the_first
    async with world.running():
        world.upsert(1, "at acme", lsn=10)
        for row_id in (2, 3):
            await asyncio.sleep(2)
            world.upsert(row_id, "other", lsn=20 + row_id)
        await asyncio.sleep(0.3)
        assert (world.index.refreshes, len(world.index.documents)) == (3, 2)
        gate_open = True
        world.upsert(1, "at globex", lsn=30, tenant="globex")
        await world.settle()
        assert world.index.refreshes == 3
    assert world.titles == {GLOBEX: "at globex", place(row_id=2): "other", place(row_id=3): "other"}


async def test_the_memory_of_what_was_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking_up, "REMEMBERED_ROWS", 10)
    monkeypatch.setattr(looking_up, "REFRESH_SECONDS", 1e9)
    world = World(batch=BatchSettings(lookup_documents=5))
    for row_id in range(100):
        world.upsert(row_id, "a", lsn=1 + row_id)
    async with world.running():
        await world.settle()
        for row_id in range(100):
            world.upsert(row_id, "b", lsn=200 + row_id, tenant="globex")
        await world.settle()
    assert world.titles == {place("globex", row_id): "b" for row_id in range(100)}
    assert 10 <= world.index.refreshes <= 40


async def test_a_replay_of_everything_writes_nothing_and_searches_only_for_what_may_be_unfinished() -> None:
    world = World()
    world.upsert(1, "a", lsn=10)
    world.upsert(1, "b", lsn=11, tenant="globex")
    delete(world, 12)
    world.upsert(2, "a", lsn=13)
    world.append(builders.event("u", builders.row(2, title="seen", url=None), lsn=None), 2)
    await World(like=world).run_to_the_end()
    before, writes = dict(world.index.documents), world.index.writes
    for batch in (BatchSettings(), BatchSettings(lookup_documents=1)):
        world.log.commits.clear()
        again = World(like=world, batch=batch, fetch_max_records=1)
        await again.run_to_the_end()
        assert (world.index.documents, world.index.writes) == (before, writes)
        assert again.verdicts == {"superseded": 5}


async def test_a_delete_that_was_joined_with_the_insert_behind_it_writes_nothing_when_it_is_read_alone() -> None:
    world = World()
    world.upsert(1, "a", lsn=10)
    delete(world, 11)
    world.upsert(1, "again", lsn=12)
    await world.run_to_the_end()
    again = World()
    again.index.documents = dict(world.index.documents)
    async with again.running():
        again.upsert(1, "a", lsn=10)
        await again.settle()
        delete(again, 11)
        await again.settle()
        again.upsert(1, "again", lsn=12)
        await again.settle()
    assert (again.index.documents, again.index.writes) == (world.index.documents, 0)
    assert again.verdicts == {"superseded": 3}


async def test_a_move_that_was_cut_off_is_finished_by_the_replay() -> None:
    """The document was written, the tombstone was not."""
    world = World()
    world.upsert(1, "at acme", lsn=10)
    await world.run_to_the_end()
    there = dict(world.index.documents)
    world.upsert(1, "at globex", lsn=11, tenant="globex")
    await World(like=world).run_to_the_end()
    again = World()
    again.index.documents = {GLOBEX: world.index.documents[GLOBEX], **there}
    again.upsert(1, "at globex", lsn=11, tenant="globex")
    await again.run_to_the_end()
    assert again.titles == {GLOBEX: "at globex"}
    assert again.verdicts == {"deleted": 1}


async def test_a_delete_that_finds_nothing_is_durable_and_stops_an_insert_that_it_has_overtaken() -> None:
    world = World(partitions=2)
    delete(world, 12)
    async with world.running():
        await world.settle()
        assert world.verdicts == {"deleted": 1}
        assert found(world) == {"nowhere": 1}
        world.upsert(1, "late", lsn=11, partition=1)
        await world.settle()
        assert world.titles == {}
        world.upsert(1, "there again", lsn=13, partition=1)
        await world.settle()
    assert world.titles == {ACME: "there again"}
    assert world.verdicts == {"deleted": 1, "superseded": 1, "indexed": 1}


async def test_faults_are_retried_and_a_missing_privilege_halts() -> None:
    world = World()
    world.index.fail_locate(RetryLater(RetryReason.TIMEOUT, "no answer"))
    world.index.fail_locate(RetryLater(RetryReason.SERVER_ERROR, "a shard did not answer"))
    world.upsert(1, "a", lsn=10)
    await world.run_to_the_end()
    assert world.value("syncline_retries_total", operation="locate", reason="timeout") == 1
    world.upsert(1, "b", lsn=11)
    second = World(like=world)
    second.index.fail_locate(Halt(HaltReason.FORBIDDEN, "needs the privilege 'maintenance'"))
    async with second.running():
        assert (await second.until_halted()).keys() == {HaltReason.FORBIDDEN}
        assert second.committed() == 1
        await second.settle()
    assert second.titles == {ACME: "b"}, "once the privilege is granted it goes on by itself"


async def test_where_events_tell_every_place_nothing_is_searched() -> None:
    world = World(rules=builders.rules(trusts_before=True))
    world.upsert(1, "a", lsn=10)
    world.append(builders.event("u", builders.row(1, "globex"), builders.row(), lsn=11), 1)
    world.append(builders.event("d", None, builders.row(1, "globex"), lsn=12), 1)
    await world.run_to_the_end()
    assert (world.index.refreshes, world.index.searches) == (0, [])
    assert all(places == [ACME] or key_place() not in places for places in world.index.lookups)
