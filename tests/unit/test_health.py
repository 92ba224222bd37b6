import asyncio

import pytest

from tests.builders import TOPIC, record
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.source import FakeSource, Log
from tests.fakes.world import Gate, World
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.records import TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.health import Health
from worker.runtime.ledger import Ledger
from worker.runtime.retrying import Retrying
from worker.runtime.target_watch import TargetWatch
from worker.runtime.watchdog import Watchdog
from worker.settings import DeliverySettings

pytestmark = pytest.mark.virtual_time
LIMIT = 300.0


class Parts:
    def __init__(self) -> None:
        self.ledger = Ledger(Metrics(), Clock())
        self.retrying = Retrying(DeliverySettings(), Metrics())
        self.watchdog = Watchdog(FakeSource(Log({TOPIC: 1}), [TOPIC]), self.ledger, Clock())
        self.target_watch = TargetWatch(FakeElasticsearch(), self.retrying)
        self.health = Health(self.ledger, self.retrying, self.watchdog, self.target_watch, LIMIT, Clock())

    def admit(self, offset: int) -> None:
        self.ledger.admit(record(offset=offset))

    def resolve(self, offset: int) -> None:
        self.ledger.resolve(record(offset=offset).position, Verdict.INDEXED)


def joined() -> Parts:
    parts = Parts()
    parts.ledger.begin(0, {TopicPartition(TOPIC, 0): ""})
    return parts


async def test_with_nothing_to_do_it_is_alive_for_ever() -> None:
    parts = joined()
    await asyncio.sleep(100 * LIMIT)
    assert parts.health.live().ok


async def test_open_records_and_no_progress_within_the_limit_is_not_alive() -> None:
    parts = joined()
    await asyncio.sleep(10 * LIMIT)
    parts.admit(0)
    parts.admit(1)
    await asyncio.sleep(LIMIT - 1)
    assert parts.health.live().ok, "the limit counts from when there was something to do"
    await asyncio.sleep(2)
    answer = parts.health.live()
    assert not answer.ok
    assert answer.reason == "2 records open, none resolved for 301 s"


async def test_any_progress_counts() -> None:
    parts = joined()
    parts.admit(0)
    parts.admit(1)
    await asyncio.sleep(LIMIT - 1)
    parts.resolve(1)
    await asyncio.sleep(LIMIT - 1)
    assert parts.health.live().ok
    await asyncio.sleep(2)
    assert not parts.health.live().ok


class Broken:
    """A call that fails until it is mended."""

    def __init__(self, parts: Parts, operation: str, fault: Exception) -> None:
        self.mended = False
        self._fault = fault
        self.call = asyncio.ensure_future(parts.retrying.call(operation, self._try))

    async def _try(self) -> None:
        if not self.mended:
            raise self._fault

    async def mend(self) -> None:
        self.mended = True
        await self.call


@pytest.mark.parametrize(
    "fault", [RetryLater(RetryReason.CONNECTION, "refused"), Halt(HaltReason.WRITE_BLOCKED, "blocked")]
)
async def test_a_declared_backoff_or_halt_is_no_reason_for_a_restart(fault: Exception) -> None:
    parts = joined()
    parts.admit(0)
    broken = Broken(parts, "bulk", fault)
    await asyncio.sleep(10 * LIMIT)
    assert parts.health.live().ok
    await broken.mend()
    assert parts.health.live().ok, "from its end on, there is as much time as ever"
    await asyncio.sleep(LIMIT + 1)
    assert not parts.health.live().ok


async def test_ready_says_what_is_missing() -> None:
    parts = Parts()
    assert parts.health.ready().reason == "the consumer group is not joined yet"
    parts.ledger.begin(0, {})
    assert parts.health.ready().ok
    slow = [Broken(parts, operation, RetryLater(RetryReason.TIMEOUT, "slow")) for operation in ("lookup", "bulk")]
    await asyncio.sleep(0.01)
    assert parts.health.ready().reason == "backing off: bulk, lookup"
    blocked = Broken(parts, "bulk", Halt(HaltReason.WRITE_BLOCKED, "index write (api)"))
    await asyncio.sleep(0.01)
    assert parts.health.ready().reason == "halted: write_blocked: index write (api)"
    for broken in (*slow, blocked):
        await broken.mend()
    assert parts.health.ready().ok
    parts.watchdog.unreachable = True
    assert parts.health.ready().reason == "Kafka does not answer"
    parts.watchdog.unreachable = False
    parts.target_watch.fault = "connection refused"
    assert parts.health.ready().reason == "Elasticsearch: connection refused"


