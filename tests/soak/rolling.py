"""A rolling restart of three workers under load: nothing lost, nothing twice, and how fresh search is meanwhile.

    python -m tests.soak.rolling

Three workers share a topic of six partitions on real Kafka and Elasticsearch. What they can do is measured first; then
changes come at half of that, all texts new, rows written anew and deleted among them. One worker after the other gets
a SIGTERM and has a successor, in the order and with the times of `deploy/kustomize`. Freshness before, during and after
is measured past the workers (`freshness.py`) and shown beside what their own histograms say.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

import yaml

from tests.e2e.nursery import Nursery
from tests.e2e.process import until
from tests.soak.backlog import PARTITIONS, History
from tests.soak.comparison import compare_newest, operations
from tests.soak.direct import Direct, direct
from tests.soak.fleet import Fleet
from tests.soak.freshness import Histogram, Sighting, Watch, ages, pauses, quantile
from tests.soak.half_load import Load
from tests.soak.replacement import Manifest, Rollout, Step
from tests.soak.report import Report
from tests.soak.surroundings import a_seed, real_servers, report_folder, tiny_model

WORKERS: Final = 3
ROWS: Final = 20_000
_SETTLE_S: Final = 300
_NOTICED_S: Final = 0.5
_SHOWN: Final = 3
_VERDICTS: Final = {"indexed", "deleted", "superseded"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="before the restart, and again after it")
    parser.add_argument("--rate", type=float, help="changes a second; by default half of what the workers can do")
    parser.add_argument("--burst", type=int, default=20_000, help="changes at once, to see what they can do")
    parser.add_argument("--min-ready", type=float, help="seconds; by default what the manifest says")
    parser.add_argument("--static", action="store_true", help="static members, replaced as in a StatefulSet")
    parser.add_argument("--forked", action="store_true", help="workers with loaded libraries: they start in a second")
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    seed = a_seed(given.seed)
    kind = "StatefulSet (static members)" if given.static else "Deployment"
    report = Report(f"Rolling restart of a {kind}, seed {seed}", report_folder("rolling", seed))
    report.log(f"seed {seed}; the report will be in {report.folder}")
    manifest = Manifest.read()
    if given.min_ready is not None:
        manifest = replace(manifest, min_ready_s=given.min_ready)
    with report.closing(), real_servers(report.folder) as servers, ExitStack() as closing:
        built = direct(
            servers,
            report.folder,
            partitions=PARTITIONS,
            model=tiny_model(),
            kafka={"session_timeout": "45s"},  # the worker's own default
            delivery=manifest.delivery,
        )
        nursery = Nursery(report.folder / "nursery.log") if given.forked else None
        if nursery is not None:
            closing.callback(nursery.close)
        fleet = Fleet(built.config, 2 * WORKERS, nursery, report, servers.kafka, [built.topic])
        closing.callback(fleet.kill_all)
        if given.static:
            name_members(fleet)
        history = History(random.Random(seed), ROWS, sys.maxsize, 0)
        rollout = Rollout(fleet, manifest, report, one_name=given.static)
        rolling(built, fleet, history, rollout, report, given)
        compare_newest(built, history.newest, report)
        fleet.account(history.written)
        check_writes(built, fleet, history, report)
    return report.exit_code


def name_members(fleet: Fleet) -> None:
    """Give each worker and its successor one name in the group."""
    for number, worker in enumerate(fleet.workers):
        settings = yaml.safe_load(worker.config.read_text())
        settings["kafka"]["group_instance_id"] = f"worker-{number % WORKERS}"
        worker.config.write_text(yaml.safe_dump(settings, sort_keys=False))


@dataclass(frozen=True, slots=True)
class Phase:
    """A time, by the clock in seconds, and what the workers' histograms observed in it."""

    name: str
    begin: float
    end: float
    told: Histogram


class Phases:
    """Measures phases, one after the other."""

    def __init__(self, fleet: Fleet, report: Report) -> None:
        self._fleet = fleet
        self._report = report
        self.all: list[Phase] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._report.log(f"{name} the restart")
        begin, before = time.time(), self._told()
        yield
        self.all.append(Phase(name, begin, time.time(), self._told() - before))

    def _told(self) -> Histogram:
        self._fleet.look()
        return sum((life.freshness for life in self._fleet.lives), Histogram())


