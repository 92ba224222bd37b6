import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.builders import TOPIC, change, record
from tests.fakes.source import FakeSource, Log
from worker.metrics import Metrics
from worker.ports import Commit
from worker.records import TopicPartition, Verdict
from worker.runtime.assignment import Assignment
from worker.runtime.clock import Clock
from worker.runtime.committer import Committer
from worker.runtime.draining import Draining
from worker.runtime.finishing import Finishing
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.monitor import Monitor
from worker.runtime.rejecting import Rejecting
from worker.runtime.retrying import Retrying
from worker.runtime.sources import SourceReaders
from worker.settings import DeliverySettings
from worker.stages.breaker import NEVER

pytestmark = pytest.mark.virtual_time
ZERO = TopicPartition(TOPIC, 0)


@dataclass
class Parts:
    assignment: Assignment
    ledger: Ledger
    intake: Intake
    commits: list[Mapping[TopicPartition, Commit]]

    def add(self, offset: int, row_id: int) -> None:
        """Admit a record of the first assignment, and let its change wait."""
        one = record(offset=offset, epoch=1)
        assert self.ledger.admit(one) is not None
        self.intake.add(change(offset + 1, row_id=row_id, of=one))


async def parts() -> Parts:
    metrics, settings, log = Metrics(), DeliverySettings(drain_timeout=7), Log({TOPIC: 1})
    ledger, intake, source = Ledger(metrics, Clock()), Intake(), FakeSource(log, [TOPIC])
    retrying = Retrying(settings, metrics)
    finishing = Finishing(ledger, intake, None, SourceReaders([]), metrics, Clock())
    rejecting = Rejecting(finishing, intake, ledger, retrying, NEVER)
    draining = Draining(intake, rejecting, retrying.halting, settings.drain_timeout)
    assignment = Assignment(ledger, intake, Committer(source, ledger, settings, metrics), draining, metrics)
    await source.start(assignment)
    await asyncio.sleep(0.001)  # the group is joined in a task of the source's own
    assert ledger.has_assignment
    all_parts = Parts(assignment, ledger, intake, [])
    source.on_commit.append(all_parts.commits.append)
    return all_parts


async def test_a_revocation_waits_for_rows_in_flight_and_commits_what_they_resolve() -> None:
    one = await parts()
    one.add(0, row_id=1)
    (unit,) = await one.intake.take(1)
    revoking = asyncio.ensure_future(one.assignment.revoked(frozenset({ZERO})))
    await asyncio.sleep(3)
    assert not revoking.done()
    one.ledger.resolve(unit.change.record.position, Verdict.INDEXED)
    one.intake.release(unit.change.key)
    await revoking
    assert [commits[ZERO].offset for commits in one.commits] == [1]
    assert not one.ledger.has_assignment


async def test_what_a_fetch_brings_during_a_revocation_is_not_started() -> None:
    one = await parts()
    one.add(0, row_id=1)
    (unit,) = await one.intake.take(1)
    revoking = asyncio.ensure_future(one.assignment.revoked(frozenset({ZERO})))
    await asyncio.sleep(1)
    one.add(1, row_id=2)
    taking = asyncio.ensure_future(one.intake.take(10))
    await asyncio.sleep(1)
    assert not taking.done()
    one.intake.release(unit.change.key)
    await revoking
    # Nor does it belong to the assignment that follows.
    await one.assignment.assigned(2, {ZERO: ""})
    await asyncio.sleep(1)
    assert not taking.done()
    one.intake.add(change(9, row_id=3))
    assert [taken.change.version for taken in await taking] == [9]


async def test_a_revocation_never_raises_and_keeps_its_deadline() -> None:
    one = await parts()
    one.add(0, row_id=1)
    await one.intake.take(1)
    started = asyncio.get_running_loop().time()
    await one.assignment.revoked(frozenset({ZERO}))
    assert asyncio.get_running_loop().time() - started == pytest.approx(7)
    assert one.commits == []


async def test_after_a_revocation_no_lag_is_shown_though_nothing_is_assigned_yet() -> None:
    one = await parts()
    metrics = one.assignment._metrics
    monitor = Monitor(FakeSource(Log({TOPIC: 1}), [TOPIC]), one.ledger, metrics, Clock())
    monitor.update()
    where = {"topic": TOPIC, "partition": "0"}
    assert metrics.registry.get_sample_value("syncline_lag_records", where) == 0
    assert metrics.registry.get_sample_value("syncline_assigned_partitions") == 1
    await one.assignment.revoked(frozenset({ZERO}))
    monitor.update()
    assert metrics.registry.get_sample_value("syncline_lag_records", where) is None
    assert metrics.registry.get_sample_value("syncline_lag_seconds", where) is None
    assert metrics.registry.get_sample_value("syncline_assigned_partitions") == 0


async def test_after_the_final_drain_no_assignment_starts_anything() -> None:
    one = await parts()
    await one.assignment.drain()
    await one.assignment.revoked(frozenset({ZERO}))
    await one.assignment.assigned(2, {ZERO: ""})
    one.intake.add(change(1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await one.intake.take(1)
