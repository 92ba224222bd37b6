import asyncio
from collections.abc import Callable

import pytest

from tests.builders import change, record
from worker.runtime.intake import Intake

pytestmark = pytest.mark.virtual_time


async def versions(intake: Intake, count: int = 100) -> list[int]:
    async with asyncio.timeout(1):
        return [unit.change.version for unit in await intake.take(count)]


async def nothing(intake: Intake) -> bool:
    try:
        await versions(intake)
    except TimeoutError:
        return True
    return False


async def test_rows_come_out_in_the_order_in_which_they_came() -> None:
    intake = Intake()
    for row in (3, 1, 2):
        intake.add(change(row, row_id=row))
    assert await versions(intake) == [3, 1, 2]


async def test_no_more_rows_are_taken_than_asked_for() -> None:
    intake = Intake()
    for row in range(5):
        intake.add(change(row, row_id=row))
    assert await versions(intake, 2) == [0, 1]
    assert await versions(intake, 2) == [2, 3]


async def test_taking_waits_for_something_to_take() -> None:
    intake = Intake()
    taking = asyncio.ensure_future(versions(intake))
    await asyncio.sleep(0.5)
    assert not taking.done()
    intake.add(change(1))
    assert await taking == [1]


async def test_waiting_changes_of_a_row_become_one_unit_that_knows_all_their_positions() -> None:
    intake = Intake()
    changes = [change(version, of=record(offset=offset)) for offset, version in enumerate((5, 9, 7))]
    for one in changes:
        intake.add(one)
    (unit,) = await intake.take(10)
    assert unit.change.version == 9
    assert unit.change.record.position.offset == 1
    assert sorted(position.offset for position in unit.hidden) == [0, 2]


async def test_what_is_in_flight_passes_though_its_rows_are_taken_again_and_others_stay() -> None:
    intake = Intake()
    for row in (1, 2):
        intake.add(change(row, row_id=row))
    first, second = await intake.take(2)
    passing = asyncio.ensure_future(intake.passed())
    await asyncio.sleep(0)
    intake.add(change(9, row_id=1))
    intake.release(first.change.key)
    await intake.take(1)
    intake.add(change(3, row_id=3))
    await intake.take(1)
    await asyncio.sleep(0.1)
    assert not passing.done()
    intake.release(second.change.key)
    await asyncio.wait_for(passing, 1)
    assert intake.rows_in_flight == 2


async def test_rows_are_released_together() -> None:
    intake = Intake()
    for row in (1, 2, 3):
        intake.add(change(row, row_id=row))
    units = await intake.take(3)
    for row in (1, 2, 3):
        intake.add(change(3 + row, row_id=row))
    intake.release_all(one.change.key for one in units[:2])
    assert intake.rows_in_flight == 1
    assert await versions(intake) == [4, 5]


async def test_where_nothing_is_in_flight_nothing_has_to_pass() -> None:
    intake = Intake()
    intake.add(change(1))
    await asyncio.wait_for(intake.passed(), 1)


async def test_a_row_in_flight_waits_until_it_is_released() -> None:
    intake = Intake()
    intake.add(change(1))
    await versions(intake)
    intake.add(change(2))
    intake.add(change(3))
    assert await nothing(intake)
    intake.release(change(1).key)
    assert await versions(intake) == [3]


async def test_what_commits_late_waits_behind_a_row_of_a_snapshot_and_joins_what_comes_after() -> None:
    """Whether it is newer only what is stored can tell."""
    intake = Intake()
    intake.add(change(9, positioned=False, of=record(offset=1)))
    for offset, version in enumerate((6, 7), start=2):
        intake.add(change(version, of=record(offset=offset)))
    assert await versions(intake) == [9]
    intake.add(change(8, of=record(offset=4)))
    assert await nothing(intake)
    intake.release(change().key)
    (unit,) = await intake.take(10)
    assert (unit.change.version, sorted(position.offset for position in unit.hidden)) == (8, [2, 3])


async def test_what_is_newer_than_the_watermark_joins_a_row_of_a_snapshot() -> None:
    intake = Intake()
    intake.add(change(9, positioned=False, of=record(offset=1)))
    intake.add(change(10, of=record(offset=2)))
    (unit,) = await intake.take(10)
    assert (unit.change.version, [position.offset for position in unit.hidden]) == (10, [1])


async def test_released_rows_stand_behind_those_that_wait_already() -> None:
    intake = Intake()
    intake.add(change(1, row_id=1))
    await versions(intake)
    intake.add(change(2, row_id=1))
    intake.add(change(3, row_id=2))
    intake.release(change(row_id=1).key)
    assert await versions(intake) == [3, 2]


async def test_clearing_forgets_what_waits_and_leaves_what_is_in_flight() -> None:
    intake = Intake()
    intake.add(change(1, row_id=1))
    await versions(intake)
    intake.add(change(2, row_id=1))
    intake.add(change(3, row_id=2))
    intake.clear()
    assert intake.rows_in_flight == 1
    intake.release(change(row_id=1).key)
    assert await nothing(intake)


async def test_it_is_idle_when_no_row_is_in_flight() -> None:
    intake = Intake()
    await intake.idle()
    intake.add(change(1))
    await intake.idle()
    await versions(intake)
    idle = asyncio.ensure_future(intake.idle())
    await asyncio.sleep(1)
    assert not idle.done()
    intake.release(change(1).key)
    await idle


async def test_closed_it_hands_out_nothing_until_it_is_reopened() -> None:
    intake = Intake()
    intake.close()
    intake.add(change(1))
    assert await nothing(intake)
    intake.reopen()
    assert await versions(intake) == [1]


@pytest.mark.parametrize("end", [Intake.close, Intake.clear])
async def test_a_taker_that_was_woken_too_late_takes_nothing(end: Callable[[Intake], None]) -> None:
    intake = Intake()
    taking = asyncio.ensure_future(intake.take(10))
    await asyncio.sleep(0)
    intake.add(change(1))
    end(intake)
    await asyncio.sleep(1)
    assert not taking.done()
    assert intake.rows_in_flight == 0
    taking.cancel()


async def test_the_bytes_of_what_waits_are_counted() -> None:
    intake, told = Intake(), list[int]()
    small, large = record(b"x" * 10, b"", offset=1), record(b"x" * 500, b"", offset=2)
    for one in (change(1, row_id=1, of=small), change(2, row_id=1, of=large), change(3, row_id=2, of=small)):
        intake.add(one)
        told.append(intake.size)
    assert told == [10, 500, 510]
    await intake.take(1)
    assert intake.size == 10
    intake.add(change(4, row_id=1, of=large))
    assert intake.size == 510
    intake.clear()
    assert intake.size == 0
