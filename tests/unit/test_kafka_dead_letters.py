"""The real producer before brokers that neither take nor refuse a record: its connections alone are replaced."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata

from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.errors import Halt, HaltReason, OperatorError
from worker.records import Position, Record
from worker.settings import KafkaSettings

pytestmark = pytest.mark.virtual_time
NO_ERROR, LEADER_NOT_AVAILABLE, COORDINATOR_LOADING, NOT_ENOUGH_REPLICAS = 0, 5, 14, 19
RECORD = Record(Position("articles", 0, 0), b"key", b"value")


class Brokers:
    """Answer with the error codes that they are told; None is no answer at all."""

    def __init__(self) -> None:
        self.to_producers: int | None = NO_ERROR
        self.to_records: int | None = NO_ERROR
        self.requests = 0
        self.closed = 0

    async def send(self, _node: int, request: object, **_: object) -> Any:  # noqa: ANN401
        self.requests += 1
        is_record = type(request).__name__.startswith("Produce")
        code = self.to_records if is_record else self.to_producers
        await (asyncio.Event().wait() if code is None else asyncio.sleep(0.01))
        if is_record:
            return SimpleNamespace(API_VERSION=4, topics=[("dead", [(0, code, -1, -1)])])
        return SimpleNamespace(error_code=code, producer_id=1, producer_epoch=0)

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    brokers = Brokers()

    async def nothing(*_: object, **__: object) -> bool:
        return True

    def no_update(_: object) -> asyncio.Future[bool]:
        updated = asyncio.get_running_loop().create_future()
        updated.set_result(True)
        return updated

    for name in ("bootstrap", "_wait_on_metadata", "_maybe_wait_metadata"):
        monkeypatch.setattr(AIOKafkaClient, name, nothing)
    monkeypatch.setattr(AIOKafkaClient, "force_metadata_update", no_update)
    monkeypatch.setattr(AIOKafkaClient, "get_random_node", lambda _: 0)
    monkeypatch.setattr(AIOKafkaClient, "send", lambda _, *given, **options: brokers.send(*given, **options))
    monkeypatch.setattr(AIOKafkaClient, "close", lambda _: brokers.close())
    monkeypatch.setattr(ClusterMetadata, "leader_for_partition", lambda *_: 0)
    for name in ("partitions_for_topic", "available_partitions_for_topic"):
        monkeypatch.setattr(ClusterMetadata, name, lambda *_: {0})
    return brokers


def dead_letters() -> KafkaDeadLetters:
    return KafkaDeadLetters(KafkaSettings(bootstrap_servers=["x:1"]), "dead")


@pytest.mark.parametrize("code", [LEADER_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, None])
async def test_a_record_that_is_not_acknowledged_in_time_halts_and_goes_out_no_more(
    brokers: Brokers, code: int | None
) -> None:
    letters = dead_letters()
    brokers.to_records = code
    async with asyncio.timeout(60):
        with pytest.raises(Halt, match="within 30 s no record was acknowledged") as halt:
            await letters.send(RECORD, {})
    assert halt.value.reason is HaltReason.DEAD_LETTERS_UNAVAILABLE
    sent = brokers.requests
    await asyncio.sleep(600)
    assert brokers.requests == sent
    assert brokers.closed == 1
    assert len(asyncio.all_tasks()) == 1, "nothing of the producer is left"
    brokers.to_records = NO_ERROR
    await letters.send(RECORD, {})
    await letters.close()


@pytest.mark.parametrize("code", [COORDINATOR_LOADING, None])
async def test_a_producer_that_is_not_admitted_in_time_halts(brokers: Brokers, code: int | None) -> None:
    letters = dead_letters()
    brokers.to_producers = code
    async with asyncio.timeout(60):
        with pytest.raises(Halt, match="within 30 s no producer was admitted") as halt:
            await letters.send(RECORD, {})
    assert halt.value.reason is HaltReason.DEAD_LETTERS_UNAVAILABLE
    brokers.to_producers = NO_ERROR
    await letters.send(RECORD, {})
    await letters.close()


async def test_at_start_it_is_said_to_the_operator(brokers: Brokers) -> None:
    brokers.to_producers = COORDINATOR_LOADING
    async with asyncio.timeout(60):
        with pytest.raises(OperatorError, match="no producer was admitted"):
            await dead_letters().start()


@pytest.mark.parametrize("code", [NOT_ENOUGH_REPLICAS, None])
async def test_a_record_that_is_given_up_does_not_outlive_the_close(brokers: Brokers, code: int | None) -> None:
    letters = dead_letters()
    await letters.start()
    brokers.to_records = code
    sending = asyncio.create_task(letters.send(RECORD, {}))
    await asyncio.sleep(10)
    sending.cancel()
    await asyncio.wait([sending])
    async with asyncio.timeout(6):
        await letters.close()
    sent = brokers.requests
    await asyncio.sleep(600)
    assert brokers.requests == sent
    assert len(asyncio.all_tasks()) == 1
