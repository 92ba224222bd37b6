"""A real Prometheus looks at two real workers while faults are injected: alerts fire, and clear.

    python -m tests.soak.watched

The rules are those of `deploy/alerts`, with an hour in two minutes. Lag and freshness, as Prometheus tells them, are
compared with what Kafka, PostgreSQL and Elasticsearch say themselves: they may differ by a tenth.
"""

import asyncio
import sys
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Final

import psycopg
from aiokafka import AIOKafkaConsumer

from tests.e2e import kafka_log
from tests.e2e.index import call
from tests.e2e.process import until
from tests.e2e.scene import Scene, Table, scene
from tests.repo.promql import RULE_FILES
from tests.servers.processes import LOOPBACK
from tests.servers.prometheus.rules import faster
from tests.servers.prometheus.server import Prometheus, prepare
from tests.soak.alerts import FASTER, Alerts, chosen
from tests.soak.direct import send_unreadable
from tests.soak.fleet import Fleet
from tests.soak.report import Report
from tests.soak.surroundings import create_topic, real_servers, report_folder, tiny_model
from tests.threads import beside
from worker.errors import HaltReason

DEAD_LETTERS: Final = "watched.dead-letters"
KAFKA: Final = {"dead_letter_topic": DEAD_LETTERS}
DELIVERY: Final = {"halt_probe_interval": "1s", "retry_max": "1s", "drain_timeout": "5s"}
METRICS: Final = {"freshness_slo": "1s", "cluster_interval": "1s"}
_TENANTS: Final = ("acme", "globex", "initech")
_SAMPLES: Final = 60
_TOLERANCE: Final = 0.1
_FAST_BURN: Final = 'count(ALERTS{alertname="SynclineFreshnessBudgetBurn", long_window="1h", alertstate="firing"})'


class Watched:
    """The scene, its workers and their Prometheus."""

    def __init__(self, built: Scene, fleet: Fleet, prometheus: Prometheus, report: Report) -> None:
        self.built = built
        self.fleet = fleet
        self.prometheus = prometheus
        self.report = report
        self.alerts = Alerts(prometheus, report)
        self._next = 0

    def insert(self) -> int:
        """Commit one row; return its id."""
        self._next += 1
        self.built.insert(self.tenant(self._next), self._next, f"Row {self._next}", "Something to read")
        return self._next

    def tenant(self, row: int) -> str:
        return _TENANTS[row % len(_TENANTS)]

    @contextmanager
    def changes(self, every_s: float = 0.03) -> Iterator[None]:
        """Commit rows one after the other while the block runs."""

        def change(stopping: threading.Event) -> None:
            while not stopping.wait(every_s):
                self.insert()

        with beside(change, "changes"):
            yield

    def agree(self, what: str, told: float | None, measured: float) -> None:
        """Compare what Prometheus tells with what was measured without it."""
        off = abs((told or 0) - measured) / measured
        self.report.figure(what, f"told {told or 0:.3f}, measured {measured:.3f}: {off:.1%} apart")
        if told is None or off > _TOLERANCE:
            self.report.violation(f"{what}: Prometheus tells {told}, measured {measured}")


def calm(one: Watched) -> None:
    """Nothing is wrong, and no alert says otherwise."""
    with one.changes():
        until(lambda: bool(one.prometheus.value("sum(syncline_assigned_partitions) >= 3")), "no partitions", 60)
        # The first rows of a fresh connector and the loading of models are late.
        one.alerts.clears(["SynclineFreshnessBudgetBurn", "SynclineBehind", "SynclineAbsent"])
        time.sleep(20)
        if firing := one.prometheus.firing() - {"SynclineFreshnessBudgetBurn"}:
            one.report.violation(f"nothing is wrong, and yet there fire {sorted(firing)}")
    one.report.log("a calm time has passed")


