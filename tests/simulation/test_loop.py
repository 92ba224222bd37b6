"""Processes die and freeze where they are told to, and nothing that they do afterwards has an effect."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.simulation import loop
from tests.simulation.loop import Process, Spinning


def performed(main: Callable[[list[str]], Coroutine[Any, Any, None]]) -> list[str]:
    said: list[str] = []
    loop.run(main(said), lambda error, message: said.append(f"{message} {error!r}"))
    return said


async def _counting(said: list[str]) -> None:
    for number in range(5):
        said.append(f"{asyncio.get_running_loop().time():g}: {number}")
        await asyncio.sleep(1)


def test_time_jumps() -> None:
    assert performed(_counting)[-1] == "1004: 4"


def test_a_process_is_killed_at_the_very_step() -> None:
    async def main(said: list[str]) -> None:
        process = Process("one")
        process.kill_at = 3
        task = process.start(_counting(said))
        await asyncio.gather(task, return_exceptions=True)
        assert process.dead
        assert task.cancelled()

    assert performed(main) == ["1000: 0", "1001: 1"]


def test_tasks_of_a_process_die_with_it_and_others_do_not() -> None:
    async def main(said: list[str]) -> None:
        async def parent() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(_counting(said))
                await asyncio.sleep(100)

        process = Process("one")
        task = process.start(parent())
        other = asyncio.create_task(_counting([]))
        await asyncio.sleep(1.5)
        process.kill()
        await asyncio.gather(task, return_exceptions=True)
        await other

    assert performed(main) == ["1000: 0", "1001: 1"]


def test_a_frozen_process_takes_no_step_and_goes_on_where_it_was() -> None:
    async def main(said: list[str]) -> None:
        process = Process("one")
        task = process.start(_counting(said))
        await asyncio.sleep(1.5)
        process.freeze()
        await asyncio.sleep(10)
        process.thaw()
        await task

    assert performed(main) == ["1000: 0", "1001: 1", "1011.5: 2", "1012.5: 3", "1013.5: 4"]


def test_a_deadline_that_passes_in_the_frost_is_noticed_when_it_thaws() -> None:
    async def main(said: list[str]) -> None:
        async def waiting() -> None:
            try:
                async with asyncio.timeout(2):
                    await asyncio.sleep(100)
            except TimeoutError:
                said.append(f"{asyncio.get_running_loop().time():g}: late")

        process = Process("one")
        task = process.start(waiting())
        await asyncio.sleep(1)
        process.freeze()
        await asyncio.sleep(10)
        process.thaw()
        await task

    assert performed(main) == ["1011: late"]


def test_what_can_never_happen_is_said() -> None:
    async def main(_said: list[str]) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Spinning, match="never happens"):
        performed(main)
