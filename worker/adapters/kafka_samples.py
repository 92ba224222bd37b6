"""A few records of a topic, read in no consumer group: nothing is committed, and no worker is disturbed."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as ClientPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.protocol.produce import ProduceRequest
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, record_of, start_up_faults
from worker.errors import NotAllowedError, OperatorError
from worker.ports import TopicReader
from worker.records import Record, TopicPartition
from worker.settings import KafkaSettings
from worker.stages.sampling import Extent, Span, TopicLimits
from worker.stages.sampling.limits import topic_limits

_POLL_MS: Final = 200
_ANSWER_SECONDS: Final = 15.0


class KafkaTopicReader(TopicReader):
    """`ports.TopicReader` on a consumer without a group."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        options = connection_options(settings)
        # The consumer knows only the partitions of topics that it reads.
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_bytes=int(settings.fetch_max_bytes),
            max_partition_fetch_bytes=1 << 20,
        )

    async def start(self) -> None:
        """Connect."""
        with start_up_faults(self._settings):
            await self._admin.start()
            await self._consumer.start()

    @override
    async def topics(self) -> Mapping[str, int]:
        with self._explained("list its topics"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                # All of them: to ask for one by name would create it on brokers that create topics by themselves.
                described = await self._admin.describe_topics()
        return {one["topic"]: len(one["partitions"]) for one in described if not one["is_internal"]}

    @override
    async def extents(self, topics: Collection[str]) -> Mapping[TopicPartition, Extent]:
        known = await self.topics()
        partitions = [ClientPartition(topic, number) for topic in topics for number in range(known.get(topic, 0))]
        if not partitions:
            return {}
        with self._explained(f"say which offsets {', '.join(sorted(topics))} holds"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                first = await self._consumer.beginning_offsets(partitions)
                end = await self._consumer.end_offsets(partitions)
        return {TopicPartition(*one): Extent(first[one], end[one]) for one in partitions}

    @override
    async def limits(self, topics: Collection[str]) -> Mapping[str, TopicLimits]:
        if not topics:
            return {}
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in sorted(topics)]
        with self._explained("describe the settings of its topics"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                answers = await self._admin.describe_configs(asked)
        found = {}
        for code, _, _, topic, entries in (resource for answer in answers for resource in answer.resources):
            limits = None if code else topic_limits({entry[0]: entry[1] for entry in entries})
            if limits is not None:
                found[topic] = limits
        return found

    @override
    async def may_write(self, topic: str) -> bool | None:
        # A request without records: the broker looks at the privilege first, then refuses what is not there.
        request = ProduceRequest(None, -1, 1000 * int(_ANSWER_SECONDS), [(topic, [(0, b"")])])
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await self._admin._send_request(request)  # noqa: SLF001 - aiokafka has no public way
        except (KafkaError, TimeoutError):
            return None
        code = answer.topics[0][1][0][1]
        if code == TopicAuthorizationFailedError.errno:
            return False
        return None if code == UnknownTopicOrPartitionError.errno else True

    @override
    async def read(self, spans: Sequence[Span], max_bytes: int, seconds: float) -> Sequence[Record]:
        reading = _Reading(self._consumer, spans, max_bytes)
        with self._explained("give records"), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await reading.run()
        return sorted(reading.records, key=lambda record: record.position)

    @override
    async def close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        servers = ", ".join(self._settings.bootstrap_servers)
        try:
            yield
        except TopicAuthorizationFailedError as error:
            raise NotAllowedError(f"kafka: {servers} does not {what}: grant this user read on the topics") from error
        except TimeoutError as error:
            raise OperatorError(
                f"kafka: {servers} did not {what} within {_ANSWER_SECONDS:g} s: look after the brokers"
            ) from error
        except KafkaError as error:
            raise OperatorError(f"kafka: {servers} does not {what}: {error!r}") from error


class _Reading:
    """One span of each partition at a time; the next one begins when a partition has passed the end of its own."""

    def __init__(self, consumer: AIOKafkaConsumer, spans: Sequence[Span], max_bytes: int) -> None:
        self.records: list[Record] = []
        self._consumer = consumer
        self._bytes_left = max_bytes
        self._waiting: defaultdict[TopicPartition, list[Span]] = defaultdict(list)
        for span in sorted(spans, reverse=True):
            self._waiting[span.partition].append(span)
        self._open: dict[ClientPartition, Span] = {}

    async def run(self) -> None:
        self._consumer.assign([ClientPartition(*partition) for partition in self._waiting])
        for partition in list(self._waiting):
            self._begin_next(ClientPartition(*partition))
        while self._open and self._bytes_left > 0:
            for partition, found in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
                self._take(partition, found)
            for partition, span in list(self._open.items()):
                # The position passes offsets that hold nothing, and with them the end of the span.
                if await self._consumer.position(partition) >= span.stop:
                    self._begin_next(partition)

    def _take(self, partition: ClientPartition, found: Sequence[ConsumerRecord]) -> None:
        span = self._open.get(partition)
        for one in found:
            if span is None or not span.start <= one.offset < span.stop or self._bytes_left <= 0:
                continue
            record = record_of(one)
            self.records.append(record)
            self._bytes_left -= record.size

    def _begin_next(self, partition: ClientPartition) -> None:
        waiting = self._waiting[TopicPartition(*partition)]
        if waiting:
            span = self._open[partition] = waiting.pop()
            self._consumer.seek(partition, span.start)
        else:
            self._open.pop(partition, None)
            self._consumer.pause(partition)
