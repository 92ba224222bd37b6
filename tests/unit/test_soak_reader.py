"""The reader of the long proofs sees what it is there to see."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.index import Document
from tests.soak.reader import Reader
from tests.soak.report import Report


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report("Reader", tmp_path)


def reader(report: Report, only: Mapping[str, Mapping[str, int]] | None = None) -> Reader:
    return Reader("http://nowhere", "articles", ["acme", "globex"], report, 1, only)


def shown(revision: int, version: int | None = None, tenant: str = "acme", wrong: str = "") -> Document:
    """A document that is in order, but for what is `wrong`: it names another tenant."""
    named = {name: "globex" if name == wrong else tenant for name in ("routing", "field", "tag")}
    body = {"tenant": named["field"], "tags": [named["tag"], str(revision)], "sync": {}}
    return Document(f"{tenant}/rows/1", named["routing"], revision if version is None else version, body)


def test_what_is_in_order_is_no_violation(report: Report) -> None:
    looking = reader(report)
    for documents in ([shown(1)], [shown(2)], [], [shown(4)], [shown(4)], []):
        looking._look("acme", documents)
    assert report.violations == []
    assert report.exit_code == 0
    assert (looking.views, looking.documents, looking.disappeared) == (6, 4, 2)


@pytest.mark.parametrize("wrong", ["routing", "field", "tag"])
def test_another_tenants_row_is_seen(report: Report, wrong: str) -> None:
    reader(report)._look("acme", [shown(1, wrong=wrong)])
    assert len(report.violations) == 1
    assert "acme sees acme/rows/1" in report.violations[0]


def test_so_is_one_that_is_in_the_wrong_view_as_a_whole(report: Report) -> None:
    reader(report)._look("acme", [shown(1, tenant="globex")])
    assert "acme sees globex/rows/1 of ['globex']" in report.violations[0]


def test_a_tombstone_that_a_tenant_sees(report: Report) -> None:
    found = Document("acme/rows/1", "acme", 2, {"tenant": "acme", "tags": ["acme", "1"], "sync": {"deleted": True}})
    reader(report)._look("acme", [found])
    assert "tombstone" in report.violations[0]


def test_a_version_that_falls(report: Report) -> None:
    looking = reader(report)
    looking._look("acme", [shown(1, version=7)])
    looking._look("acme", [shown(2, version=6)])
    assert "fell from version 7 to 6" in report.violations[0]


def test_a_row_that_comes_back_as_it_was(report: Report) -> None:
    looking = reader(report)
    for documents in ([shown(3)], [], [shown(3, version=9)]):
        looking._look("acme", documents)
    assert "came back" in report.violations[0]


def test_a_row_whose_content_falls_back_under_a_new_version(report: Report) -> None:
    looking = reader(report)
    looking._look("acme", [shown(3, version=3)])
    looking._look("acme", [shown(2, version=4)])
    assert "came back" in report.violations[0]


def test_anything_else_than_the_one_picture(report: Report) -> None:
    looking = reader(report, {"acme": {"acme/rows/1": 3}, "globex": {}})
    looking._look("acme", [shown(3)])
    looking._look("globex", [])
    assert report.violations == []
    looking._look("globex", [shown(1, tenant="globex")])
    assert "differently" in report.violations[0]


def test_the_report_says_what_was_wrong_and_how_it_ended(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    report.figure("events", 1234567)
    with pytest.raises(KeyError), report.closing():
        raise KeyError("a table")
    text = (report.folder / "report.md").read_text()
    assert text.startswith("# Reader: FAILED")
    assert "| events | 1,234,567 |" in text
    assert "ended by KeyError" in text
    assert report.exit_code == 1
    assert text in capsys.readouterr().out
