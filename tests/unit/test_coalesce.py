from dataclasses import replace
from functools import reduce

import pytest

from tests.builders import change, deletion, key_place, located, place, untold_deletion
from worker.records import Change
from worker.stages.coalesce import coalesce


def test_the_newer_version_wins_whichever_came_first() -> None:
    old, new = change(1, fields={"title": "old"}), change(2, fields={"title": "new"})
    assert coalesce(old, new) == new
    assert coalesce(new, old) == new


def test_of_two_changes_with_one_position_the_first_stays() -> None:
    """As it does where the first is stored already: Elasticsearch refuses an equal external version."""
    first, second = change(5), change(5, tenant="globex", fields={"title": "second"})
    assert coalesce(first, second) == replace(first, left=frozenset({place("globex")}))


def test_a_change_without_a_position_wins_over_an_equal_one_before_it() -> None:
    """A snapshot's row takes the watermark, which may be the version of the change before it."""
    streamed, snapshot = change(5), change(5, positioned=False, fields={"title": "snapshot"})
    again = change(5, positioned=False, fields={"title": "again"})
    assert coalesce(streamed, snapshot) == replace(snapshot, hides=5)
    assert coalesce(snapshot, again) == again
    assert coalesce(snapshot, streamed) == replace(snapshot, hides=5)


def test_a_change_without_a_position_remembers_the_newest_positioned_one_that_it_hides() -> None:
    changes = [change(3), change(7), change(9, positioned=False), change(8), change(9, positioned=False)]
    assert reduce(coalesce, changes).hides == 8
    assert reduce(coalesce, [*changes, change(10)]).hides == 0


# --- rows whose places no event tells


def test_whatever_is_hidden_the_row_is_located_if_one_of_its_changes_wants_it() -> None:
    told, untold = change(2), located(change(1))
    for found in (coalesce(told, untold), coalesce(untold, told)):
        assert found.locates
        assert found.key_places == {key_place()}


def test_a_delete_that_knows_no_tenant_leaves_the_places_that_it_hides_and_the_place_of_its_key() -> None:
    found = coalesce(located(change(1)), untold_deletion(2))
    assert found.place == key_place()
    assert found.left == {place()}


def test_a_row_that_is_there_again_has_not_left_the_place_of_its_key() -> None:
    """A tombstone of its own version there would hide the row from itself, if it is all that gets written."""
    found = coalesce(untold_deletion(1), located(change(2)))
    assert (found.place, found.left) == (place(), frozenset())
    found = coalesce(coalesce(untold_deletion(1), located(change(2))), located(change(3, tenant="globex")))
    assert found.left == {place()}


def test_a_delete_hides_the_rows_last_state_and_a_later_insert_hides_the_delete() -> None:
    assert coalesce(change(1), deletion(2)) == deletion(2)
    assert coalesce(deletion(2), change(3)) == change(3)


def test_the_losers_place_and_what_it_left_are_left_by_the_winner() -> None:
    first, second = change(2, tenant="b", left=["a"]), change(3, tenant="c", left=["b"])
    for found in (coalesce(first, second), coalesce(second, first)):
        assert found.place == place("c")
        assert found.left == {place("a"), place("b")}


def test_a_row_that_comes_back_has_not_left_its_place() -> None:
    away, back = change(2, tenant="b", left=["a"]), change(3, tenant="a", left=["b"])
    assert coalesce(away, back).left == coalesce(back, away).left == {place("b")}


def test_an_unchanged_value_is_taken_from_the_change_before() -> None:
    waiting = change(1, fields={"title": "old", "content": "kept"})
    found = coalesce(waiting, change(2, fields={"title": "new"}, absent=["content"]))
    assert found.fields == {"title": "new", "content": "kept"}
    assert found.absent == frozenset()


def test_a_null_value_of_the_change_before_is_a_value() -> None:
    found = coalesce(change(1, fields={"content": None}), change(2, fields={}, absent=["content"]))
    assert (found.fields, found.absent) == ({"content": None}, frozenset())


def test_a_value_that_the_change_before_left_out_as_well_stays_absent() -> None:
    waiting = change(1, fields={"title": "old"}, absent=["content", "url"])
    found = coalesce(waiting, change(2, fields={}, absent=["title", "content"]))
    assert (found.fields, found.absent) == ({"title": "old"}, frozenset({"content"}))


def test_a_value_filled_in_remembers_the_version_that_it_is_from() -> None:
    """The change before may be an old event that was sent again: what is stored may be newer."""
    oldest = change(1, fields={"title": "first", "content": "kept"})
    older = coalesce(oldest, change(2, fields={"title": "second"}, absent=["content"]))
    found = coalesce(older, change(3, fields={}, absent=["title", "content"]))
    assert found.fields == {"title": "second", "content": "kept"}
    assert found.inherited == {"title": 2, "content": 1}


@pytest.mark.parametrize("older", [change(1, fields={"content": "stale"}), change(1, fields={"content": None})])
def test_an_older_change_that_comes_later_fills_nothing_in(older: Change) -> None:
    """It is a repetition: between it and the winner the value may have changed."""
    waiting = change(5, fields={"title": "new"}, absent=["content"])
    found = coalesce(waiting, older)
    assert (found.fields, found.absent) == ({"title": "new"}, frozenset({"content"}))


def test_a_delete_has_nothing_to_fill_in_from_nor_is_it_filled() -> None:
    assert coalesce(deletion(1), change(2, fields={}, absent=["content"])).absent == {"content"}
    assert coalesce(change(1), deletion(2)).fields == {}


def test_for_a_place_that_hidden_changes_mention_the_newest_mention_is_known() -> None:
    """One by one, the tombstone of `a` would have had version 2, and that of `b` version 3."""
    first, second, third = change(1, tenant="a"), change(2, tenant="b", left=["a"]), change(3, tenant="c", left=["b"])
    found = coalesce(coalesce(first, second), third)
    assert found.left == {place("a"), place("b")}
    assert found.left_at == {place("a"): 2}


def test_without_a_mention_of_the_move_the_place_itself_is_one() -> None:
    assert coalesce(change(1, tenant="a"), change(3, tenant="c")).left_at == {place("a"): 1}
    assert coalesce(change(3, tenant="c"), change(1, tenant="a")).left_at == {place("a"): 1}
