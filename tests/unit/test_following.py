"""Rows whose key has changed, on their way through the intake: the new one goes first, and takes what waits."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests.builders import change, deletion
from worker.records import Change, Operation, Position, Unit
from worker.runtime.intake import Intake, Reading

pytestmark = pytest.mark.virtual_time


async def taken(intake: Intake, count: int = 100) -> list[Unit]:
    try:
        async with asyncio.timeout(1):
            return await intake.take(count)
    except TimeoutError:
        return []


def of_key(row_id: int, version: int, *, follows: int | None = None, absent: tuple[str, ...] = ()) -> Change:
    one = change(version, row_id=row_id, fields={"content": f"c{version}"}, absent=absent)
    fields = {name: value for name, value in one.fields.items() if name not in absent}
    return replace(one, fields=fields, follows=None if follows is None else change(row_id=follows).key)


def deleted(row_id: int, version: int) -> Change:
    return deletion(version, row_id=row_id)


def rekeyed(former: int, new: int, version: int) -> Change:
    """The half that enters; it leaves `content` out."""
    return of_key(new, version, follows=former, absent=("content",))


async def test_a_row_takes_what_waits_under_its_former_key_and_goes_first() -> None:
    intake = Intake()
    for one in (of_key(1, 1), deleted(1, 2), rekeyed(1, 2, 2)):
        intake.add(one)
    (unit,) = await taken(intake)
    assert (unit.change.key, unit.change.fields) == ("articles/2", {"content": "c1"})
    assert unit.change.inherited == {"content": 1}
    assert not await taken(intake), "the former key is deleted too early: after a crash the values would be gone"
    intake.release("articles/2")
    assert [one.change.operation for one in await taken(intake)] == [Operation.DELETE]


@pytest.mark.parametrize("entering_first", [True, False])
async def test_a_row_waits_for_what_is_in_flight_under_its_former_key(*, entering_first: bool) -> None:
    intake = Intake()
    intake.add(of_key(1, 1))
    assert [one.change.version for one in await taken(intake)] == [1]
    halves = [deleted(1, 2), rekeyed(1, 2, 2)]
    for one in reversed(halves) if entering_first else halves:
        intake.add(one)
    assert not await taken(intake), "the document of the former key is not stored yet"
    intake.release("articles/1")
    (unit,) = await taken(intake)
    assert unit.change.key == "articles/2"
    assert not await taken(intake)
    intake.release("articles/2")
    assert [one.change.version for one in await taken(intake)] == [2]


async def test_a_state_of_the_former_key_that_came_later_gives_nothing() -> None:
    intake = Intake()
    for one in (deleted(1, 2), of_key(1, 3), rekeyed(1, 2, 2)):
        intake.add(one)
    (unit,) = await taken(intake)
    assert (unit.change.key, unit.change.absent) == ("articles/2", frozenset({"content"}))


async def test_what_is_forgotten_keeps_nobody_waiting() -> None:
    intake = Intake()
    intake.add(of_key(1, 1))
    assert [one.change.version for one in await taken(intake)] == [1]
    intake.add(rekeyed(1, 2, 2))
    intake.clear()
    intake.release("articles/1")
    intake.add(deleted(1, 2))
    assert [one.change.version for one in await taken(intake)] == [2]


def half_deleted(row_id: int, version: int) -> Change:
    return replace(deletion(version, row_id=row_id), leads=True)


@pytest.mark.parametrize("absent", [(), ("content",)])
async def test_the_deletion_of_a_former_key_waits_a_moment_for_the_new_one(absent: tuple[str, ...]) -> None:
    intake = Intake()
    intake.add(half_deleted(1, 2))
    intake.add(of_key(3, 2))
    assert [one.change.key for one in await taken(intake)] == ["articles/3"]
    assert not await taken(intake), "the next fetch may bring the row that takes its values"
    intake.add(of_key(2, 2, follows=1, absent=absent))
    first = [one.change.key for one in await taken(intake, 1)]
    intake.release(first[0])
    assert {*first, *(one.change.key for one in await taken(intake))} == {"articles/1", "articles/2"}
    assert first == ["articles/2"] or not absent


async def test_a_new_key_that_never_comes_is_not_waited_for_for_ever() -> None:
    intake = Intake()
    intake.add(half_deleted(1, 2))
    assert not await taken(intake)
    await asyncio.sleep(1.5)
    assert [one.change.key for one in await taken(intake)] == ["articles/1"]


class StandIn(Reading):
    """For `flow.Flow`."""

    def __init__(self) -> None:
        self.full = False
        self.unread = True

    @property
    @override
    def lacks_room(self) -> bool:
        return self.full

    @override
    def is_next_unread(self, position: Position) -> bool:
        return self.unread


async def test_the_record_right_behind_a_deletion_is_waited_for_however_long_its_fetch_takes() -> None:
    reading = StandIn()
    intake = Intake(reading=reading)
    intake.add(half_deleted(1, 2))
    await asyncio.sleep(60)
    assert not await taken(intake)
    reading.unread = False
    await asyncio.sleep(0.5)
    assert [one.change.key for one in await taken(intake)] == ["articles/1"]


async def test_reading_that_stands_still_is_waited_for_while_anything_else_can_make_room() -> None:
    reading = StandIn()
    intake = Intake(reading=reading)
    intake.add(of_key(3, 1))
    await taken(intake)
    intake.add(half_deleted(1, 2))
    reading.full = True
    await asyncio.sleep(60)
    assert not await taken(intake)
    intake.release("articles/3")
    await asyncio.sleep(0.5)
    assert [one.change.key for one in await taken(intake)] == ["articles/1"], "only this makes room"


async def test_a_deletion_waits_for_its_own_new_key_and_not_for_that_of_the_row_before() -> None:
    intake = Intake()
    intake.add(half_deleted(1, 2))
    intake.add(rekeyed(1, 4, 2))
    assert [one.change.key for one in await taken(intake, 1)] == ["articles/4"]
    intake.add(of_key(1, 3))
    intake.add(half_deleted(1, 5))
    intake.release("articles/4")
    assert not await taken(intake, 1), "the new key of 5 is still to come"
    intake.add(rekeyed(1, 2, 5))
    assert [one.change.key for one in await taken(intake, 1)] == ["articles/2"]


async def test_a_new_key_that_came_first_is_not_expected() -> None:
    intake = Intake()
    intake.add(of_key(1, 1))
    assert await taken(intake)
    intake.add(rekeyed(1, 4, 2))
    intake.add(half_deleted(1, 2))
    intake.release("articles/1")
    assert [one.change.key for one in await taken(intake)] == ["articles/4"]
    intake.release("articles/4")
    assert [one.change.key for one in await taken(intake)] == ["articles/1"]


async def test_a_deletion_that_comes_again_has_patience_of_its_own() -> None:
    """The key was taken over, and left again, while its first deletion still waited."""
    intake = Intake()
    intake.add(half_deleted(1, 2))
    await asyncio.sleep(1.5)
    intake.add(of_key(1, 3))
    intake.add(half_deleted(1, 4))
    await asyncio.sleep(0.6)
    assert not await taken(intake, 1)
    await asyncio.sleep(1)
    assert [one.change.version for one in await taken(intake)] == [4]


async def test_a_deletion_that_is_forgotten_is_not_waited_with_when_it_comes_again() -> None:
    intake = Intake()
    intake.add(half_deleted(1, 2))
    intake.clear()
    intake.add(of_key(1, 1))
    assert [one.change.version for one in await taken(intake)] == [1]


async def test_a_row_that_comes_back_to_its_former_key_goes_before_the_deletion_of_the_one_between() -> None:
    """The one between waited for the first one's values. Hidden by its deletion it needs them no more."""
    intake = Intake()
    intake.add(of_key(1, 1))
    assert [one.change.version for one in await taken(intake)] == [1]
    for one in (half_deleted(1, 2), rekeyed(1, 2, 2), half_deleted(2, 3), rekeyed(2, 1, 3)):
        intake.add(one)
    assert not await taken(intake), "the values are not stored yet"
    intake.release("articles/1")
    (unit,) = await taken(intake)
    assert (unit.change.key, unit.change.version) == ("articles/1", 3)
    assert not await taken(intake), "the values that are stored there would be gone"
    intake.release("articles/1")
    assert [(one.change.key, one.change.operation) for one in await taken(intake)] == [("articles/2", Operation.DELETE)]