async def test_an_idle_worker_whose_elasticsearch_is_away_is_alive_and_not_ready() -> None:
    world = World()
    health = health_of(world)
    async with world.running():
        await asyncio.sleep(30)
        assert health.ready().ok
        world.index.alias_exists = False
        await asyncio.sleep(60)
        assert not health.ready().ok
        assert health.live().ok
        world.index.alias_exists = True
        await asyncio.sleep(60)
        assert health.ready().ok


def health_of(world: World) -> Health:
    pipeline = world.pipeline
    return Health(pipeline.ledger, pipeline.retrying, pipeline.watchdog, pipeline.target_watch, LIMIT, Clock())


async def test_a_worker_whose_request_hangs_is_not_alive() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    health = health_of(world)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await asyncio.sleep(LIMIT + 1)
        assert not health.live().ok
        gate.open()
        await world.settle()
        assert health.live().ok


async def test_a_worker_that_waits_for_elasticsearch_is_alive_and_not_ready() -> None:
    world = World()
    world.upsert(1, "a", lsn=1)
    for _ in range(5_000):
        world.index.fail_request(RetryLater(RetryReason.CONNECTION, "refused"))
    health = health_of(world)
    async with world.running():
        await asyncio.sleep(3 * LIMIT)
        assert health.live().ok
        assert not health.ready().ok
        world.index.heal()
        await world.settle()
        assert health.ready().ok


async def test_a_consumer_that_is_stuck_is_not_alive() -> None:
    """Records wait in the log, the brokers answer, and the client brings nothing: only a restart helps."""
    world = World()
    world.upsert(1, "a", lsn=1)
    health = health_of(world)
    async with world.running():
        world.source.pause()
        await asyncio.sleep(LIMIT + 60)
        answer = health.live()
        world.source.resume()
        await asyncio.sleep(60)
        assert health.live().ok
    assert not answer.ok
    assert "records wait in Kafka" in answer.reason


async def test_that_nothing_was_fetched_in_a_halt_does_not_count_when_it_is_over() -> None:
    """After a rebalance no record is open any more, and while the worker is halted it fetches none."""
    world = World()
    world.upsert(1, "a", lsn=1)
    world.index.alias_exists = False
    health = health_of(world)
    async with world.running():
        await world.until_halted()
        await world.source.rebalance()
        await asyncio.sleep(2 * LIMIT)
        assert not world.pipeline.ledger.open_records
        world.index.alias_exists = True
        await world.until(lambda: not world.pipeline.retrying.halting.halted)
        assert health.live().ok
        await world.settle()


async def test_records_that_wait_between_two_probes_of_a_mass_rejection_are_no_reason_for_a_restart() -> None:
    """The first probe lifts the halt, and where no record comes any more nothing declares it again."""
    world = World(delivery=DeliverySettings(halt_probe_interval=4 * LIMIT), fetch_max_records=1000)
    for number in range(120):
        world.append(b"not json", number)
    health = health_of(world)
    async with world.running():
        await world.until_halted()
        await world.until(lambda: not world.pipeline.retrying.halting.halted)
        for _ in range(200):
            assert health.live().ok
            await asyncio.sleep(LIMIT / 10)
        assert 120 > world.pipeline.ledger.open_records > 100


async def test_when_what_was_held_back_is_let_go_there_is_as_much_time_as_ever() -> None:
    parts = joined()
    parts.admit(0)
    with parts.retrying.halting.holding():
        await asyncio.sleep(3 * LIMIT)
        assert parts.health.live().ok
    await asyncio.sleep(LIMIT - 1)
    assert parts.health.live().ok
    await asyncio.sleep(2)
    assert not parts.health.live().ok
