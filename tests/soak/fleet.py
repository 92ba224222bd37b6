"""Several workers of one group, their lives, and the account of what they consumed.

A killed worker takes its counters with it. So they are read every second and once more before it is killed; what it
still did between that reading and its death shows in what the group has committed since, and is added as `unseen`.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka import TopicPartition

from tests.e2e import kafka_log
from tests.e2e.nursery import Nursery
from tests.e2e.process import Scrape, WorkerProcess, until
from tests.servers import processes
from tests.soak.freshness import Histogram
from tests.soak.report import Report
from tests.threads import beside

READY_WITHIN_S: Final = 240
_LOST: Final = "lost_assignment"


@dataclass(slots=True)
class Life:
    """One process, as it was seen last."""

    worker: int
    ended: str = ""
    consumed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Records given up when their partitions went to another worker: counted as skipped, resolved by the other."""
    texts: int = 0
    halts: Counter[str] = field(default_factory=Counter)
    unseen: int = 0
    freshness: Histogram = field(default_factory=Histogram)
    partitions: frozenset[TopicPartition] = frozenset()

    @property
    def resolved(self) -> int:
        return sum(self.verdicts.values())

    def saw(self, scrape: Scrape) -> None:
        self.consumed = int(scrape.consumed)
        self.verdicts = Counter(
            {name: int(count) for name, count in scrape.by("syncline_records_total", "verdict").items()}
        )
        self.lost = int(scrape.total("syncline_records_total", reason=_LOST))
        self.texts = int(scrape.total("syncline_embedded_texts_total"))
        halts = scrape.by("syncline_halts_total", "reason")
        self.halts = Counter({reason: int(count) for reason, count in halts.items() if count})
        self.freshness = Histogram.of(scrape)
        self.partitions = frozenset(
            TopicPartition(labels["topic"], int(labels["partition"]))
            for name, labels, _ in scrape.samples
            if name == "syncline_lag_records"
        )

    def told(self, totals: Mapping[str, Any]) -> None:
        """Take the counts from a worker's last line in its log, which no reading of its metrics may see any more."""
        self.consumed = totals["consumed"]
        self.verdicts = Counter()
        for verdict, count in totals["verdicts"].items():
            self.verdicts[verdict.partition(":")[0]] += count
        self.lost = totals["verdicts"].get(f"skipped: {_LOST}", 0)


