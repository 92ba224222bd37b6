"""The real consumer's source where the brokers do not tell, in the middle of a rebalance, where to go on."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition as ClientPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnsupportedSaslMechanismError,
)
from typing_extensions import override

from worker.adapters import kafka_source
from worker.adapters.kafka_source import KafkaSource, _Rebalances
from worker.errors import Halt, HaltReason, OperatorError
from worker.ports import AssignmentListener
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.settings import KafkaSettings

pytestmark = pytest.mark.virtual_time


class Nobody(AssignmentListener):
    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        return

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        pytest.fail("nothing was told")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KafkaConnectionError("no broker"), "kafka: localhost:9092 does not answer in a rebalance (KafkaConn"),
        (KafkaTimeoutError(), "kafka: localhost:9092 does not answer in a rebalance (KafkaTimeoutError"),
        (RequestTimedOutError(), "kafka: localhost:9092 does not answer in a rebalance (RequestTimedOutError"),
        (UnknownError(), "kafka: localhost:9092 answers with an error in a rebalance: UnknownError"),
        (TopicAuthorizationFailedError("articles"), "kafka: localhost:9092 does not allow this ("),
    ],
)
async def test_brokers_that_do_not_tell_where_to_go_on_halt_and_do_not_end_the_worker(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError, told: str
) -> None:
    source = KafkaSource(KafkaSettings(group_id="syncline"), ["articles"])

    async def take_up(_partitions: Sequence[TopicPartition]) -> None:
        raise error

    monkeypatch.setattr(source._positions, "take_up", take_up)
    monkeypatch.setattr(kafka_source, "time", SimpleNamespace(monotonic=Clock().monotonic))
    await _Rebalances(source, Nobody()).on_partitions_assigned(frozenset({ClientPartition("articles", 0)}))
    with pytest.raises(Halt, match="kafka") as halt:
        await source.fetch()
    assert halt.value.reason is HaltReason.MISCONFIGURED
    assert str(halt.value).startswith(told)
    await source.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KafkaConnectionError("no broker"), "kafka.bootstrap_servers: cannot connect to localhost:9092: check host"),
        (KafkaTimeoutError(), "kafka: localhost:9092 does not answer at the first contact"),
        (UnknownError(), "kafka: localhost:9092 answers with an error at the first contact: UnknownError"),
        (UnsupportedSaslMechanismError("PLAIN"), "kafka.security: localhost:9092 refuses the login (["),
    ],
)
async def test_brokers_that_fail_at_the_start_are_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError, told: str
) -> None:
    source = KafkaSource(KafkaSettings(), ["articles"])

    async def start() -> None:
        raise error

    monkeypatch.setattr(source._consumer, "start", start)
    with pytest.raises(OperatorError) as refusal:
        await source.start(Nobody())
    assert str(refusal.value).startswith(told)
    await source.close()
