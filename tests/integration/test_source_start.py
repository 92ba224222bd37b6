"""Between the assignment of a partition and the seek to its commit the client fetches by itself, from where it thinks
right. What it brings then comes a second time after the seek, so no part of it may pass for a record of the new epoch.
"""

import asyncio
import uuid
from collections.abc import Mapping

import pytest
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata
from aiokafka import TopicPartition as ClientPartition
from typing_extensions import override

from tests.servers.start import Servers
from worker.adapters.kafka_feed import create_topic, kafka_feed
from worker.adapters.kafka_source import KafkaSource
from worker.ports import AssignmentListener
from worker.records import TopicPartition
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
