"""What the rolling restart calculates from what it has seen."""

import math

import pytest

from tests.e2e.process import Scrape
from tests.soak.freshness import Histogram, Sighting, ages, pauses, quantile


def histogram(*buckets: tuple[float, float], total: float = 0) -> Histogram:
    return Histogram(dict(buckets), total)


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [quantile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert quantile([7], 0.01) == 7
    assert math.isnan(quantile([], 0.5))


def test_ages_are_those_of_changes_committed_in_the_time() -> None:
    seen = [Sighting(0, committed, committed + age) for committed, age in ((9.9, 5), (10, 3), (12, 1), (20, 4))]
    assert ages(seen, 10, 20) == [1, 3]


def test_a_pause_is_between_two_sightings_whatever_their_order() -> None:
    assert pauses([3.0, 1.0, 1.1, 6.0], 0, 10, least=1) == [(1.1, 3.0), (3.0, 6.0)]
    assert pauses([1.0, 2.0], 0, 10, least=1.5) == []


def test_a_pause_counts_in_each_time_of_which_it_takes_a_part() -> None:
    times = [1.0, 4.0, 6.0]
    assert pauses(times, 2, 3) == [(1.0, 4.0)]
    assert pauses(times, 2, 5) == [(1.0, 4.0), (4.0, 6.0)]
    assert pauses(times, 6, 9) == pauses(times, 0, 1) == []


def test_a_histogram_is_read_from_what_a_worker_tells() -> None:
    name = "syncline_freshness_seconds"
    samples = [
        (f"{name}_bucket", {"le": "0.5"}, 3.0),
        (f"{name}_bucket", {"le": "+Inf"}, 4.0),
        (f"{name}_sum", {}, 2.0),
    ]
    told = Histogram.of(Scrape(tuple(samples)))
    assert (told.count, told.mean) == (4, 0.5)
    assert told.buckets == {0.5: 3, math.inf: 4}


def test_histograms_add_up_over_workers_and_are_taken_apart_by_time() -> None:
    early, late, other = (
        histogram((1, 1), (math.inf, 2), total=3),
        histogram((1, 5), (math.inf, 6), total=9),
        histogram(),
    )
    assert early + other == early
    assert (late + late - early).buckets == {1: 9, math.inf: 10}
    assert (late - early).total == 6


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.5), (0.5, 1), (0.75, 1.5), (0.99, 1.98), (1, 2)])
def test_its_quantile_lies_on_a_line_within_the_bucket(share: float, seconds: float) -> None:
    assert histogram((1, 50), (2, 100), (4, 100), (math.inf, 100)).quantile(share) == pytest.approx(seconds)


def test_above_the_last_edge_its_quantile_is_that_edge() -> None:
    assert histogram((1, 50), (math.inf, 100)).quantile(0.99) == 1
    assert math.isnan(histogram().quantile(0.5))
