"""What every reader of topics promises, on the fake and on a real broker."""

import secrets
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.contract.source_bench import PARTITIONS, Bench, FakeBench, KafkaBench, bench_of
from tests.fakes.topic_reader import FakeTopicReader
from worker.adapters.kafka_samples import KafkaTopicReader
from worker.errors import OperatorError
from worker.ports import TopicReader
from worker.records import TopicPartition
from worker.settings import KafkaSettings
from worker.stages.sampling import Span

PLENTY = 1 << 20
SECONDS = 20.0


@pytest.fixture(params=["fake", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


@pytest.fixture
async def reader(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[TopicReader]:
    if isinstance(bench, FakeBench):
        yield FakeTopicReader(bench._log)
        return
    real = KafkaTopicReader(KafkaSettings(bootstrap_servers=[request.getfixturevalue("servers").kafka]))
    await real.start()
    yield real
    await real.close()


def span(bench: Bench, partition: int, start: int, stop: int) -> Span:
    return Span(TopicPartition(bench.topic, partition), start, stop)


async def values(reader: TopicReader, *spans: Span, max_bytes: int = PLENTY) -> list[bytes | None]:
    return [record.value for record in await reader.read(spans, max_bytes, SECONDS)]


def numbers(first: int, stop: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(first, stop)]


async def test_topics_come_with_their_partitions(bench: Bench, reader: TopicReader) -> None:
    topics = await reader.topics()
    assert topics[bench.topic] == PARTITIONS
    assert "nowhere" not in topics


async def test_extents_say_what_each_partition_holds(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(1, numbers(0, 3))
    extents = await reader.extents([bench.topic])
    held = {partition.partition: (extent.first, extent.end) for partition, extent in extents.items()}
    assert held == {0: (0, 0), 1: (0, 3), 2: (0, 0), 3: (0, 0)}


async def test_limits_say_what_a_topic_keeps_and_takes(bench: Bench, reader: TopicReader) -> None:
    limits = await reader.limits([bench.topic])
    assert limits[bench.topic].retention_s == 7 * 86_400
    assert limits[bench.topic].max_bytes >= 1_000_000
    assert not limits[bench.topic].compacted
    assert await reader.limits([]) == {}


async def test_whether_a_topic_may_be_written_to_is_tried_without_writing(bench: Bench, reader: TopicReader) -> None:
    assert await reader.may_write(bench.topic)
    extents = await reader.extents([bench.topic])
    assert {extent.end for extent in extents.values()} == {0}
    assert await reader.may_write("nowhere") is None
    assert "nowhere" not in await reader.topics()


async def test_only_the_spans_are_read_in_order_and_from_several_partitions(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(0, numbers(0, 20))
    await bench.produce(2, numbers(100, 105))
    found = await reader.read([span(bench, 0, 17, 20), span(bench, 2, 1, 3), span(bench, 0, 2, 4)], PLENTY, SECONDS)
    assert [(one.position.partition, one.position.offset, one.value) for one in found] == [
        (0, 2, b"2"),
        (0, 3, b"3"),
        (0, 17, b"17"),
        (0, 18, b"18"),
        (0, 19, b"19"),
        (2, 1, b"101"),
        (2, 2, b"102"),
    ]


async def test_a_reader_may_be_asked_again(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(0, numbers(0, 5))
    assert await values(reader, span(bench, 0, 3, 5)) == numbers(3, 5)
    assert await values(reader, span(bench, 0, 0, 2)) == numbers(0, 2)
    assert await values(reader) == []


async def test_a_record_comes_whole(bench: Bench, reader: TopicReader) -> None:
    headers = (("trace", b"\x01"), ("null", None))
    await bench.produce_one(b"key", None, headers)
    await bench.produce_one(None, b"value", ())
    first, second = await reader.read([span(bench, 0, 0, 2)], PLENTY, SECONDS)
    assert (first.key, first.value, first.headers) == (b"key", None, headers)
    assert (second.key, second.value) == (None, b"value")


async def test_bytes_are_bounded(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(0, [b"x" * 100] * 10)
    assert len(await values(reader, span(bench, 0, 0, 10), max_bytes=250)) == 3


async def test_an_end_that_moves_on_is_not_waited_for(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(0, numbers(0, 3))
    spans = [span(bench, 0, 0, 3)]
    await bench.produce(0, numbers(3, 6))
    assert [record.value for record in await reader.read(spans, PLENTY, SECONDS)] == numbers(0, 3)


async def test_time_is_bounded_and_what_is_there_comes(bench: Bench, reader: TopicReader) -> None:
    await bench.produce(0, numbers(0, 3))
    assert [one.value for one in await reader.read([span(bench, 0, 0, 9)], PLENTY, 4)] == numbers(0, 3)


async def test_what_lies_between_the_spans_is_not_fetched(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic may hold millions of records."""
    bootstrap = request.getfixturevalue("servers").kafka
    async with KafkaBench(bootstrap) as bench:
        await bench.produce(0, numbers(0, 20))
        reader = KafkaTopicReader(KafkaSettings(bootstrap_servers=[bootstrap]))
        await reader.start()
        sought: list[int] = []
        seek = reader._consumer.seek

        def listening(partition: object, offset: int) -> None:
            sought.append(offset)
            seek(partition, offset)

        monkeypatch.setattr(reader._consumer, "seek", listening)
        await values(reader, span(bench, 0, 2, 4), span(bench, 0, 17, 20))
        assert sought == [2, 17]
        await reader.close()


async def test_no_group_is_left_behind(request: pytest.FixtureRequest) -> None:
    bootstrap = request.getfixturevalue("servers").kafka
    group = f"group-{secrets.token_hex(4)}"
    async with KafkaBench(bootstrap) as bench:
        await bench.produce(0, numbers(0, 3))
        reader = KafkaTopicReader(KafkaSettings(bootstrap_servers=[bootstrap], group_id=group))
        await reader.start()
        assert await values(reader, span(bench, 0, 0, 3)) == numbers(0, 3)
        await reader.close()
    assert await trace_of(bootstrap, group) == (False, 0)


async def trace_of(bootstrap: str, group: str) -> tuple[bool, int]:
    """Whether the broker knows the group, and how many offsets it has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        known = group in {name for name, *_ in await admin.list_consumer_groups()}
        return known, len(await admin.list_consumer_group_offsets(group))
    except GroupCoordinatorNotAvailableError:  # a broker that has never had a group
        return False, 0
    finally:
        await admin.close()


async def test_a_broker_that_does_not_answer_is_said_at_start() -> None:
    reader = KafkaTopicReader(KafkaSettings(bootstrap_servers=["127.0.0.1:1"]))
    with pytest.raises(OperatorError, match=r"kafka\.bootstrap_servers"):
        await reader.start()
    await reader.close()