def freshness(one: Watched) -> None:
    """Each row is looked for from its commit on."""
    one.fleet.settle(120)
    total, count = "sum(syncline_freshness_seconds_sum)", "sum(syncline_freshness_seconds_count)"
    time.sleep(4)
    before = (one.prometheus.value(total) or 0, one.prometheus.value(count) or 0)
    seen = [_seconds_until_stored(one, one.insert()) for _ in range(_SAMPLES)]
    time.sleep(6)
    after = (one.prometheus.value(total) or 0, one.prometheus.value(count) or 0)
    if after[1] - before[1] != _SAMPLES:
        one.report.violation(f"{_SAMPLES} rows were committed, the histogram counts {after[1] - before[1]:g}")
    one.agree("freshness, seconds, mean", (after[0] - before[0]) / max(1, after[1] - before[1]), mean(seen))


def _seconds_until_stored(one: Watched, row: int) -> float:
    committed = time.time()
    tenant = one.tenant(row)
    document = urllib.parse.quote(f"{tenant}/{one.built.tables[0].source_name}/{row}", safe="")
    path = f"{one.built.index.url}/{one.built.index.alias}-write/_doc/{document}?routing={tenant}&_source=false"

    def is_there() -> bool:
        try:
            return bool(call("GET", path)["found"])
        except urllib.error.HTTPError:
            return False

    until(is_there, f"row {row} is not stored", 60, every_s=0.003)
    return time.time() - committed


def halt(one: Watched) -> None:
    """A write block halts both workers; the backlog grows, and is measured at the same time."""
    alerts = ["SynclineHalted", "SynclineNoProgress", "SynclineBehind", "SynclineLagGrowing"]
    settings = f"/{one.built.index.alias}-write/_settings"
    with one.changes():
        one.built.index.call("PUT", settings, {"index.blocks.write": True})
        one.report.log("the index is blocked")
        one.alerts.fires(alerts, within_s=240)
        reason = one.prometheus.value(f'max(syncline_halted{{reason="{HaltReason.WRITE_BLOCKED}"}})')
        if reason != 1:
            one.report.violation("the reason is not told")
    time.sleep(8)  # the last rows pass Debezium, and the workers have asked Kafka for its ends
    one.agree("lag, records", one.prometheus.value("sum(syncline_lag_records)"), one.fleet.lag(one.fleet.ends()))
    looked_at = one.prometheus.value("max(timestamp(syncline_lag_seconds))") or 0
    told = one.prometheus.value("max(syncline_lag_seconds)")
    one.agree("lag, seconds, by Kafka's timestamps", told, looked_at - asyncio.run(_oldest_waiting(one)))
    behind = looked_at - _oldest_missing(one)
    one.report.figure("since the commit of the oldest row that is not in the index, seconds", f"{behind:.1f}")
    one.built.index.call("PUT", settings, {"index.blocks.write": None})
    one.report.log("the block is removed")
    one.alerts.fires(["SynclineFreshnessBudgetBurn"])
    with one.changes():
        one.alerts.clears(alerts)
        # Over days the budget stays spent: only the fastest of the four burns ends while one waits.
        one.alerts.until("the burn of the last hour", "is over", lambda: not one.prometheus.value(_FAST_BURN), 180)


def overload(one: Watched) -> None:
    """Elasticsearch has no room for a request that looks up more than a few rows: its breaker trips."""
    limit = "network.breaker.inflight_requests.limit"
    alerts = ["SynclineNotReady", "SynclineBreakerTrips"]
    one.fleet.settle(120)
    one.built.index.call("PUT", "/_cluster/settings", {"transient": {limit: "1kb"}})
    with one.changes():
        one.alerts.fires(alerts)
    one.built.index.call("PUT", "/_cluster/settings", {"transient": {limit: None}})
    one.alerts.clears(alerts)


async def _oldest_waiting(one: Watched) -> float:
    """When the oldest record that is not committed came to Kafka."""
    ends = await asyncio.to_thread(one.fleet.ends)
    done = await asyncio.to_thread(one.fleet.committed)
    times = []
    async with AIOKafkaConsumer(bootstrap_servers=one.built.servers.kafka) as consumer:
        for partition in (partition for partition, end in ends.items() if done.get(partition, 0) < end):
            consumer.assign([partition])
            consumer.seek(partition, done.get(partition, 0))
            times.append((await consumer.getone()).timestamp / 1000)
    return float(min(times))


