"""A defect of ours that one record brings to light ends neither the worker nor the records beside it."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import record
from tests.fakes.world import World
from worker.errors import HaltReason
from worker.records import Decoded, Record, Unit
from worker.runtime.unexpected import unexpected
from worker.stages.decode import debezium
from worker.stages.planning import NeedsVector, plan, with_vector
from worker.stages.rules import SourceRules

pytestmark = pytest.mark.virtual_time
BAD = "the bad one"


def fail_at_the_bad_one(of_what: str) -> None:
    if BAD in of_what:
        raise KeyError(BAD)


def failing(function: Callable[..., Any], text_of: Callable[[Any], str]) -> Callable[..., Any]:
    def instead(first: object, *args: object, **options: object) -> object:
        fail_at_the_bad_one(text_of(first))
        return function(first, *args, **options)

    return instead


def decode(record: Record, rules: SourceRules) -> Decoded:
    fail_at_the_bad_one(str(record.value))
    return debezium.decode(record, rules)


def break_planning(monkeypatch: pytest.MonkeyPatch) -> World:
    def text(unit: Unit) -> str:
        return str(unit.change.fields)

    monkeypatch.setattr("worker.runtime.looking_up.plan", failing(plan, text))
    return World()


def break_writing(monkeypatch: pytest.MonkeyPatch) -> World:
    def text(needed: NeedsVector) -> str:
        return needed.text

    monkeypatch.setattr("worker.runtime.pipeline.with_vector", failing(with_vector, text))
    return World()


def break_decoding(_: pytest.MonkeyPatch) -> World:
    return World(decode=decode)


BROKEN = [break_decoding, break_planning, break_writing]


@pytest.mark.parametrize("broken", BROKEN)
async def test_it_is_put_aside_with_what_failed_and_its_neighbours_are_indexed(
    broken: Callable[[pytest.MonkeyPatch], World], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = broken(monkeypatch)
    world.upsert(1, "before", lsn=10)
    world.upsert(2, BAD, lsn=11)
    world.upsert(3, "behind", lsn=12)
    async with world.running():
        await world.settle()
    assert world.verdicts == {"indexed": 2, "unexpected_error": 1}
    (letter,) = world.dead_letters.sent
    assert f"KeyError: {BAD!r}" in (dict(letter.headers)["syncline-message"] or b"").decode()
    (logged,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert logged.exc_info is not None


async def test_where_all_records_bring_it_up_the_worker_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = break_planning(monkeypatch)
    for number in range(1000):
        world.upsert(number, BAD, lsn=10 + number)
    async with world.running():
        assert HaltReason.MASS_REJECTION in await world.until_halted()


def test_an_error_of_memory_is_no_records_matter() -> None:
    with pytest.raises(MemoryError):
        unexpected(MemoryError(), "plan", record({}).position)


def test_what_an_error_tells_is_cut() -> None:
    told = unexpected(ValueError("x" * 10_000), "plan", record({}).position)
    assert len(told.message) < 500
