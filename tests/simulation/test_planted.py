"""The test of the test: every mistake that is planted into the real code is caught within 200 seeds."""

from typing import Final

import pytest

from tests.simulation.drawing import draw
from tests.simulation.perform import perform
from tests.simulation.planted import PLANTED

SEEDS: Final = 200
CAUGHT_BY: Final = dict.fromkeys(PLANTED, 0)
"""The seed that caught a mistake last, so that the suite need not search; any other within `SEEDS` will do."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught(name: str) -> None:
    for seed in (CAUGHT_BY[name], *range(SEEDS)):
        with PLANTED[name]():
            violation = perform(draw(seed)).violation
        if violation is not None:
            break
    else:
        pytest.fail(f"{SEEDS} seeds, and none has noticed: {name}")
    assert perform(draw(seed)).violation is None, "the seed fails without the mistake as well"
