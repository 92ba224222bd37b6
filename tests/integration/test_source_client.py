"""What the source makes of its client's faults: the real client, with nobody at the other end of its connections."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition as ClientPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.commit import OffsetFetchResponse_v3
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from typing_extensions import override

from worker.adapters import kafka_offsets, kafka_source
from worker.adapters.kafka_source import KafkaSource, _Rebalances
from worker.errors import Halt, HaltReason
from worker.ports import AssignmentListener
from worker.records import TopicPartition
from worker.settings import KafkaSettings

FIRST, SECOND = ClientPartition("t", 0), ClientPartition("t", 1)
OURS = TopicPartition("t", 0)
END, COMMITTED, LOADING = 1000, 700, 14


async def _nothing() -> None:
    return


class Listening(AssignmentListener):
    def __init__(self) -> None:
        self.assignments: list[Mapping[TopicPartition, str]] = []

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        return

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        self.assignments.append(partitions)


class Client:
    """A source whose client has one partition of 1,000 records, and the group's commit at 700."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - settings of every kind
        self.source = KafkaSource(
            KafkaSettings.model_validate({"bootstrap_servers": ["127.0.0.1:1"], "group_id": "g", **settings}), ["t"]
        )
        self.consumer = self.source._consumer
        self.listener = Listening()
        self.rebalances = _Rebalances(self.source, self.listener)
        self.errors: list[int] = []
        """Codes that the coordinator tells for the whole group, one an answer."""
        self.silent = False
        self.consumer._coordinator = SimpleNamespace(check_errors=lambda: None, close=_nothing)
        self.consumer._client.cluster._partitions = {"t": {0: None}}
        self.consumer.beginning_offsets, self.consumer.end_offsets = self._first, self._end
        self.source._positions._admin._send_request = self._answer
        self.source._positions._first_topics = frozenset({"t"})
        self.listen()
        self.consumer._fetcher._fetch_task.cancel()

    def listen(self) -> None:
        """Fetch, as the client does by itself."""
        self.consumer._fetcher = Fetcher(
            self.consumer._client,
            self.consumer._subscription,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )

    def assign(self, *partitions: ClientPartition) -> None:
        self.consumer._subscription.subscribe({"t"}, None)
        self.consumer._subscription.assign_from_subscribed(list(partitions))

    async def take_up(self) -> None:
        await self.rebalances.on_partitions_assigned(frozenset({FIRST}))

    async def _answer(self, request: Any, _node: object = None) -> object:  # noqa: ANN401
        if type(request).__name__ == "FindCoordinatorRequest":
            return SimpleNamespace(error_code=0, coordinator_id=1)
        if self.errors:
            return OffsetFetchResponse_v3(0, [], self.errors.pop())
        asked = [(topic, [(one, COMMITTED, "", 0) for one in numbers]) for topic, numbers in request._partitions]
        return OffsetFetchResponse_v3(0, asked, 0)

    async def _first(self, partitions: Sequence[ClientPartition]) -> Mapping[ClientPartition, int]:
        await asyncio.sleep(60 if self.silent else 0)
        return dict.fromkeys(partitions, 0)

    async def _end(self, partitions: Sequence[ClientPartition]) -> Mapping[ClientPartition, int]:
        await asyncio.sleep(0)
        return dict.fromkeys(partitions, END)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client(start_from="latest", on_lost_offsets="latest")
    yield made
    await made.source.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_source, "_TAKE_UP_SECONDS", 0)
    monkeypatch.setattr(kafka_source, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(kafka_source, "_CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(kafka_source, "_LEFT_SECONDS", 0.2)
    monkeypatch.setattr(kafka_offsets, "_LOGS_SECONDS", 0.1)


async def test_a_coordinator_that_is_loading_is_no_group_without_commits(client: Client) -> None:
    client.assign(FIRST)
    client.errors = [LOADING, LOADING]
    await client.take_up()
    assert (dict(client.source.positions()), client.errors) == ({OURS: COMMITTED}, [])
    assert client.listener.assignments == [{OURS: ""}]


async def test_a_partition_that_the_metadata_does_not_show_yet_has_its_commit(client: Client) -> None:
    client.consumer._client.cluster._partitions = {}
    client.assign(FIRST)
    await client.take_up()
    assert dict(client.source.positions()) == {OURS: COMMITTED}


async def test_where_no_broker_tells_what_a_partition_holds_its_commit_is_believed(client: Client) -> None:
    client.assign(FIRST)
    client.silent = True
    await client.take_up()
    assert dict(client.source.positions()) == {OURS: COMMITTED}


async def test_topics_that_appear_while_brokers_are_asked_bring_another_assignment(client: Client) -> None:
    subscription = client.consumer._subscription
    subscription.subscribe_pattern(re.compile("t.*"), listener=client.rebalances)
    subscription.subscribe_from_pattern({"t"})
    subscription.assign_from_subscribed([FIRST])
    asyncio.get_running_loop().call_soon(lambda: subscription.subscribe_from_pattern({"t", "t2"}))
    await client.take_up()
    assert (client.source._fault, client.listener.assignments) == (None, [])


async def test_an_offset_lost_in_a_former_assignment_does_not_move_the_present_one(client: Client) -> None:
    client.assign(FIRST)
    client.consumer.seek(FIRST, 5)
    current = True
    looking = asyncio.create_task(client.source._positions.recover_lost({OURS: 5}, lambda: current))
    await asyncio.sleep(0)
    current = False
    client.assign(FIRST)
    client.consumer.seek(FIRST, COMMITTED)
    await looking
    assert dict(client.source.positions()) == {OURS: COMMITTED}


async def test_a_log_that_is_shorter_than_what_was_read_is_taken_up_anew(client: Client) -> None:
    """Offsets come again, so what is in hand must be told from it: by another assignment, after leaving the group."""
    client.assign(FIRST)
    with pytest.raises(Halt, match=r"the log of t\[0\] ends at 1000, though it was read up to 2000") as halt:
        await client.source._positions.recover_lost({OURS: 2 * END}, lambda: True)
    assert halt.value.reason is HaltReason.OFFSETS_LOST


def fetched(client: Client, partition: ClientPartition, *, broken: bool = False) -> None:
    """Put a batch of ten records into the client's buffer, as if it had come from a broker."""
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=10_000,
    )
    for number in range(10):
        batch.append(number, timestamp=1, key=b"k", value=b"v", headers=[])
    content = bytearray(batch.build())
    if broken:
        content[-2] ^= 0xFF
    records = MemoryRecords(bytes(content))
    client.consumer._fetcher._records[partition] = FetchResult(
        partition,
        assignment=client.consumer._subscription.subscription.assignment,
        backoff=0.1,
        partition_records=PartitionRecords(
            partition,
            records,
            aborted_transactions=[],
            fetch_offset=0,
            key_deserializer=None,
            value_deserializer=None,
            check_crcs=True,
            isolation_level=1,
        ),
    )


@pytest.mark.parametrize(("stable", "highest", "end"), [(3, 3, END), (3, 5, 3), (None, None, END)])
async def test_only_an_open_transaction_holds_the_end_back(
    client: Client, stable: int | None, highest: int | None, end: int
) -> None:
    """What the last answer gave whole is no bound: the log goes on behind it while nothing is fetched."""
    client.assign(FIRST)
    await client.take_up()
    state = client.consumer._subscription.subscription.assignment.state_value(FIRST)
    state.lso, state.highwater, state.timestamp = stable, highest, int(time.time() * 1000)
    assert await client.source.ends() == {OURS: end}


async def test_a_broken_batch_takes_no_records_of_other_partitions_along(client: Client) -> None:
    client.assign(FIRST, SECOND)
    for partition in (FIRST, SECOND):
        client.consumer.seek(partition, 0)
        fetched(client, partition, broken=partition == SECOND)
    assert await client.source.fetch() == []
    assert client.source.positions()[OURS] == 0, "the records are lost: what is committed has passed them"
    fetched(client, FIRST)
    again = await client.source.fetch()
    assert [one.position.offset for one in again] == list(range(10))


async def refuse(*_: object, **__: object) -> object:
    raise NodeNotReadyError


@pytest.mark.parametrize("hangs", [False, True], ids=["requests fail", "the group is being shared out"])
async def test_after_the_close_nothing_of_the_client_goes_on(
    client: Client, caplog: pytest.LogCaptureFixture, *, hangs: bool
) -> None:
    client.consumer._client.send = refuse
    client.consumer._client.cluster.leader_for_partition = lambda _: 0
    client.listen()
    closing = asyncio.Event()
    client.consumer._coordinator = SimpleNamespace(close=closing.wait if hangs else _nothing)
    client.assign(FIRST)
    client.consumer.seek(FIRST, 5)
    for _ in range(100):
        await asyncio.sleep(0)
    assert client.consumer._fetcher._pending_tasks, "no request is out"
    with caplog.at_level(logging.WARNING):
        await client.source.close()
    fetcher = client.consumer._fetcher
    assert fetcher._fetch_task.done()
    assert all(one.done() or one.cancelling() for one in fetcher._pending_tasks)
    assert ("did not close in time" in caplog.text) is hangs
