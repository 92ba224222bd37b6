import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.backoff import longest_wait


def test_the_bound_starts_at_the_initial_wait_and_doubles_up_to_the_longest() -> None:
    assert [longest_wait(attempt, 0.5, 5) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]


@pytest.mark.parametrize("attempt", [61, 2000, 10**9])
def test_a_worker_that_retries_for_months_waits_no_longer_than_the_longest(attempt: int) -> None:
    assert longest_wait(attempt, 0.25, 30) == 30


def test_an_initial_wait_above_the_longest_is_cut() -> None:
    assert longest_wait(1, 60, 30) == 30


@given(st.integers(1, 10_000), st.floats(0.001, 60), st.floats(0.001, 3600))
def test_bounds_never_fall_and_never_exceed_the_longest(attempt: int, initial: float, maximum: float) -> None:
    bounds = [longest_wait(attempt + more, initial, maximum) for more in range(3)]
    assert all(0 < bound <= maximum for bound in bounds)
    assert all(earlier <= later for earlier, later in itertools.pairwise(bounds))
