"""Writing change events to Kafka: what the demo and the benchmarks do in place of a connector."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from worker.adapters.kafka_client import connection_options, start_up_faults
from worker.settings import KafkaSettings

FeedItem = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers of one record."""


class KafkaFeed:
    """A producer. Records of one key stay in order."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send(self, topic: str, items: Iterable[FeedItem]) -> None:
        """Send all and wait until the last is acknowledged."""
        pending = [
            await self._producer.send(topic, key=key, value=value, headers=list(headers))
            for key, value, headers in items
        ]
        for acknowledgement in pending:
            await acknowledgement


@asynccontextmanager
async def kafka_feed(settings: KafkaSettings) -> AsyncIterator[KafkaFeed]:
    """Connect, and close at the end. Raises `OperatorError` if the brokers cannot be reached."""
    producer = AIOKafkaProducer(**connection_options(settings), acks="all", enable_idempotence=True)
    with start_up_faults(settings):
        await producer.start()
    try:
        yield KafkaFeed(producer)
    finally:
        await producer.stop()


async def create_topic(settings: KafkaSettings, topic: str, partitions: int) -> None:
    """Create a topic; one that exists stays as it is."""
    admin = AIOKafkaAdminClient(**connection_options(settings))
    with start_up_faults(settings):
        await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()
