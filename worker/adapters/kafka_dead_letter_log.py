"""Reading the dead-letter topic from outside any consumer group: from a time, or the beginning, to its present end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as ClientPartition
from aiokafka.errors import KafkaError
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, record_of, start_up_faults, told_faults
from worker.errors import OperatorError
from worker.ports import DeadLetterLog
from worker.records import Record
from worker.settings import KafkaSettings

_WAIT_MS: Final = 500
_STALLED_SECONDS: Final = 30.0
_FETCH_BYTES: Final = 8 * 1024 * 1024
_READING: Final = "while dead letters are read"


class KafkaDeadLetterLog(DeadLetterLog):
    """`ports.DeadLetterLog` on a consumer without a group, which has all partitions to itself and commits nothing."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer = AIOKafkaConsumer(
            **connection_options(settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )

    async def start(self) -> None:
        """Connect, and check that the topic exists."""
        with start_up_faults(self._settings):
            await self._consumer.start()
            # Asks for all topics: to ask for one by name would create it on brokers that create topics by themselves.
            if self._topic not in await self._consumer.topics():
                raise OperatorError(
                    f"kafka.dead_letter_topic: {self._topic!r} does not exist on "
                    f"{', '.join(self._settings.bootstrap_servers)}, or this user may not see it"
                )
            # Without a group this means: all partitions of it.
            self._consumer.subscribe([self._topic])

    @override
    async def read(self, since_ms: int | None = None) -> AsyncIterator[Record]:
        with told_faults(self._settings, _READING):
            ends = await self._seek(since_ms)
        last = asyncio.get_running_loop().time()
        while unread := await self._unread(ends):
            batches = await self._fetch(unread)
            if not batches and asyncio.get_running_loop().time() - last > _STALLED_SECONDS:
                raise OperatorError(
                    f"kafka.dead_letter_topic: {self._topic!r} could not be read to its end: no record of partition "
                    f"{unread[0].partition} came for {_STALLED_SECONDS:.0f} s; check the brokers, and try again"
                )
            for partition, messages in batches.items():
                for message in messages:
                    if message.offset < ends[partition]:
                        yield record_of(message)
            if batches:  # only now: how long the reader of these took is no silence of the brokers
                last = asyncio.get_running_loop().time()

    async def _seek(self, since_ms: int | None) -> Mapping[ClientPartition, int]:
        """Go to where reading starts, and return the ends of those that hold something."""
        partitions = await self._partitions()
        first = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        starts = dict(first)
        if since_ms is not None:
            found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
            starts = {one: ends[one] if found.get(one) is None else found[one].offset for one in partitions}
        for partition in partitions:
            self._consumer.seek(partition, starts[partition])
        return {one: ends[one] for one in partitions if starts[one] < ends[one]}

    async def _partitions(self) -> list[ClientPartition]:
        deadline = asyncio.get_running_loop().time() + _STALLED_SECONDS
        while not (partitions := self._consumer.assignment()):
            if asyncio.get_running_loop().time() > deadline:
                raise self._unanswered()
            await asyncio.sleep(_WAIT_MS / 10_000)  # the client asks for them in a task of its own
        return sorted(partitions)

    async def _unread(self, ends: Mapping[ClientPartition, int]) -> list[ClientPartition]:
        return [one for one, end in ends.items() if await self._consumer.position(one) < end]

    async def _fetch(self, partitions: list[ClientPartition]) -> Mapping[ClientPartition, list[Any]]:
        try:
            batches: Mapping[ClientPartition, list[Any]] = await self._consumer.getmany(
                *partitions, timeout_ms=_WAIT_MS, max_records=500
            )
        except KafkaError as error:
            raise OperatorError(f"kafka.dead_letter_topic: {self._topic!r} cannot be read: {error!r}") from error
        return batches

    @override
    async def record_at(self, partition: int, offset: int) -> Record | None:
        with told_faults(self._settings, _READING):
            wanted = ClientPartition(self._topic, partition)
            if wanted not in await self._partitions():
                return None
            first = (await self._consumer.beginning_offsets([wanted]))[wanted]
            end = (await self._consumer.end_offsets([wanted]))[wanted]
            if not first <= offset < end:
                return None
            self._consumer.seek(wanted, offset)
        deadline = asyncio.get_running_loop().time() + _STALLED_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            batches = await self._fetch([wanted])
            for message in batches.get(wanted, ()):
                return record_of(message) if message.offset == offset else None
        raise self._unanswered()

    def _unanswered(self) -> OperatorError:
        return OperatorError(f"kafka.dead_letter_topic: {self._topic!r} cannot be read: no answer in time; try again")

    @override
    async def close(self) -> None:
        await self._consumer.stop()
