"""The page of figures is what the benchmarks found last, all of them."""

import json

from tests.benchmarks.__main__ import SCENARIOS
from tools.performance_docs import DOCS, RESULTS, rendered


def test_the_page_is_what_was_measured() -> None:
    assert DOCS.read_text(encoding="utf-8") == rendered(json.loads(RESULTS.read_text(encoding="utf-8"))), (
        "run: make docs"
    )


def test_no_figure_is_of_a_quick_run() -> None:
    scenarios = json.loads(RESULTS.read_text(encoding="utf-8"))["scenarios"]
    assert not [name for name, one in scenarios.items() if "--quick" in one["command"]]


def test_every_scenario_is_there() -> None:
    scenarios = json.loads(RESULTS.read_text(encoding="utf-8"))["scenarios"]
    assert scenarios.keys() == SCENARIOS.keys()
