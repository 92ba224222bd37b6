"""An idle worker notices that its target is gone, and does not take one look for the truth."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from typing_extensions import override

from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.world import World
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.runtime.retrying import Retrying
from worker.runtime.target_watch import TargetWatch
from worker.settings import DeliverySettings

pytestmark = pytest.mark.virtual_time
REFUSED = RetryLater(RetryReason.CONNECTION, "connection refused")
EXPIRED = Halt(HaltReason.UNAUTHENTICATED, "API key expired")


class Asked(FakeElasticsearch):
    """A target that fails its probes in order, and then as `always` says; counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception | None] = []
        self.always: Exception | None = None
        self.probes = 0

    @override
    async def probe(self) -> None:
        self.probes += 1
        fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None:
            raise fault


class Scene:
    def __init__(self) -> None:
        self.sink = Asked()
        self.retrying = Retrying(DeliverySettings(), Metrics())
        self.watch = TargetWatch(self.sink, self.retrying)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    one = Scene()
    task = asyncio.ensure_future(one.watch.run())
    yield one
    assert not task.done(), "it goes on, whatever was answered"
    task.cancel()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (REFUSED, "connection refused"),
        (EXPIRED, "API key expired"),
        (OperatorError("elasticsearch.hosts: leads elsewhere"), "elasticsearch.hosts: leads elsewhere"),
        (ValueError("odd"), "ValueError('odd')"),
    ],
)
async def test_what_is_gone_is_told_and_told_no_more_when_it_is_back(scene: Scene, fault: Exception, told: str) -> None:
    await asyncio.sleep(100)
    assert not scene.watch.fault
    scene.sink.always = fault
    await asyncio.sleep(100)
    assert scene.watch.fault == told
    scene.sink.always = None
    await asyncio.sleep(40)
    assert not scene.watch.fault


async def test_a_single_miss_is_none(scene: Scene) -> None:
    scene.sink.faults = [REFUSED, None] * 10
    for _ in range(100):
        await asyncio.sleep(1)
        assert not scene.watch.fault
    assert not scene.sink.faults


async def test_it_asks_every_five_seconds_and_seldom_after_a_refusal(scene: Scene) -> None:
    await asyncio.sleep(301)
    assert scene.sink.probes == 60
    scene.sink.always = EXPIRED
    await asyncio.sleep(300)
    assert 60 + 10 <= scene.sink.probes <= 60 + 11


async def test_a_worker_that_is_halted_or_backs_off_is_not_asked_for() -> None:
    world = World()
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1

    world.upsert(1, "a", lsn=1)
    for _ in range(1_000):
        world.index.fail_request(REFUSED)
    async with world.running():
        await world.until(lambda: bool(world.pipeline.retrying.failing))
        world.index.probe = probe  # type: ignore[method-assign]
        await asyncio.sleep(60)
        assert world.pipeline.retrying.failing
        assert probes == 0
