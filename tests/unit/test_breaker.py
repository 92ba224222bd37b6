import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.breaker import NEVER, Breaker, BreakerRule

RULE = BreakerRule(in_a_row=100, window=200, share=0.5)


def after(records: str, rule: BreakerRule = RULE) -> Breaker:
    """A breaker that has seen these records: `x` rejected, `.` accepted."""
    breaker = Breaker(rule)
    for record in records:
        breaker.rejected() if record == "x" else breaker.accepted()
    return breaker


@pytest.mark.parametrize(
    ("records", "is_open"),
    [
        ("", False),
        ("x" * 99, False),
        ("x" * 100, True),
        ("." * 1000 + "x" * 100, True),
        ("x" * 99 + ".", False),
        ("x." * 500, False),
        ("xx." * 67, True),
        ("xx." * 50, False),
        ("x" * 99 + "." + "x" * 2, True),
    ],
)
def test_a_hundred_in_a_row_or_more_than_half_of_the_last_two_hundred_are_too_many(records: str, is_open: bool) -> None:  # noqa: FBT001
    assert after(records).open is is_open


def test_accepted_records_close_it() -> None:
    breaker = after("x" * 300)
    closed_after = 0
    while breaker.open:
        breaker.accepted()
        closed_after += 1
    assert closed_after == 100


@given(st.text("x.", max_size=3000))
def test_whoever_switches_both_rules_off_has_none(records: str) -> None:
    assert not after(records, NEVER).open
    assert not after(records, BreakerRule(in_a_row=0, window=200, share=1)).open


@given(st.text("x.", max_size=60), st.integers(1, 10), st.integers(1, 20), st.sampled_from((0.1, 0.5, 0.9)))
def test_it_is_open_exactly_when_the_rule_says_so(records: str, in_a_row: int, window: int, share: float) -> None:
    run = len(records) - len(records.rstrip("x"))
    expected = run >= in_a_row or records[-window:].count("x") > share * window
    assert after(records, BreakerRule(in_a_row, window, share)).open is expected


def test_it_tells_what_it_counted() -> None:
    assert after(".xx").told == "2 of the last 200 records were rejected, 2 in a row"
