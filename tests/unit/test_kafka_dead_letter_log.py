"""A topic that cannot be read to its end, told from a reader that takes its time."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from worker.adapters import kafka_dead_letter_log
from worker.adapters.kafka_dead_letter_log import KafkaDeadLetterLog
from worker.errors import OperatorError
from worker.settings import KafkaSettings

pytestmark = pytest.mark.virtual_time
PARTITION = TopicPartition("dead", 0)


class Consumer:
    """One partition with two records, of which a fetch brings one, or nothing in its time."""

    def __init__(self, silent: Callable[[int], bool]) -> None:
        self._silent = silent
        self._at = self._fetches = 0

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    async def beginning_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {PARTITION: 0}

    async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {PARTITION: 2}

    def seek(self, _: object, offset: int) -> None:
        self._at = offset

    async def position(self, _: object) -> int:
        return self._at

    async def getmany(self, *_: object, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        assert max_records > 0
        self._fetches += 1
        if self._silent(self._fetches):
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        self._at += 1
        place = {"topic": "dead", "partition": 0, "offset": self._at - 1}
        return {PARTITION: [SimpleNamespace(**place, key=b"k", value=b"v", headers=(), timestamp=1)]}


def log_of(monkeypatch: pytest.MonkeyPatch, silent: Callable[[int], bool]) -> KafkaDeadLetterLog:
    monkeypatch.setattr(kafka_dead_letter_log, "AIOKafkaConsumer", lambda **_: Consumer(silent))
    return KafkaDeadLetterLog(KafkaSettings(), "dead")


async def test_who_works_on_a_record_for_long_is_no_silence_of_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(monkeypatch, lambda fetch: fetch == 2)
    read = []
    async for record in log.read():
        read.append(record.position.offset)
        await asyncio.sleep(100)
    assert read == [0, 1]


async def test_brokers_that_say_nothing_for_half_a_minute_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(monkeypatch, lambda fetch: fetch > 1)
    began, records = asyncio.get_running_loop().time(), aiter(log.read())
    assert (await anext(records)).position.offset == 0
    await asyncio.sleep(100)
    with pytest.raises(OperatorError, match="no record of partition 0 came for 30 s"):
        await asyncio.wait_for(anext(records), 1000)
    assert 130 <= asyncio.get_running_loop().time() - began < 132


async def test_brokers_that_go_away_while_letters_are_read_are_not_told_as_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def gone(*_: object) -> None:
        raise KafkaConnectionError("no broker")

    monkeypatch.setattr(Consumer, "end_offsets", gone)
    log = log_of(monkeypatch, lambda _: False)
    told = r"^kafka: localhost:9092 does not answer while dead letters are read \(KafkaConnectionError"
    with pytest.raises(OperatorError, match=told):
        await anext(aiter(log.read()))
    with pytest.raises(OperatorError, match=told):
        await log.record_at(0, 1)
