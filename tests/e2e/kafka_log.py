"""What is in Kafka: the records of a topic, where it ends, and how far a group has come."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient


@dataclass(frozen=True, slots=True)
class Event:
    """One record of Debezium's; a tombstone has no `value`."""

    partition: int
    offset: int
    key: Mapping[str, Any]
    value: Mapping[str, Any] | None


def ends(bootstrap: str, topics: list[str]) -> dict[TopicPartition, int]:
    """The next offset of every partition that holds a record."""

    async def ask() -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
            offsets = await consumer.end_offsets(await _partitions(bootstrap, topics))
            return {partition: offset for partition, offset in offsets.items() if offset}

    return asyncio.run(ask())


def committed(bootstrap: str, group: str) -> dict[TopicPartition, int]:
    """The group's committed offsets, those at the very beginning left out."""

    async def ask() -> dict[TopicPartition, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            commits = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        return {partition: commit.offset for partition, commit in commits.items() if commit.offset > 0}

    return asyncio.run(ask())


def events(bootstrap: str, topic: str) -> list[Event]:
    """Everything in a topic; in order within each partition."""
    found: list[Event] = []
    each_event(bootstrap, topic, found.append)
    return found


def each_event(bootstrap: str, topic: str, visit: Callable[[Event], None]) -> None:
    """Show everything in a topic, one event at a time: a long log does not fit into memory."""

    async def ask() -> None:
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            partitions = await _partitions(bootstrap, [topic])
            consumer.assign(partitions)
            left = {partition: end for partition, end in (await consumer.end_offsets(partitions)).items() if end}
            while left:
                message = await consumer.getone()
                visit(_event(message))
                partition = TopicPartition(message.topic, message.partition)
                if message.offset + 1 >= left.get(partition, 0):
                    left.pop(partition, None)

    asyncio.run(ask())


async def _partitions(bootstrap: str, topics: list[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(topics)
    finally:
        await admin.close()
    found = [TopicPartition(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]]
    assert found, f"no partitions of {topics}"
    return found


def _event(message: Any) -> Event:  # noqa: ANN401 - aiokafka publishes no types
    value = None if message.value is None else json.loads(message.value)
    return Event(message.partition, message.offset, {} if message.key is None else json.loads(message.key), value)
