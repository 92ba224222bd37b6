"""Fresh stories for every state of the code, and every story that ever failed.

The first seed follows from the code itself: each change to the worker or to the simulation meets stories that nobody
has seen, and the same code meets the same ones, so that a run that fails can be run again. `SIMULATION_FIRST_SEED`
gives another first seed, `make simulate` takes its own from the clock. A failing seed is in the test's name: `make
simulate SEED=...` tells its story and makes it short.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import orjson
import pytest

from tests.simulation.many import failures
from tests.simulation.perform import perform
from tests.simulation.story import Story

FRESH: Final = 300
_EACH: Final = 50
_ROOT: Final = Path(__file__).parents[2]
_CODE: Final = ("worker", "tests/simulation")


def _of_the_code() -> int:
    digest = hashlib.sha256()
    for folder in _CODE:
        for file in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:5])


_FIRST: Final = int(os.environ.get("SIMULATION_FIRST_SEED") or _of_the_code())
_PAST: Final = [orjson.loads(line) for line in Path(__file__).with_name("past.jsonl").read_bytes().splitlines()]


def test_the_first_seed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nfresh stories: SIMULATION_FIRST_SEED={_FIRST}")  # noqa: T201 - for the log of the run


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + FRESH, _EACH))
def test_fresh_stories_violate_nothing(first: int) -> None:
    found = list(failures(range(first, first + _EACH)))
    assert not found, "\n".join(f"make simulate SEED={seed}: {text}" for seed, text in found)


@pytest.mark.parametrize("past", _PAST, ids=lambda past: past["reason"][:60])
def test_stories_that_failed_once_do_not_again(past: dict[str, object]) -> None:
    assert perform(Story.from_json(orjson.dumps(past["story"]))).violation is None