def rolling(
    built: Direct, fleet: Fleet, history: History, rollout: Rollout, report: Report, given: argparse.Namespace
) -> None:
    """Measure what the workers can do, and then all phases, until all changes are done."""
    for number in range(WORKERS):
        fleet.start(number, wait=False)
    for number in range(WORKERS):
        fleet.workers[number].wait_ready()
    report.log(f"{WORKERS} workers are ready")
    watch = Watch(built.index)
    load = Load(built, fleet.bootstrap, history, watch)
    capacity = load.capacity(fleet, given.burst, _SETTLE_S)
    rate = given.rate or capacity / 2
    report.log(f"the workers do {capacity:.0f} changes a second; from now on there come {rate:.0f}")
    phases = Phases(fleet, report)
    with fleet.watched(), watch.running():
        with load.running(rate):
            time.sleep(min(10, given.seconds))
            with phases.phase("before"):
                time.sleep(given.seconds)
            with phases.phase("during"):
                steps = [rollout.replace(former, former + WORKERS) for former in reversed(range(WORKERS))]
            with phases.phase("after"):
                time.sleep(given.seconds)
        report.log("no more changes")
        until(lambda: not watch.waiting, lambda: f"{watch.waiting} changes are not to be seen", _SETTLE_S)
        fleet.settle(_SETTLE_S)
    lines = [f"{one.partition},{one.committed_at:.3f},{one.seen_at:.3f}\n" for one in watch.sightings]
    (report.folder / "sightings.csv").write_text("".join(lines))
    report.figure("changes a second: what the workers can do, what came", f"{capacity:.0f}, {load.real_rate:.0f}")
    tell_freshness(phases.all, watch.sightings, report)
    tell_steps(steps, phases.all[0], watch.sightings, report)


def tell_freshness(phases: Sequence[Phase], sightings: Sequence[Sighting], report: Report) -> None:
    """Each phase, as it was measured and as the workers tell it."""
    for phase in phases:
        seen = ages(sightings, phase.begin, phase.end)
        report.figure(
            f"freshness {phase.name}, measured",
            f"p50 {quantile(seen, 0.5):.3f} s, p99 {quantile(seen, 0.99):.3f} s, longest {quantile(seen, 1):.3f} s, "
            f"mean {sum(seen) / max(1, len(seen)):.3f} s, of {len(seen):,} changes in {phase.end - phase.begin:.0f} s",
        )
        told = phase.told
        report.figure(
            f"freshness {phase.name}, told by the workers",
            f"p50 {told.quantile(0.5):.3f} s, p99 {told.quantile(0.99):.3f} s, mean {told.mean:.3f} s, "
            f"of {told.count:,.0f} changes",
        )


def tell_steps(steps: Sequence[Step], before: Phase, sightings: Sequence[Sighting], report: Report) -> None:
    """How long each replacement took, and how long nothing became visible meanwhile, anywhere or of one partition."""
    anywhere = [one.seen_at for one in sightings]
    partitions = [[one.seen_at for one in sightings if one.partition == number] for number in range(PARTITIONS)]
    report.figure(
        "longest time without progress before, anywhere and of one partition",
        f"{longest(anywhere, before):.1f}, {max(longest(one, before) for one in partitions):.1f} s",
    )
    for number, step in enumerate(steps, start=1):
        still = sorted(pauses(anywhere, step.begin, step.end, _NOTICED_S), key=lambda one: one[0] - one[1])
        shown = ", ".join(
            f"{end - begin:.1f} s from {max(0, begin - step.begin):.1f} s on" for begin, end in still[:_SHOWN]
        )
        report.figure(
            f"restart {number}",
            f"ended after {step.ended - step.begin:.1f} s with {step.open_:,} records open, successor ready after "
            f"{step.ready - step.begin:.1f} s; without progress anywhere {shown or f'never {_NOTICED_S} s'}, "
            f"of one partition {max(longest(one, step) for one in partitions):.1f} s at most",
        )


def longest(times: Sequence[float], within: Phase | Step) -> float:
    """The longest pause between these moments, in seconds."""
    return max((end - begin for begin, end in pauses(times, within.begin, within.end)), default=0.0)


def check_writes(built: Direct, fleet: Fleet, history: History, report: Report) -> None:
    """Elasticsearch must have done as many writes as changes count as written, over all lives.

    A change that is read again is not written again: its second verdict is `superseded`.
    """
    counted = operations(built.index)
    done = counted["max_seq_no"] + counted["shards"]
    verdicts = sum((life.verdicts for life in fleet.lives), Counter[str]())
    told = verdicts["indexed"] + verdicts["deleted"]
    report.figure("writes that Elasticsearch has done, changes that count as written", f"{done:,}, {told:,}")
    if done != told:
        report.violation(f"Elasticsearch has done {done} writes, {told} changes count as written")
    verdicts["skipped"] -= sum(life.lost for life in fleet.lives)
    if others := {verdict: count for verdict, count in verdicts.items() if count and verdict not in _VERDICTS}:
        report.violation(f"nothing here is a reason for these verdicts: {others}")
    report.figure("records read again", sum(life.consumed for life in fleet.lives) - history.written)


if __name__ == "__main__":
    sys.exit(main())
