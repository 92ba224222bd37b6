"""What is in `deploy/` for Prometheus and Grafana, and which series there are for it to name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import Counter, Gauge, Histogram

from worker.metrics import Metrics

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RULE_FILES: Final = sorted((DEPLOY / "alerts").glob("*.yaml"))
TEST_FILES: Final = sorted((DEPLOY / "alerts" / "tests").glob("*.yaml"))
_SERIES: Final = re.compile(r"\b(?:syncline|process)_[a-z_]+\b(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule of `deploy/alerts`."""

    name: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


def rules(path: Path) -> list[dict[str, Any]]:
    """Return every rule of a file."""
    return [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def alerts() -> Iterator[Alert]:
    for path in RULE_FILES:
        for rule in rules(path):
            if "alert" in rule:
                yield Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"])


@cache
def series() -> dict[str, frozenset[str]]:
    """Return every series that a worker tells, with its labels."""
    metrics = Metrics()
    # What is no attribute comes from the client library: the process's own, without labels.
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    found = {sample.name: frozenset[str]() for sample in samples if sample.name.startswith("process_")}
    for metric in vars(metrics).values():
        if isinstance(metric, Histogram):
            labels = frozenset(metric._labelnames)
            found |= {f"{metric._name}_bucket": labels | {"le"}, f"{metric._name}_sum": labels}
            found[f"{metric._name}_count"] = labels
        elif isinstance(metric, (Counter, Gauge)):
            suffix = "_total" if isinstance(metric, Counter) else ""
            found[f"{metric._name}{suffix}"] = frozenset(metric._labelnames)
    return found


def mistakes(expression: str) -> list[str]:
    """Return what an expression names that no worker tells: series, and labels of them."""
    found = []
    for match in _SERIES.finditer(expression):
        name = match[0].partition("{")[0]
        if name not in series():
            found.append(name)
            continue
        used = set(_MATCHER.findall(re.sub(r'"[^"]*"', '""', match[1] or "")))
        found += [f"{name}{{{label}}}" for label in sorted(used - series()[name] - {"job", "instance"})]
    return found
