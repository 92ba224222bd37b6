"""The stand-in for `kubectl rollout` in incidents to practise on: revisions are kept, and one goes back to them."""

from pathlib import Path

import pytest

from tests.soak.rollout import Desired, Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    for text in ("a: 1\n", "a: 2\n", "a: 3\n"):
        found.settings.write_text(text)
        found.apply()
    return found


def test_each_change_is_a_revision(files: Files) -> None:
    assert files.numbers() == [1, 2, 3]
    assert files.desired == Desired(revision=3)
    assert files.revision(2).read_text() == "a: 2\n"


def test_undo_goes_back_by_one_and_puts_the_settings_back(files: Files) -> None:
    assert files.undo(None) == 2
    assert files.desired.revision == 2
    assert files.settings.read_text() == "a: 2\n"
    files.settings.write_text("a: 4\n")
    assert files.apply() == 4


def test_there_is_no_going_back_behind_the_first(files: Files) -> None:
    assert files.undo(1) == 1
    with pytest.raises(SystemExit, match="no revision"):
        files.undo(None)
    with pytest.raises(SystemExit, match="no revision 9"):
        files.undo(9)


def test_a_restart_is_another_generation(files: Files) -> None:
    before = files.desired
    files.ask(Desired(before.revision, before.restarts + 1, before.replicas))
    assert files.desired.generation != before.generation
