"""The test of the test: every mistake that is planted into the real code is caught within 200 seeds."""

from typing import Final

import pytest

from tests.simulation.drawing import draw
from tests.simulation.perform import perform
from tests.simulation.planted import PLANTED

SEEDS: Final = 200
CAUGHT_BY: Final = {
    "commit what was fetched, resolved or not": 1,
    "commit behind the highest resolved record": 1,
    "ignore which assignment a record belongs to": 0,
    "skip for good what a rebalance takes away": 1,
    "resolve a record before its dead letter is durable": 1,
    "forget the watermark in a commit": 1,
    "give a snapshot's row the watermark for its version": 41,
    "forget the position of what a snapshot's row was joined with": 4,
    "join a late commit with a snapshot's row before it": 12,
    "forget a document's place in the log": 12,
    "delete without a version": 1,
    "delete for real instead of a tombstone": 1,
    "send all of a bulk again, as new": 5,
    "count what was sent twice as superseded by itself": 130,
    "hide a refused move behind its own tombstone": 179,
    "take the version from the offset": 0,
    "believe before.tenant without REPLICA IDENTITY FULL": 9,
    "forget former tenants when changes are joined": 3,
    "leave no tombstone where a row moves away": 59,
    "write the tombstone at the new tenant": 2,
    "leave a row where it was found": 9,
    "look up once and remember": 47,
    "two changes of a row in flight at once": 62,
    "delete a row's former key before its values are taken": 187,
    "index the placeholder of an unchanged value": 2,
    "reuse a vector whatever its text": 9,
}
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
