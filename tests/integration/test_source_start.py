"""What may happen between a question to the brokers and its answer, on a real client.

Between the assignment of a partition and the seek to its commit the client fetches by itself, from where it thinks
right. What it brings then comes a second time after the seek, so no part of it may pass for a record of the new epoch.
And when an answer comes, the partition may be another worker's: the client raises an error if it is asked about it.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata
from aiokafka import TopicPartition as ClientPartition
from aiokafka.errors import GroupAuthorizationFailedError, RequestTimedOutError
from typing_extensions import override

from tests.servers.start import Servers
from worker.adapters.kafka_feed import create_topic, kafka_feed
from worker.adapters.kafka_source import KafkaSource
from worker.errors import Halt
from worker.ports import AssignmentListener, Commit
from worker.records import Record, TopicPartition
from worker.settings import KafkaSettings

RECORDS = 300
COMMITTED = 7


class Listening(AssignmentListener):
    def __init__(self) -> None:
        self.epoch: int | None = None

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self.epoch = None

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        self.epoch = epoch


@pytest.fixture
async def topic(servers: Servers) -> tuple[KafkaSettings, str]:
    """A topic of which a group has committed a beginning."""
    name = f"start-{uuid.uuid4().hex[:8]}"
    settings = KafkaSettings(bootstrap_servers=[servers.kafka], group_id=name)
    await create_topic(settings, name, partitions=1)
    async with kafka_feed(settings) as feed:
        await feed.send(name, [(b"key", b"%d" % number, ()) for number in range(RECORDS)])
    async with AIOKafkaConsumer(bootstrap_servers=servers.kafka, group_id=name, enable_auto_commit=False) as consumer:
        partition = ClientPartition(name, 0)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(COMMITTED, "")})
    return settings, name


async def test_what_the_client_fetched_before_the_seek_belongs_to_nobody(topic: tuple[KafkaSettings, str]) -> None:
    settings, name = topic
    source = KafkaSource(settings, [name])
    take_up = source._positions.take_up
    early = asyncio.Event()

    async def slowly(partitions: list[TopicPartition]) -> object:
        # The broker's answers take their time: until the client has brought records of its own accord.
        await asyncio.wait_for(early.wait(), 20)
        return await take_up(partitions)

    source._positions.take_up = slowly  # type: ignore[method-assign, assignment]
    listener = Listening()
    await source.start(listener)
    admitted: list[int] = []
    async with asyncio.timeout(60):
        while not admitted or admitted[-1] < RECORDS - 1:
            for record in await source.fetch():
                early.set()
                # The pipeline lets others run between two records, the rebalance among them.
                await asyncio.sleep(0.005)
                if record.position.epoch == listener.epoch:
                    admitted.append(record.position.offset)
    await source.close()
    assert admitted == list(range(COMMITTED, RECORDS))


@pytest.fixture
async def reading(topic: tuple[KafkaSettings, str]) -> AsyncIterator[KafkaSource]:
    """A source that has the partition and has fetched from it."""
    settings, name = topic
    source = KafkaSource(settings, [name])
    await source.start(Listening())
    async with asyncio.timeout(60):
        while not await source.fetch():
            pass
    yield source
    await source.close()


def lose_partitions(source: KafkaSource, question: str) -> None:
    """Let the partitions be taken away while the client's `question` is answered."""
    ask = getattr(source._consumer, question)

    async def asked(partitions: list[ClientPartition]) -> object:
        answer = await ask(partitions)
        source._consumer.unsubscribe()
        return answer

    setattr(source._consumer, question, asked)


async def test_the_end_of_a_partition_that_is_gone_meanwhile_is_left_out(reading: KafkaSource) -> None:
    assert list((await reading.ends()).values()) == [RECORDS]
    lose_partitions(reading, "beginning_offsets")
    assert await reading.ends() == {}


async def test_an_offset_lost_in_a_partition_that_is_gone_meanwhile_is_no_matter(reading: KafkaSource) -> None:
    (partition,) = reading._consumer.assignment()
    lose_partitions(reading, "end_offsets")
    await reading._positions.recover_lost({TopicPartition(*partition): 3}, lambda: True)


async def test_a_broker_that_does_not_answer_in_a_rebalance_is_asked_again(topic: tuple[KafkaSettings, str]) -> None:
    settings, name = topic
    source = KafkaSource(settings, [name])
    look_up, asked = source._positions._commits, 0

    async def unanswered_once(partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Commit]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RequestTimedOutError
        return await look_up(partitions)

    source._positions._commits = unanswered_once  # type: ignore[method-assign]
    listener = Listening()
    await source.start(listener)
    records: list[Record] = []
    async with asyncio.timeout(60):
        while not records:
            records = [one for one in await source.fetch() if one.position.epoch == listener.epoch]
    await source.close()
    assert (asked, records[0].position.offset) == (2, COMMITTED)


async def test_who_may_not_look_up_where_to_begin_is_told_at_once(topic: tuple[KafkaSettings, str]) -> None:
    settings, name = topic
    source = KafkaSource(settings, [name])

    async def refused(*_: object, **__: object) -> object:
        raise GroupAuthorizationFailedError

    source._positions._commits = refused  # type: ignore[method-assign, assignment]
    await source.start(Listening())

    async def fetch_on() -> None:
        while True:
            await source.fetch()

    with pytest.raises(Halt, match=r"does not allow this .*GroupAuthorizationFailed"):
        await asyncio.wait_for(fetch_on(), 20)
    await source.close()


async def test_whoever_is_asked_to_stop_meanwhile_asks_no_more(topic: tuple[KafkaSettings, str]) -> None:
    settings, name = topic
    source = KafkaSource(settings, [name])
    asked = asyncio.Event()

    async def unanswered(*_: object, **__: object) -> object:
        asked.set()
        raise RequestTimedOutError

    source._positions._commits = unanswered  # type: ignore[method-assign, assignment]
    await source.start(Listening())
    await asyncio.wait_for(asked.wait(), 60)
    await source.close()
    assert source._consumer._closed
    assert source._consumer._coordinator._coordination_task.done()
