"""The other half of `watched`: alerts that need an Elasticsearch, a disk and a group of their own to fire.

    python -m tests.soak.watched_cluster

Two real workers, a secured Elasticsearch with a small disk and a short queue, and a real Prometheus, for which an hour
of the alert rules takes two minutes. At the end every row must be in the index as it was written last. Needs root: the
disk is a tmpfs.
"""

import asyncio
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tests.e2e.index import logged_in
from tests.e2e.process import until
from tests.servers.processes import Server
from tests.soak import verdict
from tests.soak.alerts import FASTER, Alerts, chosen
from tests.soak.disk import ballast
from tests.soak.report import Report
from tests.soak.rig import ALIAS, GROUP, TOPIC, Rig, key_of, rig
from tests.soak.surroundings import real_servers, report_folder
from tests.threads import beside

_DISK: Final = 1 << 30
_NODE: Final = {"thread_pool.write.queue_size": 10}
_SETTINGS: Final = {
    "kafka": {"session_timeout": "6s"},
    "delivery": {"retry_max": "1s", "halt_probe_interval": "1s"},
    # No query but those of the proof, which cannot be very slow on so few rows.
    "metrics": {"cluster_interval": "1s", "query_slo": "5ms"},
}
_FLOODERS: Final = 40
_MONITOR: Final = "monitor"
_PATTERNS: Final = 60


@dataclass(frozen=True, slots=True)
class Watched:
    rig: Rig
    broker: Server
    alerts: Alerts
    report: Report


def keys(one: Watched) -> None:
    """A key that is good for six days more, then one for twelve hours, then one for ninety days."""
    alert = "SynclineApiKeyExpires"
    _use_key(one.rig, "6d")
    one.alerts.fires([alert])
    _check_severity(one, alert, {"warning"})
    _use_key(one.rig, "12h")
    _becomes_critical(one, alert)
    _use_key(one.rig, "90d")
    one.alerts.clears([alert])


def _use_key(built: Rig, expiration: str) -> None:
    """Give the workers a key that may also watch the cluster; the old one goes when it is there."""
    before = built.call("GET", "/_security/api_key?name=syncline-worker&active_only=true")["api_keys"]
    body = key_of("worker") | {"expiration": expiration}
    for role in body["role_descriptors"].values():
        role["cluster"] = [_MONITOR]
        for indices in role["indices"]:
            indices["privileges"] = [*indices["privileges"], _MONITOR]
    built.key_file.write_text(built.call("POST", "/_security/api_key", body)["encoded"])
    built.call("DELETE", "/_security/api_key", {"ids": [key["id"] for key in before]})


def disk(one: Watched) -> None:
    """The node's disk fills: first above 85 %, then above 92 %."""
    alert = "SynclineDiskFilling"
    with ballast(one.rig.elasticsearch, 88):
        one.alerts.fires([alert])
        _check_severity(one, alert, {"warning"})
    with ballast(one.rig.elasticsearch, 93):
        _becomes_critical(one, alert)
    one.alerts.clears([alert])


def queries(one: Watched) -> None:
    """Somebody searches for many patterns at once."""
    patterns = [{"regexp": {"title": f".*[a-m]{{3,{10 + number % 4}}}x.*"}} for number in range(_PATTERNS)]
    body = {"size": 1, "query": {"bool": {"should": patterns}}}

    def search(stopping: threading.Event) -> None:
        while not stopping.is_set():
            one.rig.call("POST", f"/{ALIAS}/_search", body)

    with beside(search, "slow searches"):
        one.alerts.fires(["SynclineQueriesSlow"])
    one.alerts.clears(["SynclineQueriesSlow"])


def full_queue(one: Watched) -> None:
    """Somebody imports with forty connections at once: there is no room for the workers' writes."""
    alerts = ["SynclineThreadPoolRejections", "SynclineBulkRejections"]
    body = b"".join(b'{"index":{}}\n{"text":"line %d"}\n' % number for number in range(200))
    url, login = logged_in(f"{one.rig.elasticsearch}/imports-000003/_bulk?filter_path=errors")
    request = urllib.request.Request(url, body, {**login, "Content-Type": "application/x-ndjson"}, method="POST")

    def flood(stopping: threading.Event) -> None:
        while not stopping.is_set():
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()

    with ExitStack() as flooding:
        for number in range(_FLOODERS):
            flooding.enter_context(beside(flood, f"import {number}"))
        one.alerts.fires(alerts)
    one.rig.call("DELETE", "/imports-000003")
    one.alerts.clears(alerts)


def rebalances(one: Watched) -> None:
    """Somebody's script joins the workers' group and leaves it, again and again."""

    async def join_and_leave() -> None:
        consumer = AIOKafkaConsumer(
            TOPIC,
            bootstrap_servers=one.rig.kafka,
            group_id=GROUP,
            enable_auto_commit=False,
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        )
        await consumer.start()
        await consumer.stop()

    def script(stopping: threading.Event) -> None:
        while not stopping.is_set():
            asyncio.run(join_and_leave())

    with beside(script, "script"):
        one.alerts.fires(["SynclineRebalancing"])
    one.alerts.clears(["SynclineRebalancing"])


def commits(one: Watched) -> None:
    """Somebody has restarted the broker with a setting that leaves commits no room for the worker's metadata."""
    before = Path(one.broker.command[-1]).read_text()
    _restart(one.broker, f"{before}offset.metadata.max.bytes=1\n")
    try:
        one.alerts.fires(["SynclineCommitsFail"])
    finally:
        _restart(one.broker, before)
    one.alerts.clears(["SynclineCommitsFail"])


def _restart(broker: Server, settings: str) -> None:
    Path(broker.command[-1]).write_text(settings)
    broker.stop()
    broker.start()


def _becomes_critical(one: Watched, alert: str) -> None:
    one.alerts.until(alert, "is critical too", lambda: "critical" in _severities(one, alert), 60)


def _severities(one: Watched, alert: str) -> set[str]:
    firing: Iterable[dict[str, Any]] = one.rig.prometheus.alerts()
    return {
        found["labels"]["severity"]
        for found in firing
        if found["state"] == "firing" and found["labels"]["alertname"] == alert
    }


def _check_severity(one: Watched, alert: str, wanted: set[str]) -> None:
    if (found := _severities(one, alert)) != wanted:
        one.report.violation(f"{alert} fires as {sorted(found)}, not as {sorted(wanted)}")


STEPS: Final[Sequence[Callable[[Watched], None]]] = (keys, disk, queries, full_queue, rebalances, commits)


def main() -> int:
    steps = chosen(STEPS)
    report = Report("A cluster in trouble, watched by Prometheus", report_folder("watched-cluster", 0))
    folder = report.folder / "rig"
    folder.mkdir()
    with (
        report.closing(),
        real_servers(report.folder) as servers,
        rig(servers, folder, disk_bytes=_DISK, seed=1, node=_NODE, settings=_SETTINGS, times=FASTER) as built,
    ):
        until(lambda: built.deployment.ready, "the workers are not ready", 240, every_s=1)
        one = Watched(built, servers.process("kafka"), Alerts(built.prometheus, report), report)
        with beside(built.load.run, "load"):
            report.log("workers and Prometheus are ready")
            for step in steps:
                began = time.monotonic()
                step(one)
                report.figure(f"step {step.__name__}", f"{time.monotonic() - began:.0f} s")
            findings = verdict.while_loaded(built)
        verdict.tell(report, [*findings, *verdict.at_rest(built)])
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
