import asyncio
import random

import pytest

from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import RequestTooLargeError
from worker.runtime.retrying import Retrying
from worker.settings import DeliverySettings

pytestmark = pytest.mark.virtual_time


class Failing:
    """Fails so many times, and notes when it was called."""

    def __init__(self, times: int, fault: Exception | None = None) -> None:
        self.calls: list[float] = []
        self._times = times
        self._fault = fault or RetryLater(RetryReason.CONNECTION, "refused")

    async def __call__(self) -> str:
        self.calls.append(asyncio.get_running_loop().time())
        if len(self.calls) <= self._times:
            raise self._fault
        return "done"


def retrying(metrics: Metrics | None = None, seed: int = 1) -> Retrying:
    settings = DeliverySettings(retry_initial=1, retry_max=30)
    return Retrying(settings, metrics or Metrics(), random.Random(seed))


async def test_it_calls_until_the_call_succeeds() -> None:
    function, metrics = Failing(7), Metrics()
    assert await retrying(metrics).call("lookup", function) == "done"
    assert len(function.calls) == 8
    labels = {"operation": "lookup", "reason": "connection"}
    assert metrics.registry.get_sample_value("syncline_retries_total", labels) == 7


@pytest.mark.parametrize("seed", range(20))
async def test_waits_grow_to_their_bound_and_no_further(seed: int) -> None:
    function = Failing(40)
    await retrying(seed=seed).call("lookup", function)
    waits = [after - before for before, after in zip(function.calls, function.calls[1:], strict=False)]
    for attempt, wait in enumerate(waits):
        assert wait <= min(30, 2.0**attempt) + 1e-6
    assert max(waits) > 15


async def test_who_is_asked_to_wait_waits_at_least_so_long_and_not_for_ever() -> None:
    for asked, least, most in ((7.0, 7, 9), (86_400.0, 300, 302)):
        function = Failing(1, RetryLater(RetryReason.REJECTED, "slow down", asked))
        await retrying().call("embed", function)
        assert least <= function.calls[1] - function.calls[0] <= most


async def test_workers_that_failed_together_do_not_come_back_together() -> None:
    functions = [Failing(1) for _ in range(20)]
    await asyncio.gather(*(retrying(seed=seed).call("lookup", function) for seed, function in enumerate(functions)))
    assert len({round(function.calls[1], 3) for function in functions}) > 15


async def test_between_failure_and_success_the_operation_is_failing() -> None:
    one = retrying()
    call = asyncio.ensure_future(one.call("lookup", Failing(3)))
    await asyncio.sleep(0.01)
    assert one.failing == {"lookup"}
    await call
    assert one.failing == frozenset()


async def test_one_callers_success_does_not_hide_that_another_is_failing() -> None:
    one = retrying()
    call = asyncio.ensure_future(one.call("bulk", Failing(30)))
    await asyncio.sleep(0.01)
    assert await one.call("bulk", Failing(0)) == "done"
    assert await one.call("bulk", Failing(1)) == "done"
    assert one.failing == {"bulk"}
    await call
    assert one.failing == frozenset()


async def test_a_call_that_is_given_up_fails_no_more() -> None:
    one = retrying()
    call = asyncio.ensure_future(one.call("bulk", Failing(30)))
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert one.failing == frozenset()


async def test_what_is_nobodys_intention_is_the_callers() -> None:
    function = Failing(1, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await retrying().call("lookup", function)
    assert len(function.calls) == 1


async def test_what_is_the_callers_ends_a_halt_as_any_answer_does() -> None:
    one = retrying()

    async def answers() -> None:
        raise RequestTooLargeError("413") if one.halting.halted else Halt(HaltReason.TARGET_MISSING, "no alias")

    with pytest.raises(RequestTooLargeError):
        await one.call("bulk", answers)
    assert not one.halting.halted


async def test_a_probe_that_is_cancelled_ends_no_halt() -> None:
    one = retrying()

    async def hangs() -> None:
        if one.halting.halted:
            await asyncio.Event().wait()
        raise Halt(HaltReason.TARGET_MISSING, "no alias")

    call = asyncio.ensure_future(one.call("bulk", hangs))
    await asyncio.sleep(60)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert one.halting.halted