class Fleet:
    """Workers with one configuration but for their ports."""

    def __init__(
        self,
        config: Path,
        count: int,
        nursery: Nursery | None,
        report: Report,
        bootstrap: str,
        topics: Sequence[str],
        folder: Path | None = None,
    ) -> None:
        """Configurations and logs go to `folder`, by default the report's."""
        self._report = report
        self.bootstrap = bootstrap
        self._topics = list(topics)
        settings: dict[str, Any] = yaml.safe_load(config.read_text())
        self.group = str(settings["kafka"]["group_id"])
        self.workers = [self._worker(settings, folder or report.folder, number, nursery) for number in range(count)]
        self.lives: list[Life] = []
        self._current: dict[int, Life] = {}

    def _worker(self, settings: dict[str, Any], folder: Path, number: int, nursery: Nursery | None) -> WorkerProcess:
        (port,) = processes.free_ports(1)
        config = folder / f"worker-{number}.yaml"
        config.write_text(yaml.safe_dump({**settings, "server": {"port": port}}, sort_keys=False))
        return WorkerProcess(config, port, folder / f"worker-{number}.log", nursery)

    def start(self, number: int, *, wait: bool = True) -> None:
        """Begin a life."""
        self.workers[number].launch()
        life = Life(number)
        self.lives.append(life)
        self._current[number] = life
        if wait:
            self.workers[number].wait_ready(READY_WITHIN_S)

    def about_to_end(self, number: int, how: str) -> "Ending":
        """Read its counters for the last time; from here on its end is no surprise."""
        life = self._current.pop(number)
        self._look(number, life)
        life.ended = how
        return Ending(self, life, self.committed())

    def look(self) -> None:
        """Read all counters."""
        for number, life in list(self._current.items()):
            self._look(number, life)

    def kill_all(self) -> None:
        """Leave nothing behind."""
        self._current.clear()
        for worker in self.workers:
            worker.kill()

    def committed(self) -> dict[TopicPartition, int]:
        return kafka_log.committed(self.bootstrap, self.group)

    def ends(self) -> dict[TopicPartition, int]:
        return kafka_log.ends(self.bootstrap, self._topics)

    @contextmanager
    def watched(self, every_s: float = 1) -> Iterator[None]:
        """Read all counters again and again while the block runs."""

        def watch(stopping: threading.Event) -> None:
            while not stopping.wait(every_s):
                for number, life in list(self._current.items()):
                    self._look(number, life)
                    if self._current.get(number) is life and not self.workers[number].running:
                        self._current.pop(number)
                        life.ended = "by itself"
                        self._report.violation(self.workers[number].told(f"worker {number} has ended by itself"))

        with beside(watch, "counters"):
            yield

    def _look(self, number: int, life: Life) -> None:
        try:
            scrape = self.workers[number].scrape()
        except (OSError, HTTPException, AssertionError):
            return  # starting, frozen, or dead, which the caller finds out
        life.saw(scrape)
        if life.resolved > life.consumed:
            self._report.violation(f"worker {number} has resolved {life.resolved} of {life.consumed} records consumed")

    def settle(self, within_s: float) -> None:
        """Wait until everything in the topics is resolved and committed, and nothing is open anywhere."""
        ends = self.ends()
        told = lambda: f"committed {self.committed()} of {ends}; {self._logs()}"  # noqa: E731
        until(lambda: self.lag(ends) == 0, told, within_s, every_s=0.5)
        until(self._nothing_open, lambda: f"records are open; {self._logs()}", 60, every_s=0.5)
        self.look()

    def _logs(self) -> str:
        return "\n".join(worker.told(f"worker {number}") for number, worker in enumerate(self.workers))

    def lag(self, ends: dict[TopicPartition, int]) -> int:
        """How many records there are before these ends that are not committed."""
        done = self.committed()
        return sum(max(0, end - done.get(partition, 0)) for partition, end in ends.items())

    def _nothing_open(self) -> bool:
        try:
            scrapes = [self.workers[number].scrape() for number in self._current]
        except (OSError, HTTPException):
            return False  # who waits for this says in the end what the worker's log says
        return all(one.consumed == one.resolved and one.total("syncline_lag_records") == 0 for one in scrapes)

    def account(self, records: int) -> None:
        """Check the counters of all lives against the records of the log.

        Every record was resolved by somebody before it was committed: so all that was resolved, without what was given
        up, and what was committed unseen, is at least the log. What is above it was consumed again after a kill or a
        rebalance. Of whoever lives to the end nothing is open: consumed and resolved are equal.
        """
        consumed = sum(life.consumed for life in self.lives)
        resolved = sum(life.resolved - life.lost for life in self.lives)
        lost = sum(life.lost for life in self.lives)
        unseen = sum(life.unseen for life in self.lives)
        open_ = sum(life.consumed - life.resolved for life in self.lives if life.ended)
        for life in self._current.values():
            if life.consumed != life.resolved:
                self._report.violation(f"a living worker counts {life.consumed} consumed, {life.resolved} resolved")
        if consumed != resolved + lost + open_:
            self._report.violation(f"consumed {consumed}, but resolved {resolved}, given up {lost}, open {open_}")
        if resolved + unseen < records:
            self._report.violation(f"resolved {resolved} and unseen {unseen} are less than the log's {records} records")
        verdicts = sum((life.verdicts for life in self.lives), Counter[str]())
        halts = sum((life.halts for life in self.lives), Counter[str]())
        figure = self._report.figure
        figure(
            "lives of workers",
            f"{len(self.lives)} ({_counted(Counter(life.ended or 'to the end' for life in self.lives))})",
        )
        figure("records in the log", records)
        figure("records consumed, all lives", consumed)
        figure(
            "resolved, without what was given up", f"{resolved:,} ({_counted(verdicts)}, of which given up {lost:,})"
        )
        figure("committed by the dying after their last reading, at most", unseen)
        figure("open at the last reading before an end", open_)
        figure("resolved again after kills and rebalances, at least", max(0, resolved - records))
        figure("texts embedded", sum(life.texts for life in self.lives))
        figure("halts", _counted(halts) or "none")


@dataclass(frozen=True, slots=True)
class Ending:
    """A life between its last reading and its end."""

    _fleet: Fleet
    _life: Life
    _committed: dict[TopicPartition, int]

    @property
    def life(self) -> Life:
        return self._life

    def look(self) -> None:
        """Read its counters once more, if it still tells them: one that was asked to end does until the very end."""
        self._fleet._look(self._life.worker, self._life)

    def in_peace(self) -> None:
        """Its process has ended by itself, as it was asked to: take the counts that it tells at its end."""
        log = self._fleet.workers[self._life.worker].log
        last = [line for line in log.read_text().splitlines() if '"action": "stopped"' in line]
        self._life.told(json.loads(last[-1]))

    def is_over(self) -> None:
        """Its process is gone: note what it, or at worst others with its partitions, committed since."""
        since = self._fleet.committed()
        life = self._life
        life.unseen = sum(since.get(one, 0) - self._committed.get(one, 0) for one in life.partitions)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
