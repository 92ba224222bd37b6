import asyncio

import pytest

from tests.builders import TOPIC, record
from worker.metrics import Metrics
from worker.ports import Commit
from worker.records import Record, TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger

pytestmark = pytest.mark.virtual_time
ZERO, ONE = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


def ledger(metrics: Metrics | None = None) -> Ledger:
    one = Ledger(metrics or Metrics(), Clock())
    one.begin(1, {ZERO: "watermark=7", ONE: ""})
    return one


def at(offset: int, *, epoch: int = 1, partition: int = 0, value: bytes = b"{}") -> Record:
    return record(value, offset=offset, epoch=epoch, partition=partition)


def admitted(account: Ledger, *offsets: int) -> list[Record]:
    records = [at(offset) for offset in offsets]
    for one in records:
        assert account.admit(one) is not None
    return records


async def test_only_the_resolved_prefix_may_be_committed() -> None:
    account = ledger()
    first, second, third = admitted(account, 10, 12, 17)  # the log has gaps
    account.resolve(third.position, Verdict.INDEXED)
    assert account.commits() == {}
    account.resolve(first.position, Verdict.INDEXED)
    assert account.commits() == {ZERO: Commit(11, "watermark=7")}
    account.resolve(second.position, Verdict.INDEXED)
    assert account.commits() == {ZERO: Commit(18, "watermark=7")}


async def test_what_is_committed_is_not_committed_again() -> None:
    account = ledger()
    (first,) = admitted(account, 0)
    account.resolve(first.position, Verdict.INDEXED)
    account.committed(account.commits())
    assert account.commits() == {}


async def test_the_watermark_of_a_commit_is_that_of_the_records_before_it() -> None:
    account = ledger()
    first, second = at(0), at(1)
    for one, version in ((first, 30), (second, 90)):
        progress = account.admit(one)
        assert progress is not None
        progress.saw_version(version)
    account.resolve(first.position, Verdict.INDEXED)
    assert account.commits()[ZERO] == Commit(1, "watermark=30")


async def test_every_record_is_counted_once_however_often_it_is_resolved() -> None:
    metrics = Metrics()
    account = ledger(metrics)
    (first,) = admitted(account, 0)
    account.resolve(first.position, Verdict.INDEXED)
    account.resolve(first.position, Verdict.SUPERSEDED)
    value = metrics.registry.get_sample_value
    assert value("syncline_records_total", {"verdict": "indexed", "reason": ""}) == 1
    assert value("syncline_records_total", {"verdict": "superseded", "reason": ""}) is None


@pytest.mark.parametrize("stray", [at(0, epoch=0), at(0, epoch=2), at(0, partition=7)])
async def test_records_of_another_assignment_are_dropped(stray: Record) -> None:
    account = ledger()
    assert account.admit(stray) is None
    account.resolve(stray.position, Verdict.INDEXED)
    assert (account.bytes_in_flight, account.open_records, account.commits()) == (0, 0, {})


async def test_a_verdict_of_the_assignment_before_opens_no_wall_of_this_one() -> None:
    account = ledger()
    (old,) = admitted(account, 0)
    account.begin(2, {ZERO: ""})
    account.admit(at(0, epoch=2))
    account.resolve(old.position, Verdict.INDEXED)
    assert account.commits() == {}
    assert account.open_records == 1


async def test_what_an_assignment_leaves_open_is_counted_as_lost() -> None:
    metrics = Metrics()
    account = ledger(metrics)
    first, *_ = admitted(account, 0, 1, 2)
    account.resolve(first.position, Verdict.INDEXED)
    account.end()
    lost = {"verdict": "skipped", "reason": "lost_assignment"}
    assert metrics.registry.get_sample_value("syncline_records_total", lost) == 2
    assert (account.bytes_in_flight, account.open_records) == (0, 0)


async def test_bytes_are_counted_from_fetch_to_verdict() -> None:
    metrics = Metrics()
    account = ledger(metrics)
    first, second = at(0, value=b"x" * 100), at(1, value=b"x" * 1000)
    account.admit(first)
    account.admit(second)
    both = account.bytes_in_flight
    account.resolve(second.position, Verdict.INDEXED)
    assert both > 1100
    assert account.bytes_in_flight == first.cost
    assert metrics.registry.get_sample_value("syncline_in_flight_bytes") == first.cost
    account.resolve(first.position, Verdict.SKIPPED)
    assert account.bytes_in_flight == 0


async def test_the_oldest_open_record_has_an_age() -> None:
    account = ledger()
    assert account.oldest_age == 0
    (first,) = admitted(account, 0)
    await asyncio.sleep(5)
    (second,) = admitted(account, 1)
    await asyncio.sleep(2)
    assert account.oldest_age == pytest.approx(7)
    account.resolve(first.position, Verdict.INDEXED)
    assert account.oldest_age == pytest.approx(2)
    account.resolve(second.position, Verdict.INDEXED)
    assert account.oldest_age == 0


async def test_when_a_record_was_resolved_last_is_told() -> None:
    def told() -> float:
        return metrics.registry.get_sample_value("syncline_last_progress_timestamp_seconds") or 0

    metrics = Metrics()
    account = ledger(metrics)
    (first,) = admitted(account, 0)
    assert told() == 0
    before = Clock().wall_ms() / 1000
    account.resolve(first.position, Verdict.INDEXED)
    assert before <= told() <= Clock().wall_ms() / 1000


async def test_work_that_goes_on_for_long_without_a_verdict_is_progress_too() -> None:
    """Else the alert SynclineNoProgress fires while the documents of a large truncated table are deleted."""

    def told() -> float:
        return metrics.registry.get_sample_value("syncline_last_progress_timestamp_seconds") or 0

    metrics = Metrics()
    account = ledger(metrics)
    admitted(account, 0)
    before = Clock().wall_ms() / 1000
    account.progressed()
    assert before <= told() <= Clock().wall_ms() / 1000


async def test_an_assignment_without_partitions_is_one() -> None:
    account = Ledger(Metrics(), Clock())
    seen = [account.has_assignment]
    account.begin(1, {})
    seen.append(account.has_assignment)
    account.end()
    seen.append(account.has_assignment)
    assert seen == [False, True, False]
