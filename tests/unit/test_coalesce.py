import pytest

from tests.builders import change, deletion, place
from worker.records import Change
from worker.stages.coalesce import coalesce


def test_the_newer_version_wins_whichever_came_first() -> None:
    old, new = change(1, fields={"title": "old"}), change(2, fields={"title": "new"})
    assert coalesce(old, new) == new
    assert coalesce(new, old) == new


def test_of_equal_versions_the_later_wins() -> None:
    """A snapshot's row takes the watermark, which may be the version of the change before it."""
    streamed, snapshot = change(5), change(5, positioned=False, fields={"title": "snapshot"})
    assert coalesce(streamed, snapshot) == snapshot


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
