"""What every reader of a consumer group promises, on the fake and on a real broker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.contract.source_bench import PARTITIONS, PATIENCE, Bench, FakeBench, KafkaBench, Listening, bench_of
from tests.fakes.group_reader import FakeGroupReader
from worker.adapters.kafka_group import KafkaGroupReader
from worker.errors import OperatorError
from worker.ports import Commit, GroupReader
from worker.records import TopicPartition
from worker.settings import KafkaSettings


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


@pytest.fixture
async def reader(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[GroupReader]:
    if isinstance(bench, FakeBench):
        yield FakeGroupReader(bench._log)
        return
    assert isinstance(bench, KafkaBench)
    kafka = request.getfixturevalue("servers").kafka
    real = KafkaGroupReader(KafkaSettings(bootstrap_servers=[kafka], group_id=bench._group))
    await real.start()
    yield real
    await real.close()


def all_of(bench: Bench) -> list[TopicPartition]:
    return [TopicPartition(bench.topic, number) for number in range(PARTITIONS)]


async def test_a_group_that_never_was_is_dead_and_has_committed_nothing(bench: Bench, reader: GroupReader) -> None:
    group = await reader.group()
    assert (group.state, group.members) == ("Dead", ())
    assert await reader.commits(all_of(bench)) == {}
    assert await reader.commits([]) == {}


async def test_commits_are_told_with_their_metadata_and_no_others(bench: Bench, reader: GroupReader) -> None:
    await bench.produce(1, [b"x"] * 5)
    await bench.commit(1, 3)
    assert await reader.commits(all_of(bench)) == {TopicPartition(bench.topic, 1): Commit(3, "")}
    assert await reader.commits([TopicPartition(bench.topic, 2)]) == {}
    assert (await reader.group()).members == ()


async def test_a_member_is_told_with_its_partitions(bench: Bench, reader: GroupReader) -> None:
    source, listening = bench.source(), Listening()
    await source.start(listening)
    fetching = asyncio.create_task(_fetch(source))
    try:
        await listening.until(PARTITIONS)
        async with asyncio.timeout(PATIENCE):
            while (group := await reader.group()).joining or not group.assigned:  # noqa: ASYNC110 - a broker has no event
                await asyncio.sleep(0.05)
        (member,) = group.members
        assert (group.state, member.client) == ("Stable", "syncline")
        assert member.partitions == frozenset(all_of(bench))
        assert "/" not in member.host
    finally:
        fetching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fetching
        await source.close()


async def _fetch(source: object) -> None:
    while True:
        await source.fetch()  # type: ignore[attr-defined]


async def test_whether_this_user_may_join_is_tried_without_joining(reader: GroupReader) -> None:
    assert await reader.may_join() is not False
    assert (await reader.group()).members == ()


async def test_a_broker_that_does_not_answer_is_said_at_start() -> None:
    reader = KafkaGroupReader(KafkaSettings(bootstrap_servers=["127.0.0.1:1"]))
    with pytest.raises(OperatorError, match=r"kafka\.bootstrap_servers"):
        await reader.start()
    await reader.close()
