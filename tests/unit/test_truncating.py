"""A truncated table, with the whole pipeline: what is older goes, whatever happens meanwhile; what is newer stays."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from tests import builders
from tests.builders import key_place, place
from tests.fakes.elasticsearch import REJECTED, UNAVAILABLE, UNPARSABLE
from tests.fakes.world import RULES, TOPIC, Gate, World
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.records import Place, TopicPartition
from worker.settings import BatchSettings, DeliverySettings
from worker.settings.worker import Deletes
from worker.stages.rules import Locate, TruncatePolicy
from worker.stages.truncate import marker

pytestmark = pytest.mark.virtual_time

EMPTYING = replace(RULES, truncate=TruncatePolicy.DELETE_ALL)
MARKER = marker("articles")
GRACE = DeliverySettings().drain_timeout
COUNTER = "syncline_truncated_documents_total"


def new_world(**more: object) -> World:
    return World(**{"rules": EMPTYING, **more})  # type: ignore[arg-type]


def truncate(world: World, lsn: int, partition: int = 0) -> int:
    """Append a truncate as Debezium writes it: without a key."""
    event = orjson.dumps(builders.event("t", None, lsn=lsn))
    return world.log.append(TopicPartition(TOPIC, partition), None, event)


def fill(world: World, rows: int, lsn: int = 10, partition: int = 0) -> None:
    for row_id in range(1, rows + 1):
        world.upsert(row_id, f"row {row_id}", lsn + row_id, tenant=f"t{row_id % 3}", partition=partition)


def versions(world: World) -> dict[Place, int]:
    return {where: held.version for where, held in world.index.documents.items() if held.deleted}


async def test_every_older_document_becomes_a_tombstone_page_by_page_and_newer_ones_stay() -> None:
    world = new_world()
    fill(world, 10)
    truncate(world, 100)
    world.upsert(3, "there again", 101, tenant="t0")
    world.upsert(11, "new", 102)
    await world.run_to_the_end()
    assert world.titles == {place("t0", 3): "there again", place("acme", 11): "new"}
    gone = {place(f"t{row % 3}", row): 100 for row in range(1, 11) if row != 3}
    assert versions(world) == {MARKER: 100, **gone}
    assert world.verdicts == {"indexed": 11, "superseded": 1, "deleted": 1}
    assert world.value(COUNTER, source="articles") == 9
    assert world.committed() == 13
    held = world.index.documents[place("t1", 1)].body
    assert held.keys() == {"sync"}
    assert held["sync"]["key"] == "articles/1"
    assert held["sync"]["source"] == "articles"


async def test_a_pass_reads_every_page_and_is_repeated_until_one_finds_nothing() -> None:
    world = new_world(rules=replace(EMPTYING, locate=Locate.NEVER))
    fill(world, 10)
    async with world.running():
        await world.settle()
        truncate(world, 100)
        await world.until(lambda: not world.index.live)
        await asyncio.sleep(1)
        assert (world.index.refreshes, len(world.index.sweeps)) == (2, 4 + 1)
        await world.settle()
    assert (world.index.refreshes, len(world.index.sweeps)) == (3, 4 + 1 + 1)


async def test_by_default_it_is_rejected_and_the_documents_stay() -> None:
    world = World()
    world.upsert(1, "a", 10)
    truncate(world, 100)
    await world.run_to_the_end()
    assert world.titles == {place(): "a"}
    assert world.verdicts == {"indexed": 1, "unsupported_operation": 1}
    assert world.index.sweeps == []


async def test_an_older_change_is_superseded_on_whatever_partition_and_worker_it_arrives() -> None:
    world = new_world(partitions=2)
    world.upsert(1, "old", 10)
    truncate(world, 100)
    await world.run_to_the_end()
    later = new_world(like=world)
    later.upsert(1, "late", 50, partition=1)
    later.upsert(2, "never seen", 60, tenant="globex", partition=1)
    later.upsert(3, "same position", 100, partition=1)
    later.upsert(4, "new", 101, partition=1)
    await later.run_to_the_end()
    assert later.titles == {place(row_id=4): "new"}
    assert later.verdicts == {"superseded": 1, "deleted": 2, "indexed": 1}
    assert versions(later) == dict.fromkeys([MARKER, place(), place("globex", 2), place(row_id=3)], 100)
    assert "never seen" not in later.embedder.texts


async def test_a_worker_that_froze_before_its_write_cannot_bring_a_row_back() -> None:
    """It looked up before the truncate, and wakes up when another worker has read all that it had in hand."""
    frozen = new_world()
    frozen.upsert(1, "old", 10)
    await frozen.run_to_the_end()
    (item,) = frozen.index.requests[-1]
    world = new_world()
    truncate(world, 100)
    await world.run_to_the_end()
    world.upsert(1, "old", 10)
    await new_world(like=world).run_to_the_end()
    (answer,) = await world.index.bulk(item, 1)
    assert answer.status == 409
    assert world.titles == {}


async def test_documents_of_other_sources_stay() -> None:
    world = new_world()
    world.upsert(1, "a", 10)
    await world.run_to_the_end()
    (held,) = world.index.live.values()
    other = Place("acme/notes/1", "acme")
    body = {**held.body, "sync": {**held.body["sync"], "source": "notes", "key": "notes/1"}}
    world.index.documents[other] = replace(held, body=body)
    truncate(world, 100)
    await new_world(like=world).run_to_the_end()
    assert world.titles == {other: "a"}


async def test_a_change_that_was_looked_up_before_is_written_and_then_swept() -> None:
    world = new_world(batch=BatchSettings(lookup_documents=1))
    gate = Gate(lambda places: place(row_id=1) in places)
    world.index.before_bulk = gate
    async with world.running():
        world.upsert(1, "in flight", 10)
        await world.until(lambda: gate.waiting)
        truncate(world, 100)
        world.upsert(2, "new", 101)
        await world.until(lambda: place(row_id=2) in world.index.live)
        await asyncio.sleep(60)
        assert world.index.sweeps == [], "it sweeps only when what was in flight has ended"
        gate.open()
        await world.settle()
    assert world.titles == {place(row_id=2): "new"}


async def test_a_change_that_waits_behind_a_row_in_flight_is_superseded() -> None:
    world = new_world()
    gate = Gate(lambda places: place() in places)
    world.index.before_bulk = gate
    async with world.running():
        world.upsert(1, "in flight", 10)
        await world.until(lambda: gate.waiting)
        world.upsert(1, "waiting", 11)
        truncate(world, 100)
        await world.until(lambda: MARKER in world.index.documents)
        gate.open()
        await world.settle()
    assert world.titles == {}
    assert world.verdicts == {"indexed": 1, "superseded": 1, "deleted": 1}


async def test_what_another_worker_writes_meanwhile_is_found_by_the_second_sweep() -> None:
    world = new_world()
    fill(world, 2)
    async with world.running():
        await world.settle()
        (late, held), *_ = world.index.live.items()
        truncate(world, 100)
        await world.until(lambda: not world.index.live)
        await asyncio.sleep(GRACE / 2)
        assert world.committed() == 2, "not resolved before the others had their time"
        world.index.documents[place("late", 9)] = replace(held, body={**held.body, "tenant": "late"})
        await world.settle()
    assert world.titles == {}
    assert world.value(COUNTER, source="articles") == 3
    assert late in world.index.documents


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_cut_off_anywhere_the_sweep_is_finished_by_whoever_reads_the_record_next(steps: int) -> None:
    world = new_world()
    fill(world, 10)
    await world.run_to_the_end()
    truncate(world, 100)
    world.upsert(2, "there again", 101)
    cut = new_world(like=world)
    task = asyncio.ensure_future(cut.pipeline.run())
    for _ in range(steps):
        await asyncio.sleep(0)
    while steps and len(cut.index.documents) < 11:  # at least begun: joining takes time
        await asyncio.sleep(0.01)
        if steps % 8:
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await cut.source.close()
    assert cut.committed() == 10
    again = new_world(like=world)
    await again.run_to_the_end()
    assert again.titles == {place("acme", 2): "there again"}
    assert again.committed() == 12


async def test_stopped_during_the_wait_for_others_nothing_is_committed() -> None:
    world = new_world()
    fill(world, 2)
    async with world.running():
        truncate(world, 100)
        await world.until(lambda: MARKER in world.index.documents and not world.index.live)
    assert world.committed() == 2
    await (again := new_world(like=world)).run_to_the_end()
    assert again.committed() == 3
    assert again.value(COUNTER, source="articles") == 0


async def test_a_rebalance_ends_the_sweep_and_the_record_is_swept_for_again() -> None:
    world = new_world()
    fill(world, 10)
    gate = Gate(lambda places: place("t1", 4) in places)
    async with world.running():
        await world.settle()
        world.index.before_bulk = gate
        truncate(world, 100)
        await world.until(lambda: gate.waiting)
        await world.source.rebalance()
        asked = len(world.index.sweeps)
        gate.open()
        await world.until(lambda: not world.index.live)
        await world.settle()
        assert world.index.sweeps[asked:], "swept for again under the new assignment"
    assert world.verdicts == {"indexed": 10, "lost_assignment": 1, "deleted": 1}
    assert world.titles == {}
    assert world.committed() == 11


async def test_a_sweep_stops_when_its_partition_is_lost() -> None:
    first = new_world(partitions=2)
    fill(first, 10)
    async with first.running():
        await first.settle()
        truncate(first, 100)
        await first.until(lambda: not first.index.live)
        await first.source.group.rebalance(first.source.group.members.clear)
        asked = len(first.index.sweeps)
        await asyncio.sleep(2 * GRACE)
        assert len(first.index.sweeps) == asked
        assert not first.pipeline.ledger.open_records


async def test_faults_are_retried_and_halts_wait_until_they_are_mended() -> None:
    world = new_world()
    fill(world, 7)
    async with world.running():
        await world.settle()
        world.index.fail_locate(RetryLater(RetryReason.TIMEOUT, "no answer"))
        world.index.fail_locate(Halt(HaltReason.FORBIDDEN, "needs the privilege 'maintenance'"))
        world.index.fail_item(MARKER.document_id, REJECTED)
        world.index.fail_item(place("t1", 4).document_id, UNAVAILABLE, times=3)
        truncate(world, 100)
        assert (await world.until_halted()).keys() == {HaltReason.FORBIDDEN}
        await asyncio.sleep(2)
        assert world.committed() == 7
        await world.settle()
    assert world.titles == {}
    assert world.value(COUNTER, source="articles") == 7


async def test_a_tombstone_that_is_refused_puts_the_record_aside() -> None:
    world = new_world()
    fill(world, 2)
    async with world.running():
        await world.settle()
        world.index.fail_item(place("t1", 1).document_id, UNPARSABLE)
        truncate(world, 100)
        await world.settle()
    assert world.verdicts == {"indexed": 2, "document_refused": 1}


async def test_several_truncates_of_a_table_are_swept_for_once() -> None:
    world = new_world()
    fill(world, 3)
    for lsn in (100, 200, 300):
        truncate(world, lsn)
    world.upsert(1, "between", 250)
    await world.run_to_the_end()
    assert world.titles == {}
    assert versions(world)[MARKER] == 300
    assert world.verdicts.total() == 7
    assert world.verdicts["deleted"] <= 2, "one that came alone, perhaps, and one for the others"


async def test_where_deletes_are_real_the_marker_stays_and_keeps_older_changes_out() -> None:
    world = new_world(delivery=DeliverySettings(deletes=Deletes.HARD))
    fill(world, 5)
    truncate(world, 100)
    async with world.running():
        await world.settle()
        assert world.index.documents.keys() == {MARKER}
        world.upsert(1, "late", 50)
        await world.settle()
    assert world.titles == {}


async def test_a_replay_writes_nothing() -> None:
    world = new_world()
    fill(world, 4)
    truncate(world, 100)
    world.upsert(1, "there again", 101)
    await world.run_to_the_end()
    writes, before = world.index.writes, dict(world.index.documents)
    world.log.commits.clear()
    again = new_world(like=world)
    await again.run_to_the_end()
    assert (world.index.writes, world.index.documents) == (writes, before)
    assert again.verdicts == {"superseded": 5, "deleted": 1}


async def test_rows_without_a_position_are_ordered_by_their_place_behind_the_truncate() -> None:
    world = new_world()
    world.upsert(1, "a", 10)
    truncate(world, 100)
    world.append(builders.event("r", builders.row(2, title="snapshot", url=None), lsn=None), 2)
    await world.run_to_the_end()
    assert world.titles == {place(row_id=2): "snapshot"}


async def test_a_delete_that_knows_no_tenant_still_finds_its_row() -> None:
    world = new_world()
    world.upsert(1, "a", 10)
    await world.run_to_the_end()
    world.append(builders.event("d", None, lsn=20), 1)
    await (later := new_world(like=world)).run_to_the_end()
    assert later.titles == {}
    assert versions(world) == {place(): 20, key_place(): 20}


async def test_long_sweeps_count_as_progress_and_other_rows_go_on() -> None:
    world = new_world(rules=replace(EMPTYING, locate=Locate.NEVER))
    fill(world, 30)

    async def slowly(_keys: object) -> None:
        await asyncio.sleep(10)

    async with world.running():
        await world.settle()
        world.index.before_locate = slowly
        truncate(world, 100)
        oldest = 0.0
        for _ in range(20):
            await asyncio.sleep(5)
            loop = asyncio.get_running_loop()
            oldest = max(oldest, loop.time() - world.pipeline.ledger.last_progress)
        world.upsert(99, "meanwhile", 101)
        await asyncio.sleep(11)
        assert place(row_id=99) in world.index.live
        await world.settle()
    assert oldest <= 15


async def test_where_rows_are_never_located_nothing_is_remembered_of_them() -> None:
    """What is remembered costs a refresh now and then, which needs a privilege."""
    world = new_world(rules=replace(EMPTYING, locate=Locate.NEVER))
    fill(world, 5)
    await world.run_to_the_end()
    assert not world.pipeline._lookup._recent._places
    assert world.index.refreshes == 0
