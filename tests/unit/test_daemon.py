import asyncio
import gc
import os
import signal

import pytest

from tests.builders import place
from tests.fakes.world import Gate, World
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.runtime.daemon import AbortedError, first_cause, spare_the_collector, supervise

pytestmark = pytest.mark.virtual_time


def test_what_is_loaded_once_the_collector_leaves_alone() -> None:
    threshold = gc.get_threshold()
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > len(gc.get_objects())
        assert gc.get_threshold()[0] > threshold[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


async def kill(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_commits_and_ends_well(number: signal.Signals) -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    daemon = asyncio.ensure_future(supervise(world.pipeline.run, world.pipeline.stop))
    await world.until(lambda: gate.waiting)
    await kill(number)
    await asyncio.sleep(5)
    assert not daemon.done()
    gate.open()
    await daemon
    assert world.titles.keys() == {place()}
    assert world.committed() == 1


async def test_a_second_signal_aborts_the_drain() -> None:
    world = World()
    world.index.before_bulk = gate = Gate(lambda places: place() in places)
    world.upsert(2, "a", lsn=1)
    daemon = asyncio.ensure_future(supervise(world.pipeline.run, world.pipeline.stop))
    await world.settle()
    world.upsert(1, "b", lsn=2)
    await world.until(lambda: gate.waiting)
    await kill(signal.SIGTERM)
    assert not daemon.done()
    await kill(signal.SIGINT)
    with pytest.raises(AbortedError):
        await daemon
    assert gate.waiting == 0
    assert world.committed() == 1, "what is resolved is committed all the same, and nothing else"


async def test_handlers_are_restored() -> None:
    async def nothing() -> None:
        assert signal.getsignal(signal.SIGTERM) is not ours

    def ours(_number: int, _frame: object) -> None:
        raise AssertionError("nobody sent it")

    before = signal.signal(signal.SIGTERM, ours)
    try:
        await supervise(nothing, lambda: None)
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_the_first_of_this_projects_faults_ends_the_worker_as_its_cause() -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            raise OperatorError("no such topic")

    with pytest.raises(OperatorError, match="no such topic") as fault:
        await supervise(run, lambda: None)
    assert isinstance(fault.value.__cause__, BaseExceptionGroup)


async def test_a_signal_while_the_worker_is_halted_ends_it_at_once_and_well() -> None:
    world = World()
    world.index.alias_exists = False
    world.upsert(1, "a", lsn=1)
    daemon = asyncio.ensure_future(supervise(world.pipeline.run, world.pipeline.stop))
    await world.until_halted()
    await asyncio.sleep(500)
    started = asyncio.get_running_loop().time()
    await kill(signal.SIGTERM)
    await daemon
    assert asyncio.get_running_loop().time() - started < 2
    assert world.committed() is None


async def test_a_fault_that_is_nobodys_intention_is_not_hidden() -> None:
    world = World()
    world.embedder.fail_with = ZeroDivisionError()
    world.upsert(1, "a", lsn=1)
    with pytest.raises(ExceptionGroup) as group:
        await supervise(world.pipeline.run, world.pipeline.stop)
    assert group.value.subgroup(ZeroDivisionError) is not None


async def test_a_fault_before_anything_runs_comes_as_it_is() -> None:
    async def start() -> None:
        raise OperatorError("no such topic")

    with pytest.raises(OperatorError, match="no such topic"):
        await supervise(start, lambda: None)


def test_the_first_of_this_projects_errors_is_found_at_any_depth() -> None:
    halt = Halt(HaltReason.FORBIDDEN, "no")
    retry = RetryLater(RetryReason.TIMEOUT, "slow")
    assert first_cause(ExceptionGroup("", [ValueError(), ExceptionGroup("", [KeyError(), halt]), retry])) is halt
    assert first_cause(ExceptionGroup("", [ValueError()])) is None
