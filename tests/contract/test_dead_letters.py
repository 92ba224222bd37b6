"""What every dead-letter topic promises, on the fake and on a real broker."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, UnknownError

from tests.fakes.dead_letters import FakeDeadLetters
from tests.servers.start import Servers
from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.errors import Halt, HaltReason, OperatorError
from worker.ports import DeadLetters, LetterTooLargeError
from worker.records import Position, Record
from worker.settings import KafkaSettings

Letter = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


class Bench(NamedTuple):
    dead_letters: DeadLetters
    read: Callable[[int], Awaitable[Sequence[Letter]]]
    """Returns the first so many records of the topic."""


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "fake":
        fake = FakeDeadLetters()

        async def in_memory(_count: int) -> Sequence[Letter]:
            return [(record.key, record.value, record.headers) for record in fake.sent]

        yield Bench(fake, in_memory)
        return
    async with real_bench(request.getfixturevalue("servers").kafka) as real:
        yield real


@asynccontextmanager
async def real_bench(bootstrap: str) -> AsyncIterator[Bench]:
    topic = f"dead-{secrets.token_hex(6)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    dead_letters = KafkaDeadLetters(KafkaSettings(bootstrap_servers=[bootstrap]), topic)
    await dead_letters.start()

    async def on_broker(count: int) -> Sequence[Letter]:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
        await consumer.start()
        try:
            async with asyncio.timeout(30):
                found = [await consumer.getone() for _ in range(count)]
        finally:
            await consumer.stop()
        return [(one.key, one.value, tuple(one.headers)) for one in found]

    yield Bench(dead_letters, on_broker)
    await dead_letters.close()
    await admin.delete_topics([topic])
    await admin.close()


def record(key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...] = ()) -> Record:
    return Record(Position("articles", 3, 17), key, value, headers)


async def test_the_record_is_untouched_and_the_reasons_stand_behind_its_own_headers(bench: Bench) -> None:
    await bench.dead_letters.send(
        record(b"\x00key", b"\xff not json", (("trace", b"\x01"), ("null", None))),
        {"syncline-reason": "invalid_json", "syncline-message": "Größe"},
    )
    added = (
        ("trace", b"\x01"),
        ("null", None),
        ("syncline-reason", b"invalid_json"),
        ("syncline-message", "Größe".encode()),
    )
    assert await bench.read(1) == [(b"\x00key", b"\xff not json", added)]


async def test_null_and_empty_stay_apart(bench: Bench) -> None:
    await bench.dead_letters.send(record(None, b""), {})
    await bench.dead_letters.send(record(b"", None), {})
    assert [(key, value) for key, value, _ in await bench.read(2)] == [(None, b""), (b"", None)]


async def test_what_was_sent_can_be_read_at_once_and_in_order(bench: Bench) -> None:
    for number in range(20):
        await bench.dead_letters.send(record(b"k", b"%d" % number), {})
    assert [value for _, value, _ in await bench.read(20)] == [b"%d" % number for number in range(20)]


async def test_what_is_too_large_for_the_topic_is_said_and_the_next_goes_on(bench: Bench) -> None:
    with pytest.raises(LetterTooLargeError):
        await bench.dead_letters.send(record(b"k", b"x" * (2 << 20)), {})
    await bench.dead_letters.send(record(b"k", b"small"), {})
    assert [value for _, value, _ in await bench.read(1)] == [b"small"]


async def test_an_acknowledgement_that_is_lost_does_not_store_a_record_twice(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real_bench(servers.kafka) as bench:
        assert isinstance(bench.dead_letters, KafkaDeadLetters)
        producer = bench.dead_letters._producer
        assert producer is not None
        send = producer.client.send
        lost: list[object] = []

        async def lossy(node_id: int, request: object, **options: object) -> object:
            answer = await send(node_id, request, **options)
            if "Produce" in type(request).__name__ and not lost:
                lost.append(answer)
                raise KafkaConnectionError("the connection was cut before the answer came")
            return answer

        monkeypatch.setattr(producer.client, "send", lossy)
        await bench.dead_letters.send(record(b"k", b"first"), {})
        await bench.dead_letters.send(record(b"k", b"second"), {})
        assert lost
        assert [value for _, value, _ in await bench.read(2)] == [b"first", b"second"]


async def test_after_a_failure_the_next_record_is_stored(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker would refuse everything after the gap that a failed batch leaves in the producer's sequence."""
    async with real_bench(servers.kafka) as bench:
        assert isinstance(bench.dead_letters, KafkaDeadLetters)
        producer = bench.dead_letters._producer
        assert producer is not None

        async def failing(*_: object, **__: object) -> object:
            raise UnknownError("something is wrong")

        monkeypatch.setattr(producer, "send_and_wait", failing)
        with pytest.raises(Halt) as halt:
            await bench.dead_letters.send(record(b"k", b"first"), {})
        assert halt.value.reason is HaltReason.DEAD_LETTERS_UNAVAILABLE
        await bench.dead_letters.send(record(b"k", b"second"), {})
        assert [value for _, value, _ in await bench.read(1)] == [b"second"]


async def test_calls_at_a_time_are_all_stored_once(bench: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(bench.dead_letters.send(record(b"k", b"%d" % number), {}))
    assert {value for _, value, _ in await bench.read(20)} == {b"%d" % number for number in range(20)}


async def test_a_broker_that_does_not_answer_is_said_at_start() -> None:
    dead_letters = KafkaDeadLetters(KafkaSettings(bootstrap_servers=["127.0.0.1:1"]), "topic")
    with pytest.raises(OperatorError, match=r"kafka\.bootstrap_servers"):
        await dead_letters.start()
    await dead_letters.close()
