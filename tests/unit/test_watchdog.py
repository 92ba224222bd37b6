import asyncio
from collections.abc import Mapping

import pytest
from typing_extensions import override

from tests.builders import TOPIC, record
from tests.fakes.source import FakeSource, Log
from worker.errors import RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import AssignmentListener
from worker.records import TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger
from worker.runtime.watchdog import Watchdog

pytestmark = pytest.mark.virtual_time
ZERO = TopicPartition(TOPIC, 0)


class _Joining(AssignmentListener):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        self._ledger.end()

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        self._ledger.begin(epoch, partitions)


class Scene:
    """A source with some records before it, of which nobody fetches any unless told."""

    def __init__(self, waiting: int = 0) -> None:
        self.log = Log({TOPIC: 1})
        self.source = FakeSource(self.log, [TOPIC])
        self.ledger = Ledger(Metrics(), Clock())
        self.watchdog = Watchdog(self.source, self.ledger, Clock())
        for _ in range(waiting):
            self.log.append(ZERO, None, b"{}")

    async def joined(self) -> "Scene":
        await self.source.start(_Joining(self.ledger))
        await asyncio.sleep(0.1)
        return self

    async def after(self, seconds: float) -> float:
        watching = asyncio.ensure_future(self.watchdog.run())
        await asyncio.sleep(seconds)
        watching.cancel()
        return self.watchdog.stuck_seconds


async def test_nothing_to_read_is_not_stuck() -> None:
    assert await (await Scene().joined()).after(1000) == 0


async def test_records_that_nobody_fetches_are() -> None:
    assert await (await Scene(waiting=2).joined()).after(1000) == pytest.approx(1000, abs=15)


async def test_fetching_now_and_then_is_not_stuck() -> None:
    scene = await Scene(waiting=1).joined()
    for _ in range(20):
        assert await scene.after(30) < 30
        await scene.source.fetch()
        scene.log.append(ZERO, None, b"{}")


async def test_records_in_work_are_progress_of_another_kind() -> None:
    scene = await Scene(waiting=2).joined()
    opened = record(offset=0, epoch=scene.source.epoch)
    scene.ledger.admit(opened)
    assert await scene.after(1000) == 0
    scene.ledger.resolve(opened.position, Verdict.INDEXED)
    assert await scene.after(1000) > 900


async def test_a_group_that_never_gives_partitions_is_stuck() -> None:
    assert await Scene().after(1000) > 900


async def test_brokers_that_do_not_answer_are_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await Scene(waiting=2).joined()
    assert await scene.after(100) > 80

    async def silent() -> dict[TopicPartition, int]:
        raise RetryLater(RetryReason.CONNECTION, "no broker")

    with monkeypatch.context() as patch:
        patch.setattr(scene.source, "ends", silent)
        assert await scene.after(100) == 0
        assert scene.watchdog.unreachable
    await scene.after(10)
    assert not scene.watchdog.unreachable


async def test_an_answer_that_never_comes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = await Scene(waiting=2).joined()

    async def never() -> dict[TopicPartition, int]:
        await asyncio.sleep(10_000)
        return {}

    monkeypatch.setattr(scene.source, "ends", never)
    assert await scene.after(100) == 0
    assert scene.watchdog.unreachable
