from hypothesis import given
from hypothesis import strategies as st

from worker.stages.pressure import Pressure

SIZE = 1 << 20


def calm(pressure: Pressure, requests: int = 1, seconds: float = 0.1) -> None:
    for _ in range(requests):
        pressure.answered(pressure.round, SIZE, seconds)


def test_it_begins_at_the_upper_bound_and_stays_there_while_all_is_well() -> None:
    pressure = Pressure(8)
    calm(pressure, 100)
    assert pressure.limit == 8


def test_overload_halves_and_calm_adds_one_for_as_many_requests_as_there_may_be() -> None:
    pressure = Pressure(8)
    pressure.overloaded(pressure.round)
    assert pressure.limit == 4
    calm(pressure, 4)
    assert pressure.limit == 4
    calm(pressure)
    assert pressure.limit == 5
    calm(pressure, 100)
    assert pressure.limit == 8


def test_requests_that_were_in_flight_together_saw_the_same_overload() -> None:
    pressure = Pressure(16)
    together = pressure.round
    for _ in range(16):
        pressure.overloaded(together)
    assert pressure.limit == 8
    pressure.answered(together, SIZE, 0.1)
    assert pressure.limit == 8, "nor does one of them say that there is room again"
    pressure.overloaded(pressure.round)
    assert pressure.limit == 4


def test_at_least_one_request_may_always_be_sent() -> None:
    pressure = Pressure(2)
    for _ in range(100):
        pressure.overloaded(pressure.round)
    assert pressure.limit == 1
    calm(pressure, 2)
    assert pressure.limit == 2


def test_one_slow_request_is_no_sign_and_several_are() -> None:
    pressure = Pressure(8)
    calm(pressure, 50)
    calm(pressure, seconds=5)
    assert pressure.limit == 8
    calm(pressure, 5)
    calm(pressure, 2, seconds=5)
    assert pressure.limit == 4


def test_requests_are_compared_with_those_of_their_size() -> None:
    pressure = Pressure(8)
    for _ in range(100):
        pressure.answered(pressure.round, 1000, 0.003)
    for _ in range(100):
        pressure.answered(pressure.round, 5_000_000, 0.5)
    assert pressure.limit == 8


def test_what_stays_slow_is_usual_after_a_while() -> None:
    pressure = Pressure(8)
    calm(pressure, 100)
    calm(pressure, 20, seconds=0.5)
    assert pressure.limit < 8
    calm(pressure, 600, seconds=0.5)
    assert pressure.limit == 8


@given(
    st.integers(1, 64),
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 1 << 24), st.floats(0, 100)),
        max_size=200,
    ),
)
def test_the_limit_stays_between_one_and_the_upper_bound(
    most: int, requests: list[tuple[bool, int, int, float]]
) -> None:
    pressure = Pressure(most)
    for overloaded, late_by, size, seconds in requests:
        began_in = max(0, pressure.round - late_by)
        pressure.overloaded(began_in) if overloaded else pressure.answered(began_in, size, seconds)
        assert 1 <= pressure.limit <= most
