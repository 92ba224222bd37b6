"""The real pipeline on fakes, in virtual time: partitions come and go."""

import asyncio
from collections.abc import Mapping

import pytest

from tests import builders
from tests.fakes.world import TOPIC, Gate, World
from worker.ports import Commit
from worker.records import TopicPartition
from worker.settings import BatchSettings, DeliverySettings

pytestmark = pytest.mark.virtual_time
ONE, TWO = (builders.place(row_id=number) for number in (1, 2))
ZERO = TopicPartition(TOPIC, 0)
MIB = 1024 * 1024


async def test_a_revocation_finishes_what_is_in_flight_drops_what_waits_and_commits() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    commits: list[tuple[int, int]] = []

    def on_commit(committed: Mapping[TopicPartition, Commit]) -> None:
        commits.append((committed[ZERO].offset, len(world.index.requests)))

    world.source.on_commit.append(on_commit)
    world.upsert(1, "first", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        world.upsert(1, "second", lsn=2)
        await world.until(lambda: world.consumed == 2)
        rebalance = asyncio.ensure_future(world.source.rebalance())
        await asyncio.sleep(5)
        assert not rebalance.done()
        gate.open()
        await rebalance
        assert commits == [(1, 1)], "the first change alone, and before the second was sent"
        await world.settle()
    assert world.titles == {ONE: "second"}
    assert world.committed() == 2
    assert world.consumed == world.verdicts.total() == 3
    assert world.verdicts == {"indexed": 2, "lost_assignment": 1}


async def test_a_revocation_waits_no_longer_than_its_deadline() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    loop = asyncio.get_running_loop()
    async with world.running():
        await world.until(lambda: gate.waiting)
        started = loop.time()
        await world.source.rebalance()
        assert loop.time() - started == pytest.approx(7, abs=0.1)
        assert world.committed() is None
        gate.open()
        await world.settle()
    assert world.committed() == 1


async def test_records_of_a_lost_assignment_never_count_again() -> None:
    """The bulk request of the old assignment ends late: its record is read again, and resolved once more."""
    world = World(partitions=1, delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await world.source.rebalance()
        await world.until(lambda: world.consumed == 2)
        await asyncio.sleep(5)
        assert len(gate.came) == 1, "the row's second unit must wait for its first, whatever the assignment"
        gate.open()
        await world.settle()
    assert world.verdicts == {"lost_assignment": 1, "superseded": 1}
    assert world.pipeline.ledger.bytes_in_flight == 0


async def test_a_late_write_after_losing_a_partition_changes_nothing_newer() -> None:
    """The new owner has written a newer version before the old one's request arrives."""
    old = World(delivery=DeliverySettings(drain_timeout=7), partitions=2)
    old.index.before_bulk = gate = Gate(lambda _: len(gate.came) == 1)
    old.upsert(1, "old", lsn=1, partition=1)
    new = World(like=old)
    async with old.running():
        await old.until(lambda: gate.waiting)
        async with new.running():
            await new.until(lambda: new.source.lag() and old.source.lag().keys() != new.source.lag().keys())
            new.upsert(1, "new", lsn=2, partition=1)
            await old.until(lambda: old.titles == {ONE: "new"})
            gate.open()
            await asyncio.sleep(1)
            assert old.titles == {ONE: "new"}


async def test_two_workers_share_the_work_and_lose_nothing() -> None:
    first = World(partitions=4)
    second = World(like=first)
    for number in range(200):
        first.upsert(number % 50, f"text {number}", lsn=1 + number, partition=number % 50 % 4)
    async with first.running():
        await first.until(lambda: first.consumed)
        async with second.running():
            await second.until(second.source.lag)
            for number in range(200, 400):
                first.upsert(number % 50, f"text {number}", lsn=1 + number, partition=number % 50 % 4)
            await second.settle()
            await first.settle()
            assert second.verdicts["indexed"] > 0
    assert set(first.titles.values()) == {f"text {number}" for number in range(350, 400)}
    assert [first.committed(number) for number in range(4)] == [
        len(first.log.records[TopicPartition(TOPIC, number)]) for number in range(4)
    ]


async def test_a_rebalance_while_paused_leaves_no_stuck_pause() -> None:
    world = World(
        batch=BatchSettings.model_validate({"max_in_flight": MIB}),
        delivery=DeliverySettings(drain_timeout=7),
        fetch_max_records=10,
    )
    world.index.before_bulk = gate = Gate()
    for number in range(300):
        world.upsert(number, "a", lsn=1 + number, content="x" * 4000)
    async with world.running():
        await world.until(lambda: world.source.paused)
        await world.source.rebalance()
        assert world.committed() is None
        await asyncio.sleep(30)
        gate.open()
        await world.settle()
        assert not world.source.paused
    assert len(world.titles) == 300
    assert world.committed() == 300


async def test_losing_all_partitions_while_paused_and_getting_them_back_goes_on() -> None:
    world = World(batch=BatchSettings.model_validate({"max_in_flight": MIB}), fetch_max_records=10)
    other = World(like=world)
    world.index.before_bulk = gate = Gate()
    for number in range(300):
        world.upsert(number, "a", lsn=1 + number, content="x" * 4000)
    async with world.running():
        await world.until(lambda: world.source.paused)
        # There is one partition: somebody goes without, and it may be either of the two.
        async with other.running():
            await world.until(lambda: world.value("syncline_rebalances_total") == 2)
            gate.open()
            await asyncio.sleep(1)
        await world.settle()
    assert len(world.titles) == 300


async def test_a_member_that_was_thrown_out_drops_its_commit_and_goes_on() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        expiry = asyncio.ensure_future(world.source.expire())
        await asyncio.sleep(1)
        gate.open()
        await expiry
        assert world.value("syncline_commits_total", outcome="refused") == 1
        await world.settle()
    assert world.committed() == 1
    assert world.verdicts.total() == world.consumed == 2


async def test_a_revocation_during_the_final_drain_starts_nothing_new() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running() as task:
        await world.until(lambda: gate.waiting)
        world.upsert(1, "b", lsn=2)
        await world.until(lambda: world.consumed == 2)
        world.pipeline.stop()
        await asyncio.sleep(0)
        rebalance = asyncio.ensure_future(world.source.rebalance())
        await asyncio.sleep(1)
        gate.open()
        await rebalance
        await task
    assert world.titles == {ONE: "a"}
    assert world.committed() == 1
