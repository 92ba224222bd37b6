"""A source that is started again after a halt, on the fake and on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from typing_extensions import override

from tests.contract.source_bench import PARTITIONS, PATIENCE, Bench, Listening, bench_of, fetched
from worker.errors import Halt, HaltReason, OperatorError
from worker.metrics import Metrics
from worker.ports import AssignmentListener, Commit, Source
from worker.records import Record, TopicPartition
from worker.runtime.halting import SOURCE, Halting
from worker.runtime.rejoining import Rejoining, RestartableSource
from worker.settings import DeliverySettings


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


async def fault(source: Source) -> Halt:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await source.fetch()
            except Halt as halt:
                return halt


async def test_it_goes_on_where_the_offsets_are_reset_to_while_the_group_is_empty(bench: Bench) -> None:
    await bench.produce(0, [b"0", b"1", b"2"])
    await bench.commit(0, 100)
    source, listener = RestartableSource(bench.source), Listening()
    halting = Halting(DeliverySettings(halt_probe_interval=2), Metrics())
    rejoining = Rejoining(source, listener, halting)
    await source.start(listener)
    halt = await fault(source)
    assert halt.reason is HaltReason.OFFSETS_LOST
    resetting = asyncio.create_task(reset_when_left(bench, source))
    await rejoining.after(halt)
    await resetting
    assert halting.reasons.keys() == {HaltReason.OFFSETS_LOST}, "until the partitions are assigned"
    assert [record.position.offset for record in await fetched(source, 2)] == [1, 2]
    await source.close()


async def reset_when_left(bench: Bench, source: RestartableSource) -> None:
    while source._inner is not None:  # noqa: ASYNC110 - a source has no event to wait for
        await asyncio.sleep(0.01)
    await bench.commit(0, 1)


async def test_epochs_go_on_rising_and_a_pause_holds(bench: Bench) -> None:
    await bench.produce(0, [b"0"])
    source, listener = RestartableSource(bench.source), Listening()
    await source.start(listener)
    await listener.until(PARTITIONS)
    (first,) = await fetched(source, 1)
    assert first.position.epoch == listener.epoch
    await source.commit({TopicPartition(bench.topic, 0): Commit(1, "")})
    await source.close()
    assert source.lag() == {}
    source.pause()
    again = Listening()
    await source.start(again)
    await again.until(PARTITIONS)
    assert again.epoch > first.position.epoch
    await bench.produce(0, [b"1"])
    assert not any([await source.fetch() for _ in range(3)])
    source.resume()
    (second,) = await fetched(source, 1)
    assert second.position.epoch == again.epoch
    await source.close()
    await source.close()


@dataclass
class Unstartable(Source):
    """A source whose first starts fail, as when Kafka cannot be reached."""

    failures: int
    starts: int = 0
    closed: int = 0

    @override
    async def start(self, listener: AssignmentListener) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise OperatorError("kafka.bootstrap_servers: cannot connect")

    @override
    async def close(self) -> None:
        self.closed += 1

    @override
    async def fetch(self) -> Sequence[Record]:
        return []

    @override
    def pause(self) -> None: ...

    @override
    def resume(self) -> None: ...

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None: ...

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        return {}

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        return {}

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        return {}


@pytest.mark.virtual_time
async def test_a_kafka_that_cannot_be_reached_meanwhile_does_not_end_the_process() -> None:
    source, halting = Unstartable(failures=3), Halting(DeliverySettings(), Metrics())
    started = asyncio.get_running_loop().time()
    await Rejoining(source, Listening(), halting).after(Halt(HaltReason.NO_COMMITTED_OFFSET, "no offset"))
    assert (source.starts, source.closed) == (4, 4)
    assert 4 * 15 <= asyncio.get_running_loop().time() - started <= 4 * 30
    assert halting.reasons == {HaltReason.MISCONFIGURED: "kafka.bootstrap_servers: cannot connect"}
    halting.lift(SOURCE)
    assert not halting.halted
