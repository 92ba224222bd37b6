"""The dashboard is what its program says, fits on the screen, and names only what workers tell."""

import itertools
import json
from typing import Any

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
    opened = [[panel, *panel["panels"]] for panel in panels if panel.get("collapsed")]
    for together in (panels, *opened):
        cells = [cells_of(panel) for panel in together]
        assert all(0 <= x < 24 for cell in cells for x, _ in cell)
        assert not any(one & other for one, other in itertools.combinations(cells, 2))
    numbers = [panel["id"] for panel in (*panels, *(inner for row in opened for inner in row[1:]))]
    assert len(set(numbers)) == len(numbers)


def cells_of(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_what_all_need_at_once_fits_on_a_screen() -> None:
    """A unit of height is 38 pixels: of 1080, what the browser and Grafana leave."""
    whole = [panel for panel in dashboard()["panels"] if not panel.get("collapsed")]
    assert max(y for panel in whole for _, y in cells_of(panel)) < 24
    assert whole == dashboard()["panels"][: len(whole)]


def test_it_asks_the_questions_and_every_panel_says_what_it_shows() -> None:
    panels = dashboard()["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Is search fresh?",
        "What is the bottleneck?",
        "Which tenant?",
        "What now?",
        "More on the bottleneck",
        "What does embedding cost?",
        "Is Elasticsearch well?",
    ]
    inside = [inner for panel in panels for inner in panel.get("panels", [])]
    assert inside
    assert all(panel["description"] for panel in (*panels, *inside) if panel["type"] != "row")
