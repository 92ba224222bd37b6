"""Alerts name what there is, say what to do, and are tested both ways. `integration/test_promtool.py` runs them."""

import re
from typing import Any

import pytest
import yaml

from tests.repo.promql import DEPLOY, RULE_FILES, TEST_FILES, Alert, alerts, mistakes, rules
from worker.errors import HaltReason

RUNBOOK = (DEPLOY / "README.md").read_text(encoding="utf-8")
ALERTS = list(alerts())
PROOFS = sorted((DEPLOY.parent / "tests" / "soak").glob("watched*.py"))
PARTS = ["For users", "Confirm", "Do", "Do not"]


def entry(title: str) -> str | None:
    """Return what stands under a heading of the runbook."""
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    return found and found[1]


def cases() -> list[dict[str, Any]]:
    return [case for path in TEST_FILES for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.labels['severity']}")
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: Alert) -> None:
    assert alert.labels["severity"] in {"critical", "warning"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"deploy/README.md#{alert.name.lower()}"
    assert len(alert.annotations["summary"]) < 100


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_rules_name_series_and_labels_that_workers_tell(path: Any) -> None:  # noqa: ANN401 - pytest's
    recorded = {rule["record"] for rule in rules(path) if "record" in rule}
    for rule in rules(path):
        assert mistakes(rule["expr"]) == []
        assert set(re.findall(r"\bsyncline:[a-z0-9_:]+", rule["expr"])) <= recorded


@pytest.mark.parametrize("title", [*sorted({alert.name for alert in ALERTS}), *(f"Halt {one}" for one in HaltReason)])
def test_the_runbook_says_what_to_do_at_every_alert_and_every_halt(title: str) -> None:
    text = entry(title)
    assert text is not None, f"deploy/README.md has no heading '### {title}'"
    assert re.findall(r"^- \*\*([A-Z][a-z ]+)\*\*", text, re.MULTILINE) == PARTS


def test_the_runbook_has_no_entry_for_what_cannot_be() -> None:
    known = {alert.name for alert in ALERTS} | {f"Halt {reason}" for reason in HaltReason}
    titles = re.findall(r"^### (Syncline\w+|Halt \w+)$", RUNBOOK, re.MULTILINE)
    assert set(titles) == known
    assert len(titles) == len(known)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.labels['severity']}")
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alert: Alert) -> None:
    own = [case for case in cases() if f'alertname="{alert.name}"' in case["promql_expr_test"][0]["expr"]]
    told = [one for case in own for one in case["promql_expr_test"][0]["exp_samples"]]
    which = alert.labels.get("long_window", alert.labels["severity"])
    assert any(f'"{which}"' in one["labels"] for one in told), "no case fires"
    assert any(not case["promql_expr_test"][0]["exp_samples"] for case in own), "no case is quiet"


def test_every_alert_is_waited_for_on_a_real_prometheus() -> None:
    steps = "".join(path.read_text(encoding="utf-8") for path in PROOFS)
    assert [alert.name for alert in ALERTS if f'"{alert.name}"' not in steps] == []


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_a_case_is_about_the_alert_and_the_outcome_that_it_names(case: dict[str, Any]) -> None:
    alert, outcome = case["name"].split()[:2]
    (question,) = case["promql_expr_test"]
    assert f'alertname="{alert}"' in question["expr"]
    assert (outcome == "fires") == bool(question["exp_samples"])
    assert [fault for one in case["input_series"] for fault in mistakes(one["series"])] == []
