"""One topic for the suite of sources, in memory or on a broker, and a listener that writes down what it is told."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as ClientPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from typing_extensions import override

from tests.fakes.source import FakeSource, Log
from tests.simulation.broker import Broker, Client
from worker.adapters.kafka_source import KafkaSource
from worker.ports import AssignmentListener, Commit, Source
from worker.records import Record, TopicPartition
from worker.settings import KafkaSettings
from worker.stages.start_offsets import OffsetPolicy

PARTITIONS = 4
PATIENCE = 30.0


class Listening(AssignmentListener):
    """Writes down what it is told, as `("revoked", partitions)` and `("assigned", partitions)`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, frozenset[TopicPartition]]] = []
        self.epoch = 0
        self.metadata: Mapping[TopicPartition, str] = {}
        self.while_revoking: Callable[[], Any] | None = None
        self._something = asyncio.Event()

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if (act := self.while_revoking) is not None:
            self.while_revoking = None
            await act()
        self.told.append(("revoked", partitions))

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        self.told.append(("assigned", frozenset(partitions)))
        self.epoch = epoch
        self.metadata = partitions
        self._something.set()

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        return frozenset(self.metadata)

    async def until(self, count: int) -> None:
        """Wait for an assignment of so many partitions."""
        async with asyncio.timeout(PATIENCE):
            while not self.told or self.told[-1][0] != "assigned" or len(self.partitions) != count:
                self._something.clear()
                await self._something.wait()


