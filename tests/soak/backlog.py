"""A backlog before a slow Elasticsearch: memory stays bounded, progress never stops, nothing is lost.

    python -m tests.soak.backlog --events 1000000

A worker starts at an empty topic; the resident memory it has then, its model loaded, is the baseline. A twentieth of
the events at full speed shows what Elasticsearch can do here. Then Elasticsearch is frozen for nine tenths of every
half second, by signals: everything in it takes ten times as long. The rest of the events is written, rows of 5 MB
among them, much faster than the worker can pass them on.
"""

import argparse
import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPException
from itertools import islice
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from tests.e2e.process import WorkerProcess
from tests.servers.processes import Server
from tests.soak.comparison import compare_newest
from tests.soak.direct import Direct, Event, direct, producer
from tests.soak.fleet import Fleet
from tests.soak.report import Report
from tests.soak.surroundings import WORDS, a_seed, real_servers, report_folder, tiny_model
from tests.threads import beside

PARTITIONS: Final = 6
TENANTS: Final = 20
MOST_ABOVE_MB: Final = 400
LONGEST_PAUSE_S: Final = 60
LARGE_ROWS: Final = 200
LARGE_BYTES: Final = 5_000_000
PERIOD_S: Final = 0.5
SHARE: Final = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=LARGE_ROWS, help="rows of 5 MB")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=float, default=720, help="minutes after which it has failed")
    given = parser.parse_args()
    seed = a_seed(given.seed)
    report = Report(f"Backlog of {given.events:,} changes, seed {seed}", report_folder("backlog", seed))
    report.log(f"seed {seed}; the report will be in {report.folder}")
    with report.closing(), real_servers(report.folder) as servers, ExitStack() as closing:
        built = direct(servers, report.folder, partitions=PARTITIONS, model=tiny_model())
        fleet = Fleet(built.config, 1, None, report, servers.kafka, [built.topic])
        closing.callback(fleet.kill_all)
        history = History(random.Random(seed), max(1, given.events // 5), given.events, given.large)
        backlog(built, fleet, servers.process("elasticsearch"), history, report, 60 * given.limit)
        compare_newest(built, history.newest, report)
        fleet.account(history.written)
    return report.exit_code


class History:
    """The events in their order, and what must be left of each row."""

    def __init__(self, chance: random.Random, rows: int, events: int, large: int) -> None:
        self._chance = chance
        self._rows = rows
        self.total = events
        self._every = max(1, events // large) if large else events + 1
        self._large_left = large
        self.newest: dict[int, Event] = {}
        """By row, without the content."""
        self.written = 0
        self.large = 0

    def events(self) -> Iterator[Event]:
        """Small changes of random rows, one in fifty a deletion; spread among them the large rows."""
        for number in range(1, self.total + 1):
            id_ = self._chance.randrange(self._rows)
            title = None if self._chance.random() < 0.02 else f"change {number} of row {id_}"
            yield self._noted(id_, title, " ".join(self._chance.choices(WORDS, k=12)))
            if number % self._every == 0 and self._large_left:
                self._large_left -= 1
                self.large += 1
                yield self._noted(self._rows + self.large, f"large {number}", self._large_text())

    def _large_text(self) -> str:
        words = " ".join(self._chance.choices(WORDS, k=1000))
        return (f"{words} " * (LARGE_BYTES // len(words) + 1))[:LARGE_BYTES]

    def _noted(self, id_: int, title: str | None, content: str) -> Event:
        self.written += 1
        event = Event(id_, f"tenant-{id_ % TENANTS:02}", self.written, title, content)
        self.newest[id_] = Event(id_, event.tenant, self.written, title)
        return event


@dataclass(slots=True)
class Watch:
    """The worker's memory and progress, looked at every second."""

    worker: WorkerProcess
    samples_file: Path
    """Gets a line for every sample: time, resident kB, bytes in flight, records resolved."""
    baseline_kb: int = 0
    resident_kb: int = 0
    highest_kb: int = 0
    samples: int = 0
    paused: int = 0
    longest_pause_s: float = 0
    resolved: float = 0
    most_in_flight: float = 0
    _moved_at: float = 0

    def watch(self, stopping: threading.Event) -> None:
        self._moved_at = time.monotonic()
        while not stopping.wait(1):
            self.resident_kb = memory_kb(self.worker.pid, "VmRSS")
            self.highest_kb = max(self.highest_kb, self.resident_kb)
            self.samples += 1
            try:
                self._look()
            except (OSError, HTTPException, AssertionError):
                continue

    def _look(self) -> None:
        scrape = self.worker.scrape()
        in_flight = scrape.total("syncline_in_flight_bytes")
        self.most_in_flight = max(self.most_in_flight, in_flight)
        with self.samples_file.open("a") as file:
            file.write(f"{time.time():.1f},{self.resident_kb},{in_flight:.0f},{scrape.resolved:.0f}\n")
        self.paused += scrape.total("syncline_fetch_paused") > 0
        now = time.monotonic()
        self.longest_pause_s = max(self.longest_pause_s, now - self._moved_at)
        if scrape.resolved > self.resolved or scrape.consumed == scrape.resolved:
            self._moved_at = now
        self.resolved = scrape.resolved


def memory_kb(pid: int, which: str) -> int:
    """`VmRSS`: resident now; `VmHWM`: the most there ever was. 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{which}:")), 0)


class Slowed:
    """Elasticsearch gets a tenth of the time: frozen and thawed by signals, twice a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frozen_s = 0.0
        self._total_s = 0.0

    @property
    def share(self) -> float:
        """Of the time, how much it really ran."""
        return 1 - self._frozen_s / self._total_s if self._total_s else 1.0

    def slow(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                begin = time.monotonic()
                time.sleep(PERIOD_S * SHARE)
                self._server.pause()
                frozen = time.monotonic()
                time.sleep(PERIOD_S * (1 - SHARE))
                self._server.resume()
                end = time.monotonic()
                self._frozen_s += end - frozen
                self._total_s += end - begin
        finally:
            self._server.resume()


def backlog(
    built: Direct, fleet: Fleet, elasticsearch: Server, history: History, report: Report, limit_s: float
) -> None:
    """Two phases: at full speed, then slowed."""
    bootstrap = fleet.bootstrap
    events = history.events()
    fleet.start(0)
    worker = fleet.workers[0]
    time.sleep(3)
    watch = Watch(worker, report.folder / "memory.csv", baseline_kb=memory_kb(worker.pid, "VmRSS"))
    report.log(f"the worker is ready, resident memory {watch.baseline_kb / 1024:.0f} MB")
    slowed = Slowed(elasticsearch)
    first = max(1, history.total // 20)
    with fleet.watched(), beside(watch.watch, "memory"):
        begin = time.monotonic()
        asyncio.run(write(bootstrap, built.topic, islice(events, first)))
        wait_for_end(fleet, watch, report, limit_s)
        at_full_speed = first / (time.monotonic() - begin)
        report.log(f"{first:,} changes at full speed: {at_full_speed:.0f} a second; slowing Elasticsearch down")
        with beside(slowed.slow, "slow"):
            begin, done = time.monotonic(), watch.resolved
            # A daemon: if this is ended early, it must not wait for a Kafka that is gone.
            writing = threading.Thread(
                target=lambda: asyncio.run(write(bootstrap, built.topic, events)), name="producer", daemon=True
            )
            writing.start()
            writing.join()
            report.log(f"all of {history.written:,} are written, {watch.resolved:,.0f} are done")
            wait_for_end(fleet, watch, report, limit_s)
            slow = (history.written - done) / (time.monotonic() - begin)
        fleet.settle(120)
    tell(watch, slowed, (at_full_speed, slow), history, report)


async def write(bootstrap: str, topic: str, events: Iterator[Event]) -> None:
    """Write them all; the partition follows from the row."""
    async with producer(bootstrap) as sender:
        while part := list(islice(events, 200)):
            pending = [await send(sender, topic, event) for event in part]
            await asyncio.gather(*pending)


async def send(sender: AIOKafkaProducer, topic: str, event: Event) -> asyncio.Future[object]:
    key, value = event.record()
    future: asyncio.Future[object] = await sender.send(topic, key=key, value=value, partition=event.id % PARTITIONS)
    return future


def wait_for_end(fleet: Fleet, watch: Watch, report: Report, limit_s: float) -> None:
    """Wait until all that is written is committed; fail as soon as there is no progress."""
    ends = fleet.ends()
    told_at = 0.0
    while fleet.lag(ends):
        if watch.longest_pause_s > LONGEST_PAUSE_S:
            report.violation(f"no progress for {watch.longest_pause_s:.0f} s")
            raise AssertionError("progress has stopped")
        if report.elapsed > limit_s:
            raise AssertionError(f"{fleet.lag(ends):,} records are left after {limit_s / 60:g} minutes")
        if report.elapsed - told_at > 60:
            told_at = report.elapsed
            report.log(
                f"  {watch.resolved:,.0f} resolved, {fleet.lag(ends):,} not committed; "
                f"{watch.resident_kb / 1024:.0f} MB, {watch.highest_kb / 1024:.0f} at most; "
                f"longest pause {watch.longest_pause_s:.0f} s"
            )
        time.sleep(1)


def tell(watch: Watch, slowed: Slowed, rates: Sequence[float], history: History, report: Report) -> None:
    """The figures, and whether they are within their limits."""
    baseline = watch.baseline_kb / 1024
    highest = max(watch.highest_kb, memory_kb(watch.worker.pid, "VmHWM")) / 1024
    full, slow = rates
    figure = report.figure
    figure("changes written", f"{history.written:,}, {history.large} of them of {LARGE_BYTES / 1e6:g} MB")
    figure("resident memory with the model loaded", f"{baseline:.0f} MB")
    figure(
        "highest resident memory", f"{highest:.0f} MB ({highest - baseline:.0f} MB above; {watch.samples:,} samples)"
    )
    figure("most bytes in flight, as the worker estimates them", f"{watch.most_in_flight / 2**20:.0f} MiB")
    figure("seconds in which fetching was paused", watch.paused)
    figure("share of the time that Elasticsearch ran", f"{slowed.share:.1%}")
    figure("changes a second at full speed, and slowed", f"{full:.0f}, {slow:.0f}")
    figure("longest time without progress", f"{watch.longest_pause_s:.1f} s")
    if highest - baseline > MOST_ABOVE_MB:
        report.violation(f"{highest - baseline:.0f} MB above the loaded model, {MOST_ABOVE_MB} are allowed")
    if watch.longest_pause_s > LONGEST_PAUSE_S:
        report.violation(f"no progress for {watch.longest_pause_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
