"""What a truncate does to a change that comes late, decided without a pipeline."""

import orjson
import pytest

from tests.builders import change, deletion, place, record, stored, unit
from worker.records import Change, Place, RowPlace, Stored, Truncate
from worker.stages.coalesce import coalesce
from worker.stages.documents import tombstone
from worker.stages.planning import NeedsVector, Plan, Ready, Superseded, plan
from worker.stages.truncate import deletions, guarded, kept_out, marker, marking

MARKER = marker("articles")
NOW_MS = 1_000


def planned(one: Change, truncated: int | None, there: Stored | None = None, **elsewhere: Stored) -> Plan:
    known: dict[Place, Stored | None] = dict.fromkeys(unit(one).places)
    known |= {one.place: there, **{place(tenant): what for tenant, what in elsewhere.items()}}
    known[MARKER] = None if truncated is None else stored(truncated, deleted=True)
    return kept_out(one, plan(unit(one), known, ("title",), "model", NOW_MS), known, NOW_MS)


@pytest.mark.parametrize("truncated", [None, 1, 9])
def test_a_change_that_is_newer_than_the_truncate_or_has_none_goes_its_way(truncated: int | None) -> None:
    assert isinstance(planned(guarded(change(10)), truncated), NeedsVector)


@pytest.mark.parametrize("truncated", [10, 11, 100])
def test_an_older_change_leaves_the_truncates_tombstone_where_nothing_keeps_it_out(truncated: int) -> None:
    for there in (None, stored(5), stored(5, deleted=True)):
        decision = planned(guarded(change(10)), truncated, there)
        assert isinstance(decision, Ready)
        (write,) = decision.writes
        assert (write.place, write.version, write.tombstone) == (place(), truncated, True)


@pytest.mark.parametrize("there", [stored(10), stored(10, deleted=True), stored(50, deleted=True), stored(200)])
def test_where_something_newer_is_stored_already_nothing_is_written(there: Stored) -> None:
    assert isinstance(planned(guarded(change(10)), 100, there), Superseded)


def test_places_that_an_older_change_has_left_are_cleared_too() -> None:
    decision = planned(guarded(change(10, left=["globex"])), 100, globex=stored(5))
    assert isinstance(decision, Ready)
    assert {(write.place, write.version) for write in decision.writes} == {(place("globex"), 10), (place(), 100)}


def test_a_delete_leaves_its_own_tombstone() -> None:
    decision = planned(guarded(deletion(10)), 100)
    assert isinstance(decision, Ready)
    assert [write.version for write in decision.writes] == [10]


def test_a_change_without_a_position_counts_where_it_stands_behind_the_truncate() -> None:
    assert isinstance(planned(guarded(change(100, positioned=False)), 100), NeedsVector)
    assert isinstance(planned(guarded(change(99, positioned=False)), 100), Ready)


def test_other_sources_do_not_look_at_the_marker() -> None:
    one = change(10)
    assert MARKER not in unit(one).places
    decision = Superseded()
    assert kept_out(one, decision, {one.place: None}, NOW_MS) is decision


def test_a_coalesced_change_still_looks_at_the_marker() -> None:
    for first, second in ((change(5), change(6)), (change(6), change(5)), (change(5), deletion(6))):
        both = coalesce(guarded(first), guarded(second))
        assert MARKER in both.key_places
        assert MARKER not in both.left


def test_found_documents_and_the_marker_become_tombstones_of_the_truncates_version() -> None:
    truncate, row = Truncate(100), RowPlace("articles/1", place())
    (gone,) = deletions(record(), truncate, "articles", [row])
    for one, key, where in (
        (gone, "articles/1", place()),
        (marking(record(), truncate, "articles"), "articles", MARKER),
    ):
        write = tombstone(one, one.place, NOW_MS)
        assert (write.place, write.version, write.version_type) == (where, 100, "external")
        assert orjson.loads(write.body) == {
            "sync": {"source": "articles", "key": key, "version": 100, "deleted": True, "deleted_at": NOW_MS}
        }


def test_markers_of_two_sources_are_two() -> None:
    assert marker("articles") != marker("article")
