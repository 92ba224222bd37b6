"""What `syncline dead-letters list` keeps and shows, and how it understands a time."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests import builders
from tests.fakes.dead_letters import FakeDeadLetters
from worker.control.dead_letters import Filters, Listing, list_letters, listing_json, since, when
from worker.control.moments import moment
from worker.errors import OperatorError
from worker.records import Position, Record
from worker.stages.dead_letters import forms, letter

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000


class _Log(FakeDeadLetters):
    """A topic of several partitions, read one after the other in the order given."""

    def __init__(self, letters: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self._letters = letters

    @override
    async def read(self, since_ms: int | None = None) -> AsyncIterator[Record]:
        for partition, offset, at_ms in self._letters:
            record, headers = next(forms(letter(builders.record(b"{}"), "field_invalid", "map", "wrong")))
            added = tuple((name, value.encode()) for name, value in headers.items())
            position = Position("dead-letters", partition, offset)
            yield replace(record, position=position, headers=(*record.headers, *added), timestamp_ms=at_ms)


async def listed(letters: Sequence[tuple[int, int, int]], limit: int) -> Listing:
    return await list_letters(_Log(letters), Filters(), limit)


def positions(listing: Listing) -> list[str]:
    return [one["position"] for one in json.loads(listing_json(listing))["letters"]]


NEWER = [(0, offset, NOW_MS + offset) for offset in range(3)]
OLDER = [(1, offset, NOW_MS - 5 * DAY_MS + offset) for offset in range(10)]


@pytest.mark.parametrize("letters", [NEWER + OLDER, OLDER + NEWER])
async def test_the_last_are_those_put_aside_last_in_whatever_order_partitions_are_read(
    letters: list[tuple[int, int, int]],
) -> None:
    assert positions(await listed(letters, 2)) == ["0:1", "0:2"]
    assert positions(await listed(letters, 5)) == ["1:8", "1:9", "0:0", "0:1", "0:2"]
    none = await listed(letters, 0)
    assert (positions(none), none.total) == ([], 13)


async def test_letters_of_one_moment_are_in_the_order_of_their_places() -> None:
    assert positions(await listed([(1, 0, NOW_MS), (0, 1, NOW_MS), (0, 0, NOW_MS)], 2)) == ["0:1", "1:0"]


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2h", NOW_MS - 2 * 3_600_000),
        ("0d", NOW_MS),
        ("36500d", 0),
        ("0001-01-01", 0),
        ("1970-01-02", DAY_MS),
        ("20261122", datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000),
        ("2026-11-22T12:00+01:00", datetime(2026, 11, 22, 11, tzinfo=UTC).timestamp() * 1000),
    ],
)
def test_a_time_is_a_duration_with_its_unit_or_a_date(text: str, ms: int) -> None:
    assert since(text, NOW_MS) == ms


@pytest.mark.parametrize(
    "text", ["2026", "90", "1700000000000", "1701011122359", "1.5", "", "h", "soon", "9" * 400 + "d"]
)
def test_a_number_alone_is_no_time_and_the_forms_are_told(text: str) -> None:
    with pytest.raises(OperatorError, match="30m, 2h or 7d, or a date or a time, such as 2026-01-31 or"):
        since(text, NOW_MS)


@given(st.text("0123456789-:TdhmsZ.+ W", max_size=25))
def test_a_time_is_never_before_1970_and_nothing_else_is_raised(text: str) -> None:
    with contextlib.suppress(OperatorError):
        assert since(text, NOW_MS) >= 0


@given(st.integers() | st.none())
def test_no_number_is_too_odd_to_be_a_time(at_ms: int | None) -> None:
    at = moment(at_ms)
    assert at is None or 1970 <= at.year <= 9999
    assert when(at_ms)


def test_a_time_in_microseconds_is_an_impossible_one() -> None:
    assert moment(NOW_MS * 1000) is None
    assert moment(-1) is None
    assert moment(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert when(NOW_MS * 1000) == "impossible time"
    assert when(-1) == "unknown time"