async def test_a_row_that_comes_back_over_two_others_goes_before_their_deletions() -> None:
    intake = Intake()
    for version, (former, new) in enumerate([(1, 2), (2, 3), (3, 1)], 2):
        intake.add(half_deleted(former, version))
        intake.add(rekeyed(former, new, version))
    assert [one.change.key for one in await taken(intake)] == ["articles/1"]
    intake.release("articles/1")
    assert {one.change.key for one in await taken(intake)} == {"articles/2", "articles/3"}


ROWS = st.integers(0, 3)
STEPS = st.lists(st.tuples(st.sampled_from(["write", "rekey", "take", "release", "clear"]), ROWS, ROWS))


@given(STEPS)
async def test_whoever_follows_whom_all_come_out(steps: list[tuple[str, int, int]]) -> None:
    intake, in_flight = Intake(), list[str]()
    for version, (what, row, other) in enumerate(steps, 1):
        if what == "write":
            intake.add(of_key(row, version))
        elif what == "rekey" and row != other:
            intake.add(half_deleted(row, version))
            intake.add(rekeyed(row, other, version))
        elif what == "take":
            in_flight += [one.change.key for one in await taken(intake, 1 + other)]
        elif what == "release" and in_flight:
            intake.release(in_flight.pop(0))
        elif what == "clear":
            intake.clear()
    in_flight += [one.change.key for one in await taken(intake)]
    while in_flight:
        intake.release(in_flight.pop())
        in_flight += [one.change.key for one in await taken(intake)]
    assert not await taken(intake)
    assert not intake._held, "rows wait for each other"
