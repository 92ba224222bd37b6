import asyncio

import pytest

from worker.runtime.queues import BatchQueue

pytestmark = pytest.mark.virtual_time


async def filled(*sizes: int, max_bytes: int = 1000, max_items: int = 1000) -> BatchQueue[int]:
    queue: BatchQueue[int] = BatchQueue(max_bytes, max_items)
    for number, size in enumerate(sizes):
        await queue.put(number, size)
    return queue


async def test_a_free_stage_takes_all_that_waits_in_order() -> None:
    queue = await filled(1, 1, 1)
    assert await queue.take(1000, 1000) == [0, 1, 2]
    assert queue.size == 0


async def test_a_batch_keeps_both_budgets() -> None:
    queue = await filled(10, 10, 10, 10)
    assert await queue.take(25, 1000) == [0, 1]
    assert await queue.take(1000, 1) == [2]
    assert queue.size == 10


async def test_what_is_larger_than_a_budget_goes_alone() -> None:
    queue = await filled(10, 500, 10)
    assert await queue.take(100, 1000) == [0]
    assert await queue.take(100, 1000) == [1]
    assert await queue.take(100, 1000) == [2]


async def test_what_is_larger_than_the_queue_passes_alone_and_blocks_nothing() -> None:
    queue: BatchQueue[str] = BatchQueue(100, 10)
    await queue.put("huge", 5000)
    putting = asyncio.ensure_future(queue.put("small", 1))
    await asyncio.sleep(1)
    assert not putting.done()
    assert await queue.take(100, 10) == ["huge"]
    await putting
    assert await queue.take(100, 10) == ["small"]


@pytest.mark.parametrize(("max_bytes", "max_items"), [(30, 1000), (1000, 3)])
async def test_a_full_queue_makes_the_stage_before_it_wait(max_bytes: int, max_items: int) -> None:
    queue = await filled(10, 10, 10, max_bytes=max_bytes, max_items=max_items)
    putting = asyncio.ensure_future(queue.put(3, 10))
    await asyncio.sleep(1)
    assert not putting.done()
    await queue.take(10, 1)
    await putting
    assert queue.size == 30


async def test_room_for_one_lets_one_of_two_that_wait_in() -> None:
    queue = await filled(10, 10, max_bytes=20)
    putting = [asyncio.ensure_future(queue.put(number, 10)) for number in (2, 3)]
    await asyncio.sleep(0)
    await queue.take(10, 1)
    await asyncio.sleep(1)
    assert sorted(one.done() for one in putting) == [False, True]
    assert queue.size == 20
    await queue.take(10, 1)
    await asyncio.gather(*putting)


async def test_taking_waits_for_an_item() -> None:
    queue: BatchQueue[int] = BatchQueue(10, 10)
    taking = asyncio.ensure_future(queue.take(10, 10))
    await asyncio.sleep(1)
    assert not taking.done()
    await queue.put(7, 1)
    assert await taking == [7]


async def test_two_takers_never_get_the_same_item() -> None:
    queue: BatchQueue[int] = BatchQueue(10, 10)
    takers = [asyncio.ensure_future(queue.take(10, 1)) for _ in range(2)]
    await asyncio.sleep(0)
    await queue.put(1, 1)
    await queue.put(2, 1)
    assert sorted(item for batch in await asyncio.gather(*takers) for item in batch) == [1, 2]


async def test_a_cancelled_put_leaves_nothing_behind() -> None:
    queue = await filled(10, max_items=1)
    putting = asyncio.ensure_future(queue.put(1, 10))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    assert await queue.take(100, 100) == [0]
    assert queue.size == 0


async def test_its_size_is_that_of_what_is_in_it() -> None:
    queue: BatchQueue[int] = BatchQueue(100, 10)
    await queue.put(1, 10)
    assert queue.size == 10
    await queue.put_all([(2, 5), (3, 1)])
    assert queue.size == 16
    await queue.take(10, 10)
    assert queue.size == 6


async def test_many_items_are_put_in_their_order_as_there_is_room() -> None:
    queue: BatchQueue[int] = BatchQueue(20, 10)
    putting = asyncio.ensure_future(queue.put_all((number, 10) for number in range(5)))
    taken: list[list[int]] = []
    for _ in range(3):
        taken.append(await queue.take(100, 10))
        await asyncio.sleep(0)
    assert taken == [[0, 1], [2, 3], [4]]
    await putting
    assert queue.size == 0
