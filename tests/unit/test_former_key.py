"""A row whose key changed: the values that its event leaves out are still at the place of its former key."""

from dataclasses import replace

import orjson
import pytest

from tests.builders import change, deletion, place, stored, unit
from worker.errors import RejectReason
from worker.records import Change, Place, Rejection, Stay, Stored
from worker.stages.coalesce import coalesce, with_values_of
from worker.stages.embedding_text import text_hash
from worker.stages.planning import NeedsVector, Plan, Ready, plan

MODEL = "model@1"
FORMER = place(row_id=2)


def moved(version: int = 5, **others: object) -> Change:
    """The second half of a key change from 2 to 1, which leaves `content` out."""
    newest = change(version, fields={"title": "Title"}, absent=["content"])
    return replace(newest, former={FORMER: (Stay(0, version),)}, **others)  # type: ignore[arg-type]


def decided(newest: Change, known: dict[Place, Stored]) -> Plan:
    alone = unit(newest)
    return plan(alone, {one: known.get(one) for one in alone.places}, ("title", "content"), MODEL, 0)


def test_the_former_place_is_looked_up_after_the_rows_own_and_those_that_it_left() -> None:
    left = moved(left=frozenset({place("globex")}))
    assert unit(left).places == (place(), place("globex"), FORMER)
    assert unit(moved(left=frozenset({FORMER}))).places == (place(), FORMER)


def test_values_are_taken_from_there_and_no_tombstone_is_written_there() -> None:
    needed = decided(moved(), {FORMER: stored(4, body={"title": "old", "content": "kept"})})
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "Title", "content": "kept"}
    assert needed.tombstones == ()


def test_the_vector_moves_along_where_the_text_is_the_same() -> None:
    former = stored(4, text_hash=text_hash("Title kept"), model=MODEL, vector=(0.5,), body={"content": "kept"})
    ready = decided(moved(), {FORMER: former})
    assert isinstance(ready, Ready)
    assert ready.reused
    assert [(write.place, write.tombstone) for write in ready.writes] == [(place(), False)]
    assert orjson.loads(ready.writes[0].body)["content"] == "kept"


@pytest.mark.parametrize(
    "former", [None, stored(5, deleted=True), stored(5, body={"content": "x"}), stored(9, body={"content": "x"})]
)
def test_what_is_gone_or_may_be_another_rows_by_now_is_not_taken(former: Stored | None) -> None:
    """The other half of the change has the same version; a newer one is that of a row that took the key over."""
    rejection = decided(moved(), {} if former is None else {FORMER: former})
    assert isinstance(rejection, Rejection)
    assert rejection.reason is RejectReason.UNCHANGED_VALUE_LOST


def test_the_rows_own_document_comes_first() -> None:
    own, former = stored(4, body={"content": "own"}), stored(4, body={"content": "former"})
    needed = decided(moved(), {place(): own, FORMER: former})
    assert isinstance(needed, NeedsVector)
    assert needed.fields["content"] == "own"


def test_what_was_there_before_the_row_was_is_another_row_s() -> None:
    other, kept = stored(4, body={"content": "another row's"}), stored(3, body={"content": "kept"})
    entering = replace(moved(5), born=5)
    for one in (entering, coalesce(entering, change(6, fields={"title": "new"}, absent=["content"]))):
        needed = decided(one, {place(): other, FORMER: kept})
        assert isinstance(needed, NeedsVector)
        assert needed.fields["content"] == "kept"
    later = replace(change(6, fields={"title": "new"}, absent=["content"]), born=5)
    needed = decided(later, {place(): stored(5, body={"content": "own"})})
    assert isinstance(needed, NeedsVector)
    assert needed.fields["content"] == "own"


def test_a_later_change_that_leaves_the_same_out_still_finds_it_at_the_former_place() -> None:
    later = change(6, fields={"title": "new"}, absent=["content"])
    found = coalesce(moved(5), later)
    assert found.former == {FORMER: (Stay(0, 5),)}
    assert found.absent == {"content"}
    needed = decided(found, {FORMER: stored(4, body={"content": "kept"})})
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "new", "content": "kept"}


@pytest.mark.parametrize(("version", "taken"), [(2, False), (3, True), (4, True), (5, False)])
def test_at_a_former_place_only_the_time_counts_in_which_the_row_was_there(version: int, *, taken: bool) -> None:
    """From 3 on: before, the key was another row's, whose deletion waits with the row's former state."""
    before = replace(change(3, row_id=2, fields={}, absent=["content"]), born=3)
    found = with_values_of(moved(5), before)
    assert found.former == {FORMER: (Stay(3, 5),)}
    decision = decided(found, {FORMER: stored(version, body={"content": "kept"})})
    assert isinstance(decision, NeedsVector) is taken


def test_a_row_that_is_back_at_a_former_place_has_its_own_values_there() -> None:
    """It came at 1, was elsewhere from 3 to 5, and has changed since it is back."""
    away = replace(change(3, row_id=2, fields={}, absent=["content"]), born=3, former={place(): (Stay(1, 3),)})
    back = replace(with_values_of(moved(5), away), born=5)
    later = coalesce(back, change(6, fields={"title": "new"}, absent=["content"]))
    for version, taken in ((0, False), (1, True), (2, True), (3, False), (4, False), (5, True)):
        decision = decided(later, {place(): stored(version, body={"content": "kept"})})
        assert isinstance(decision, NeedsVector) is taken, version
    assert isinstance(decided(later, {FORMER: stored(4, body={"content": "kept"})}), NeedsVector)


def test_a_row_that_leaves_again_was_at_its_former_place_twice() -> None:
    back = replace(change(5, row_id=2, fields={}, absent=["content"]), born=5, former={FORMER: (Stay(1, 3),)})
    found = with_values_of(moved(7), back)
    assert found.former == {FORMER: (Stay(1, 3), Stay(5, 7))}
    for version, taken in ((0, False), (2, True), (3, False), (4, False), (5, True), (7, False)):
        decision = decided(found, {FORMER: stored(version, body={"content": "kept"})})
        assert isinstance(decision, NeedsVector) is taken, version


def test_a_delete_between_ends_what_the_former_place_can_give() -> None:
    gone = coalesce(moved(5), deletion(6))
    assert not gone.former
    assert not coalesce(gone, change(7, fields={}, absent=["content"])).former


def test_an_older_change_that_comes_later_gives_nothing() -> None:
    assert not coalesce(change(6), moved(5)).former


def test_a_deleted_row_leaves_tombstones_at_its_places_and_none_at_a_former_one() -> None:
    gone = replace(deletion(5, left=["globex"]), former={FORMER: (Stay(0, 5),)})
    ready = decided(gone, {})
    assert isinstance(ready, Ready)
    assert [write.place for write in ready.writes] == [place(), place("globex")]
