"""What every reader of the dead-letter topic promises, on the fake and on a real broker."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.fakes.dead_letters import FakeDeadLetters
from worker.adapters.kafka_dead_letter_log import KafkaDeadLetterLog
from worker.errors import OperatorError
from worker.ports import DeadLetterLog
from worker.records import Position, Record
from worker.settings import KafkaSettings


class Bench(NamedTuple):
    log: DeadLetterLog
    put: Callable[[bytes | None, bytes | None, int], Awaitable[None]]
    """Appends key and value, written at a time in milliseconds."""


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeDeadLetters()

        async def in_memory(key: bytes | None, value: bytes | None, at_ms: int) -> None:
            fake.now_ms = at_ms
            await fake.send(Record(_NOWHERE, key, value, (("h", b"1"),)), {})

        yield Bench(fake, in_memory)
        return
    bootstrap: str = request.getfixturevalue("servers").kafka
    topic = f"dead-{secrets.token_hex(6)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    # A broker may know a new topic a moment later than the controller.
    async with asyncio.timeout(30):
        while topic not in await admin.list_topics():  # noqa: ASYNC110 - a broker has no event to wait for
            await asyncio.sleep(0.05)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    log = KafkaDeadLetterLog(KafkaSettings(bootstrap_servers=[bootstrap]), topic)
    await log.start()

    async def on_broker(key: bytes | None, value: bytes | None, at_ms: int) -> None:
        await producer.send_and_wait(topic, value, key=key, headers=[("h", b"1")], timestamp_ms=at_ms)

    yield Bench(log, on_broker)
    await log.close()
    await producer.stop()
    await admin.delete_topics([topic])
    await admin.close()


_NOWHERE = Position("", 0, 0)
# Near the present: a broker's retention deletes records by their time.
_NOW = time.time_ns() // 1_000_000 - 60_000


async def values(log: DeadLetterLog, since_ms: int | None = None) -> list[bytes | None]:
    return [record.value async for record in log.read(since_ms)]


async def test_an_empty_topic_has_nothing(bench: Bench) -> None:
    assert await values(bench.log) == []


async def test_everything_is_read_again_each_time_with_key_headers_place_and_time(bench: Bench) -> None:
    await bench.put(b"k", b"a", _NOW)
    await bench.put(None, b"b", _NOW + 1)
    for _ in range(2):
        first, second = [record async for record in bench.log.read()]
        assert (first.key, first.value, first.headers, first.timestamp_ms) == (b"k", b"a", (("h", b"1"),), _NOW)
        assert (second.key, second.position.partition, second.position.offset) == (None, 0, 1)


async def test_reading_ends_where_the_topic_ended_when_it_began(bench: Bench) -> None:
    for number in range(5):
        await bench.put(b"k", b"%d" % number, _NOW)
    seen = []
    async for record in bench.log.read():
        seen.append(record.value)
        await bench.put(b"k", b"more", _NOW)
    assert seen == [b"0", b"1", b"2", b"3", b"4"]


async def test_more_than_one_fetch_of_them_comes_in_order(bench: Bench) -> None:
    for number in range(1200):
        await bench.put(b"k", b"%d" % number, _NOW)
    assert await values(bench.log) == [b"%d" % number for number in range(1200)]


async def test_reading_may_start_at_a_time(bench: Bench) -> None:
    for number, at_ms in enumerate((_NOW + 1_000, _NOW + 2_000, _NOW + 3_000)):
        await bench.put(b"k", b"%d" % number, at_ms)
    assert await values(bench.log, _NOW + 2_000) == [b"1", b"2"]
    assert await values(bench.log, _NOW + 2_500) == [b"2"]
    assert await values(bench.log, _NOW + 4_000) == []


async def test_one_record_can_be_had_by_its_place(bench: Bench) -> None:
    for number in range(3):
        await bench.put(b"k", b"%d" % number, _NOW)
    found = await bench.log.record_at(0, 1)
    assert found is not None
    assert found.value == b"1"
    assert await bench.log.record_at(0, 3) is None
    assert await bench.log.record_at(9, 0) is None
    assert await values(bench.log) == [b"0", b"1", b"2"]


async def test_a_topic_that_does_not_exist_is_said(request: pytest.FixtureRequest) -> None:
    bootstrap = request.getfixturevalue("servers").kafka
    log = KafkaDeadLetterLog(KafkaSettings(bootstrap_servers=[bootstrap]), "no-such-topic")
    with pytest.raises(OperatorError, match=r"kafka\.dead_letter_topic: 'no-such-topic' does not exist"):
        await log.start()
    await log.close()


async def test_a_broker_that_does_not_answer_is_said_at_start() -> None:
    log = KafkaDeadLetterLog(KafkaSettings(bootstrap_servers=["127.0.0.1:1"]), "topic")
    with pytest.raises(OperatorError, match=r"kafka\.bootstrap_servers"):
        await log.start()
    await log.close()