def _oldest_missing(one: Watched) -> float:
    """When the oldest row was committed that Elasticsearch does not have."""
    stored = {int(found.id.rpartition("/")[2]) for found in one.built.index.visible()}
    with psycopg.connect(one.built.servers.postgres.dsn) as database:
        rows = database.execute(f"SELECT id, extract(epoch FROM published) FROM {one.built.table}").fetchall()
    return min(float(published) for row, published in rows if row not in stored)


def dead_letter(one: Watched) -> None:
    """One record that nobody can read; then a tenth of them."""
    spoilt = partial(send_unreadable, one.built.servers.kafka, one.built.topics[0])
    spoilt()
    one.alerts.fires(["SynclineDeadLetters"])
    if "SynclineDeadLetterRate" in one.prometheus.firing():
        one.report.violation("one record was rejected, and SynclineDeadLetterRate fires")
    one.alerts.clears(["SynclineDeadLetters"])

    def spoil(stopping: threading.Event) -> None:
        while not stopping.wait(0.3):
            spoilt()

    with one.changes():
        with beside(spoil, "unreadable"):
            one.alerts.fires(["SynclineDeadLetterRate"])
        one.alerts.clears(["SynclineDeadLetterRate", "SynclineDeadLetters"])


def red(one: Watched) -> None:
    """An index whose primary nobody may have."""
    name = f"{one.built.name}-red"
    nowhere = {"index.routing.allocation.require._name": "nowhere"}
    one.built.index.call("PUT", f"/{name}?wait_for_active_shards=0&timeout=1s", {"settings": nowhere})
    one.alerts.fires(["SynclineClusterRed"])
    one.built.index.call("DELETE", f"/{name}")
    one.alerts.clears(["SynclineClusterRed"])


def absent(one: Watched) -> None:
    """One worker is killed, then the other."""
    one.fleet.about_to_end(0, "killed")
    one.fleet.workers[0].kill()
    one.alerts.fires(["SynclineWorkerDown"])
    if "SynclineAbsent" in one.prometheus.firing():
        one.report.violation("one worker runs, and yet SynclineAbsent fires")
    one.fleet.about_to_end(1, "killed")
    one.fleet.workers[1].kill()
    one.alerts.fires(["SynclineAbsent"])
    for number in range(2):
        one.fleet.start(number)
    one.alerts.clears(["SynclineAbsent", "SynclineWorkerDown"])


STEPS: Final[Sequence[Callable[[Watched], None]]] = (calm, freshness, halt, overload, dead_letter, red, absent)


def main() -> int:
    steps = chosen(STEPS)
    report = Report("Workers, watched by Prometheus", report_folder("watched", 0))
    with report.closing(), real_servers(report.folder) as servers, ExitStack() as closing:
        create_topic(servers.kafka, DEAD_LETTERS)
        built = closing.enter_context(
            scene(
                servers,
                report.folder / "scene",
                Table("articles"),
                model=tiny_model(),
                kafka=KAFKA,
                delivery=DELIVERY,
                metrics=METRICS,
            )
        )
        # Without a row there is no topic; the workload's own rows begin at 1.
        built.insert(_TENANTS[0], 0, "The first row")
        built.connect()
        fleet = Fleet(built.config, 2, None, report, servers.kafka, built.topics)
        closing.callback(fleet.kill_all)
        targets = [f"{LOOPBACK}:{worker.port}" for worker in fleet.workers]
        prometheus = prepare(report.folder / "prometheus", targets, faster(RULE_FILES, FASTER))
        closing.callback(prometheus.server.stop)
        prometheus.server.start()
        for number in range(len(fleet.workers)):
            fleet.start(number)
        one = Watched(built, fleet, prometheus, report)
        report.log("workers and Prometheus are ready")
        for step in steps:
            step(one)
        fleet.settle(120)
        report.figure("records in the log", sum(kafka_log.ends(servers.kafka, built.topics).values()))
        report.log(f"logs are in {Path(report.folder)}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
