"""Kafka as commands look at it: in no consumer group, and without a trace."""

from contextlib import AsyncExitStack
from typing import NamedTuple

from worker.adapters.kafka_check import check_kafka
from worker.adapters.kafka_group import KafkaGroupReader
from worker.adapters.kafka_samples import KafkaTopicReader
from worker.settings import KafkaSettings


class KafkaReaders(NamedTuple):
    """What reads topics, and what reads the consumer group."""

    topics: KafkaTopicReader
    group: KafkaGroupReader


async def kafka_readers(settings: KafkaSettings, closing: AsyncExitStack) -> KafkaReaders:
    """Return connected readers, which `closing` closes.

    Raises:
        OperatorError: Kafka cannot be used with these settings.
    """
    # Seconds instead of the client's minutes; topics are looked at one by one later.
    await check_kafka(settings.model_copy(update={"dead_letter_topic": None}), [])
    readers = KafkaReaders(KafkaTopicReader(settings), KafkaGroupReader(settings))
    for reader in readers:
        closing.push_async_callback(reader.close)
    for reader in readers:
        await reader.start()
    return readers
