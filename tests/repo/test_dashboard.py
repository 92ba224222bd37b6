"""The dashboard is what its program says, fits on the screen, and names only what workers tell."""

import itertools
import json

import pytest

from tests.repo.promql import mistakes
from tools.dashboard import PAGE, dashboard, page, queries


def test_the_file_is_what_the_program_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


@pytest.mark.parametrize(("panel", "expression"), list(queries()))
def test_a_query_names_series_and_labels_that_workers_tell(panel: str, expression: str) -> None:
    assert mistakes(expression) == [], panel
    assert any(name in expression for name in ("syncline_", "process_", "ALERTS"))


def test_no_panel_lies_on_another_or_beyond_the_edge() -> None:
    panels = json.loads(PAGE.read_text(encoding="utf-8"))["panels"]
    cells = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in panels)
    ]
    assert all(0 <= x < 24 for cell in cells for x, _ in cell)
    assert not any(one & other for one, other in itertools.combinations(cells, 2))
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_it_asks_the_questions_and_every_panel_says_what_it_shows() -> None:
    panels = dashboard()["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Is search fresh?",
        "What is the bottleneck?",
        "What does embedding cost?",
        "Which tenant?",
        "What now?",
        "Is Elasticsearch well?",
    ]
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
