"""A Prometheus of one test, and what one asks it."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers import processes
from tests.servers.processes import LOOPBACK, Server
from tests.servers.prometheus.programs import prometheus

JOB = "syncline"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Scrapes and evaluates every two seconds."""

    url: str
    server: Server

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, pending ones too."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return found

    def value(self, expression: str) -> float | None:
        """The only value of an expression now; None if it has none."""
        found = self._get(f"query?query={urllib.parse.quote(expression)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data


def prepare(folder: Path, targets: Sequence[str], rules: Mapping[str, Any]) -> Prometheus:
    """Configure one under `folder`, still to be started. `targets` are `host:port`."""
    folder.mkdir(parents=True)
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = processes.free_ports(1)
    url = f"http://{LOOPBACK}:{port}"
    command = [
        str(prometheus()),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    log = folder / "prometheus.log"
    return Prometheus(url, Server("Prometheus", command, log, lambda _: processes.http_ok(f"{url}/-/ready")))
