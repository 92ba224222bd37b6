import asyncio

import pytest

from tests.builders import TOPIC
from tests.fakes.world import Gate, World
from tests.virtual_time import VirtualTimeLoop
from worker.metrics import Metrics
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger
from worker.runtime.monitor import Monitor

pytestmark = pytest.mark.virtual_time
ZERO = {"topic": TOPIC, "partition": "0"}


async def test_what_holds_the_event_loop_shows() -> None:
    world, metrics = World(), Metrics()
    monitor = asyncio.ensure_future(Monitor(world.source, Ledger(metrics, Clock()), metrics, Clock()).run())
    await asyncio.sleep(5)
    longest = metrics.registry.get_sample_value("syncline_event_loop_delay_max_seconds")
    assert longest == pytest.approx(0, abs=0.001)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.now += 0.75  # as if a call had not returned for so long
    await asyncio.sleep(1)
    monitor.cancel()
    longest = metrics.registry.get_sample_value("syncline_event_loop_delay_max_seconds")
    assert longest == pytest.approx(0.75, abs=0.051)
    slow = metrics.registry.get_sample_value("syncline_event_loop_delay_seconds_bucket", {"le": "0.5"})
    total = metrics.registry.get_sample_value("syncline_event_loop_delay_seconds_count")
    assert slow is not None
    assert total == slow + 1


async def test_lag_counts_what_is_not_resolved_and_what_is_not_fetched() -> None:
    world = World(fetch_max_records=2)
    world.index.before_bulk = gate = Gate()
    for number in range(5):
        world.upsert(number, "a", lsn=1 + number)
    async with world.running():
        await world.until(lambda: gate.waiting)
        world.source.pause()
        for number in range(5, 8):
            world.upsert(number, "a", lsn=1 + number)
        await asyncio.sleep(2)
        assert world.value("syncline_lag_records", **ZERO) == 8
        world.source.resume()
        gate.open()
        await world.settle()
        await asyncio.sleep(2)
        assert world.value("syncline_lag_records", **ZERO) == 0


async def test_the_oldest_unresolved_record_has_a_gauge() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await asyncio.sleep(30)
        assert world.value("syncline_oldest_unresolved_seconds") == pytest.approx(30, abs=1.5)
        gate.open()
        await asyncio.sleep(2)
        assert world.value("syncline_oldest_unresolved_seconds") == 0


async def test_a_lost_partition_leaves_no_lag_behind() -> None:
    world = World(partitions=2)
    other = World(like=world)
    async with world.running():
        await asyncio.sleep(2)
        assert world.metrics.registry.get_sample_value("syncline_lag_records", {"topic": TOPIC, "partition": "1"}) == 0
        async with other.running():
            await asyncio.sleep(2)
            kept = {partition.partition for partition in world.source.lag()}
            shown = {
                number
                for number in (0, 1)
                if world.metrics.registry.get_sample_value(
                    "syncline_lag_records", {"topic": TOPIC, "partition": str(number)}
                )
                is not None
            }
            assert len(kept) == 1
            assert shown == kept