class Bench(Protocol):
    """One topic, and what a test does to it behind the source's back."""

    topic: str

    def source(
        self, *, topic: str = "", on_lost: OffsetPolicy = OffsetPolicy.FAIL, start: OffsetPolicy = OffsetPolicy.EARLIEST
    ) -> Source: ...

    async def produce(self, partition: int, values: Sequence[bytes | None]) -> None: ...

    async def produce_one(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None: ...

    async def delete_before(self, partition: int, offset: int) -> None: ...

    async def commit(self, partition: int, offset: int) -> None:
        """Commit as another tool would, while nobody is in the group."""

    async def add_partition(self) -> int:
        """Add one partition to the topic and return its number."""


class FakeBench(Bench):
    def __init__(self) -> None:
        self.topic = "articles"
        self._log = Log({self.topic: PARTITIONS})

    @override
    def source(
        self, *, topic: str = "", on_lost: OffsetPolicy = OffsetPolicy.FAIL, start: OffsetPolicy = OffsetPolicy.EARLIEST
    ) -> Source:
        return FakeSource(self._log, [topic or self.topic], on_lost_offsets=on_lost, start_from=start)

    @override
    async def produce(self, partition: int, values: Sequence[bytes | None]) -> None:
        for value in values:
            self._log.append(TopicPartition(self.topic, partition), None, value)

    @override
    async def produce_one(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        self._log.append(TopicPartition(self.topic, 0), key, value, headers)

    @override
    async def delete_before(self, partition: int, offset: int) -> None:
        self._log.delete_before(TopicPartition(self.topic, partition), offset)

    @override
    async def commit(self, partition: int, offset: int) -> None:
        self._log.commits["syncline", TopicPartition(self.topic, partition)] = Commit(offset, "")

    @override
    async def add_partition(self) -> int:
        return self._log.add_partition(self.topic).partition


class SimulatedBench(Bench):
    def __init__(self) -> None:
        self.topic = "articles"
        self._broker = Broker(self.topic, PARTITIONS)

    @override
    def source(
        self, *, topic: str = "", on_lost: OffsetPolicy = OffsetPolicy.FAIL, start: OffsetPolicy = OffsetPolicy.EARLIEST
    ) -> Source:
        return Client(self._broker, topic or self.topic, on_lost_offsets=on_lost, start_from=start)

    @override
    async def produce(self, partition: int, values: Sequence[bytes | None]) -> None:
        for value in values:
            self._broker.append(TopicPartition(self.topic, partition), None, value)

    @override
    async def produce_one(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        self._broker.append(TopicPartition(self.topic, 0), key, value, headers)

    @override
    async def delete_before(self, partition: int, offset: int) -> None:
        self._broker.delete_before(TopicPartition(self.topic, partition), offset)

    @override
    async def commit(self, partition: int, offset: int) -> None:
        self._broker.commits[TopicPartition(self.topic, partition)] = Commit(offset, "")

    @override
    async def add_partition(self) -> int:
        return self._broker.add_partition().partition


class KafkaBench(Bench):
    def __init__(self, bootstrap: str) -> None:
        self.topic = f"source-{secrets.token_hex(6)}"
        self._bootstrap = bootstrap
        self._group = f"group-{secrets.token_hex(6)}"
        self.admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        self._more_topics: list[str] = []

    async def __aenter__(self) -> Self:
        await self.producer.start()
        await self.admin.start()
        await self.admin.create_topics([NewTopic(self.topic, num_partitions=PARTITIONS, replication_factor=1)])
        # A broker may know a new topic a moment later than the controller.
        async with asyncio.timeout(PATIENCE):
            while self.topic not in await self.admin.list_topics():  # noqa: ASYNC110 - a broker has no event to wait for
                await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admin.delete_topics([self.topic, *self._more_topics])
        await self.producer.stop()
        await self.admin.close()

    @override
    def source(
        self, *, topic: str = "", on_lost: OffsetPolicy = OffsetPolicy.FAIL, start: OffsetPolicy = OffsetPolicy.EARLIEST
    ) -> Source:
        return KafkaSource(self._settings(on_lost_offsets=on_lost, start_from=start), [topic or self.topic])

    def source_of_pattern(self, pattern: str, *, start: OffsetPolicy) -> Source:
        return KafkaSource(self._settings(start_from=start), [], pattern)

    def _settings(self, **chosen: OffsetPolicy) -> KafkaSettings:
        return KafkaSettings(
            bootstrap_servers=[self._bootstrap],
            group_id=self._group,
            session_timeout=10,
            rebalance_timeout=10,
            metadata_max_age=1,
            **chosen,
        )

    @override
    async def produce(self, partition: int, values: Sequence[bytes | None]) -> None:
        for value in values:
            await self.producer.send_and_wait(self.topic, value, partition=partition)

    @override
    async def produce_one(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        await self.producer.send_and_wait(self.topic, value, key=key, partition=0, headers=list(headers))

    @override
    async def delete_before(self, partition: int, offset: int) -> None:
        await self.admin.delete_records({ClientPartition(self.topic, partition): RecordsToDelete(offset)})

    @override
    async def commit(self, partition: int, offset: int) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=self._group, enable_auto_commit=False)
        await consumer.start()
        try:
            theirs = ClientPartition(self.topic, partition)
            consumer.assign([theirs])
            await consumer.commit({theirs: offset})
        finally:
            await consumer.stop()

    @override
    async def add_partition(self) -> int:
        await self.admin.create_partitions({self.topic: NewPartitions(PARTITIONS + 1)})
        async with asyncio.timeout(PATIENCE):
            while len((await self.admin.describe_topics([self.topic]))[0]["partitions"]) == PARTITIONS:  # noqa: ASYNC110 - a broker has no event to wait for
                await asyncio.sleep(0.05)
        await self.producer.client.force_metadata_update()
        return PARTITIONS

    async def add_topic(self, suffix: str, values: Sequence[bytes]) -> str:
        """Add a topic of one partition, with records."""
        topic = self.topic + suffix
        self._more_topics.append(topic)
        await self.admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        for value in values:
            await self.producer.send_and_wait(topic, value, partition=0)
        return topic

    async def produce_in_transaction(self, partition: int, values: Sequence[bytes], *, commit: bool) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, transactional_id=secrets.token_hex(6))
        await producer.start()
        try:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(self.topic, value, partition=partition)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await producer.stop()


@asynccontextmanager
async def bench_of(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The one that a fixture's parameter names: fake, simulated or real."""
    if request.param == "fake":
        yield FakeBench()
    elif request.param == "simulated":
        yield SimulatedBench()
    else:
        async with KafkaBench(request.getfixturevalue("servers").kafka) as real:
            yield real


async def fetched(source: Source, count: int) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(PATIENCE):
        while len(records) < count:
            records += await source.fetch()
    return records
