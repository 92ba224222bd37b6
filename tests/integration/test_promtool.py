"""Metrics, alerts and dashboard as Prometheus' own tool sees them."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.exposition import generate_latest

from tests.repo.promql import DEPLOY, RULE_FILES, TEST_FILES, alerts
from tests.servers.prometheus.programs import promtool
from tools.dashboard import queries
from worker.metrics import Metrics

# promtool is built at first use, which takes minutes.
pytestmark = [pytest.mark.needs_jvm, pytest.mark.timeout(1800)]


def told(*arguments: object, stdin: str = "") -> str:
    """Run promtool; fails with what it says."""
    command = [str(promtool()), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def exposition() -> str:
    """Return every metric of a worker with at least one series."""
    metrics = Metrics()
    for metric in vars(metrics).values():
        if labels := getattr(metric, "_labelnames", ()):
            metric.labels(*["some"] * len(labels))
    return generate_latest(metrics.registry).decode()


def test_the_linter_finds_nothing_in_the_names_of_metrics() -> None:
    assert told("check", "metrics", stdin=exposition()) == ""


def test_the_linter_would_find_something() -> None:
    with pytest.raises(AssertionError, match="base unit"):
        told("check", "metrics", stdin="# HELP lag_milliseconds L\n# TYPE lag_milliseconds gauge\nlag_milliseconds 1\n")


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_rules_are_valid(path: Path) -> None:
    assert "SUCCESS" in told("check", "rules", "--lint-fatal", path)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_every_alert_fires_when_it_should_and_is_quiet_when_it_should_not(path: Path) -> None:
    assert "SUCCESS" in told("test", "rules", path)


def test_what_an_alert_says_is_a_sentence(tmp_path: Path) -> None:
    halted = next(alert for alert in alerts() if alert.name == "SynclineHalted")
    series = 'syncline_halted{job="search",instance="a",reason="write_blocked"}'
    said = {"{{ $labels.reason }}": "write_blocked", "{{ $labels.job }}": "search", "{{ $value }}": "1"}
    expected = {
        "exp_labels": {"severity": "critical", "job": "search", "reason": "write_blocked"},
        "exp_annotations": {name: _filled_in(text, said) for name, text in halted.annotations.items()},
    }
    assert expected["exp_annotations"]["summary"] == "Syncline is halted: write_blocked (search)"
    assert "Workers that consume nothing: 1." in expected["exp_annotations"]["description"]
    assert "'Halt write_blocked' in the runbook" in expected["exp_annotations"]["description"]
    case = {
        "input_series": [{"series": series, "values": "1x10"}],
        "alert_rule_test": [{"alertname": "SynclineHalted", "eval_time": "5m", "exp_alerts": [expected]}],
    }
    file = tmp_path / "case.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(DEPLOY / "alerts" / "worker.yaml")], "tests": [case]}))
    told("test", "rules", file)


def _filled_in(text: str, said: Mapping[str, str]) -> str:
    for name, value in said.items():
        text = text.replace(name, value)
    return text


def test_every_query_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    found = [expression for _, expression in queries()]
    plain = [one.replace("$__rate_interval", "5m").replace("$job", ".*") for one in found]
    rules = [{"record": f"query:{number}", "expr": one} for number, one in enumerate(plain)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(found)} rules found" in told("check", "rules", file)
