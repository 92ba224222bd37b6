"""One turn of one contender: the same records in a topic of its own, from the first of them to the last document.

    start -> one row a partition, until it is indexed -> freeze -> write the load -> thaw, the clock runs
          -> until the last row of every partition is indexed -> compare the index with the truth

Frozen, because writing the load takes processor time, too; and a consumer at work beforehand, so that nobody's start,
loading of a model or first request counts.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import psutil

from tests.benchmarks import target
from tests.benchmarks.contenders import CONTENDERS, Contender, Setting, Topic
from tests.benchmarks.events import TABLE, Record, marks
from tests.benchmarks.truth import Comparison, Row, RowKey, compare
from tests.e2e.index import Document
from tests.e2e.process import Scrape, until
from tests.servers.start import Servers
from tests.soak.direct import producer
from tests.soak.surroundings import create_topic

READY_WITHIN_S: Final = 240
_POLL_S: Final = 0.05
_STAGE_SECONDS: Final = "syncline_stage_duration_seconds_sum"


class Place(NamedTuple):
    """Where turns take place."""

    servers: Servers
    folder: Path


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done: the documents there are before, the records, and the rows that must be left."""

    records: Sequence[Record]
    rows: Mapping[RowKey, Row]
    filled: Sequence[Document] = ()

    @property
    def changes(self) -> int:
        """Change events, without the tombstones that follow deletes."""
        return sum(record.is_change for record in self.records)


@dataclass(slots=True)
class Measured:
    """What one turn showed. `failed` says why there is no figure."""

    contender: str
    changes: int
    seconds: float = 0.0
    cpu_s: float = 0.0
    """Processor time of the contender's own process."""
    elasticsearch_cpu_s: float = 0.0
    threads: dict[str, float] = field(default_factory=dict)
    """Its processor time by thread; `loop` is the main thread, which runs the event loop."""
    resident_mb: float = 0.0
    embedded: int | None = None
    reused: int | None = None
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds that steps of each stage took, which overlap."""
    wrong: Comparison | None = None
    failed: str = ""

    @property
    def a_second(self) -> float:
        return self.changes / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"contender": self.contender, "changes": self.changes, "failed": self.failed}
        if self.failed:
            return found
        rounded = {"a_second": self.a_second, "seconds": self.seconds, "cpu_s": self.cpu_s}
        rounded |= {"elasticsearch_cpu_s": self.elasticsearch_cpu_s, "resident_mb": self.resident_mb}
        found |= {name: round(value, 3) for name, value in rounded.items()}
        found |= {"embedded": self.embedded, "reused": self.reused}
        found["threads"] = {name: round(seconds, 2) for name, seconds in self.threads.items()}
        found["stages"] = {name: round(seconds, 2) for name, seconds in self.stages.items()}
        if self.wrong is not None:
            found |= {"wrong": dict(self.wrong.wrong), "rows": self.wrong.rows}
            found["examples"] = dict(self.wrong.examples)
        return found


def turn(place: Place, name: str, model: str, load: Load, *, partitions: int = 1, limit_s: float = 1800) -> Measured:
    """Let a contender do a load. What fails is told in the result: a baseline that breaks must not end the run."""
    run = Turn(place, name, model, partitions)
    try:
        with_failure = run.measure(load, limit_s)
    except (AssertionError, OSError, RuntimeError) as error:
        return Measured(name, load.changes, failed=f"{type(error).__name__}: {error}"[:2000])
    finally:
        run.close()
    return with_failure


class Turn:
    """A topic, a contender's target and its process, or several processes of one group."""

    def __init__(self, place: Place, name: str, model: str, partitions: int, *, processes: int = 1) -> None:
        self.place = place
        self.partitions = partitions
        self.own = f"bench-{uuid4().hex[:8]}-{name}"
        topic = Topic(f"{self.own}.public.{TABLE}", TABLE)
        create_topic(place.servers.kafka, topic.name, partitions)
        url = place.servers.elasticsearch
        settings = [
            Setting(self.own, place.servers.kafka, url, [topic], model, place.folder, replica)
            for replica in range(processes)
        ]
        self.setting = settings[0]
        self.contenders: Sequence[Contender] = [CONTENDERS[name](setting) for setting in settings]
        self.contender = self.contenders[0]

    def start(self, filled: Sequence[Document] = ()) -> None:
        """Prepare the target, start, and wait until the first rows are indexed."""
        for one in self.contenders:
            one.prepare()
        if filled:
            self.contender.fill(TABLE, filled)
        for one in self.contenders:
            one.server.start()
        self.write([record for _, record in marks("warm-up", self.partitions).values()])
        self._wait("warm-up", READY_WITHIN_S)
        if len(self.contenders) > 1:
            until(lambda: all(map(_has_partition, self.contenders)), "not all have partitions", READY_WITHIN_S, 0.5)

    def finish(self, within_s: float = 1800) -> None:
        """Write the last row of every partition, and wait until all there is has been indexed."""
        self.write([record for _, record in marks("end", self.partitions).values()])
        self._wait("end", within_s)
        # What needs a vector comes after the last row, if that needs none.
        told = lambda: f"records are open: {self.contender.server.log_tail()}"  # noqa: E731
        until(lambda: self._look().all_resolved, told, within_s, _POLL_S)

    def measure(self, load: Load, limit_s: float) -> Measured:
        self.start(load.filled)
        before = self._look()
        for one in self.contenders:
            one.server.pause()
        self.write([*load.records, *(record for _, record in marks("end", self.partitions).values())])
        for one in self.contenders:
            one.server.resume()
        started = time.monotonic()
        self._wait("end", limit_s)
        self._wait_resolved(before, len(load.records) + self.partitions, limit_s)
        seconds = time.monotonic() - started
        measured = self._measured(load, seconds, before, self._look())
        measured.wrong = self.compare(load.rows)
        return measured

    def compare(self, rows: Mapping[RowKey, Row]) -> Comparison:
        """Compare with the rows that must be there, the marks left aside."""
        found = (one for one in self.contender.found() if one.tenant not in {"warm-up", "end"})
        return compare(rows, found, routed=self.contender.routed)

    def write(self, records: Sequence[Record]) -> None:
        asyncio.run(write(self.setting.kafka, self.setting.topics[0].name, records, self.partitions))

    def close(self) -> None:
        """Stop, and take the indices away: the next must not share its memory with them."""
        for one in self.contenders:
            one.server.stop()
        target.remove(self.setting.elasticsearch, self.contender.index_of(TABLE))

    def _wait(self, tenant: str, within_s: float) -> None:
        places = [self.contender.place(key, tenant) for key, _ in marks(tenant, self.partitions).values()]
        index, server = self.contender.index_of(TABLE), self.contender.server

        def done() -> bool:
            assert server.running, f"{server.name} has ended: {server.log_tail()}"
            return target.are_there(self.setting.elasticsearch, index, places)

        until(done, lambda: f"{server.name} has not come to the mark {tenant}: {server.log_tail()}", within_s, _POLL_S)

    def _wait_resolved(self, before: "_Look", records: int, within_s: float) -> None:
        """Ours says itself when all is done: what needs no vector overtakes what does, the last row as well."""
        if not before.scrapes:
            return
        wanted = before.resolved + records
        told = lambda: f"not all is resolved: {self.contender.server.log_tail()}"  # noqa: E731
        until(lambda: self._look().resolved >= wanted, told, within_s, _POLL_S)

    def _look(self) -> "_Look":
        process = psutil.Process(self.contender.server.pid)
        elasticsearch = psutil.Process(self.place.servers.process("elasticsearch").pid)
        scrapes = [scrape for one in self.contenders if (scrape := one.scrape()) is not None]
        return _Look(_threads(process), _cpu(elasticsearch), process.memory_info().rss / 2**20, scrapes)

    def _measured(self, load: Load, seconds: float, before: "_Look", after: "_Look") -> Measured:
        threads = {name: spent - before.threads.get(name, 0) for name, spent in after.threads.items()}
        measured = Measured(
            self.contender.name,
            load.changes,
            seconds,
            sum(threads.values()),
            after.elasticsearch_cpu_s - before.elasticsearch_cpu_s,
            {name: spent for name, spent in threads.items() if spent > 0.01 * seconds},
            after.resident_mb,
        )
        if before.scrapes:
            measured.embedded = after.total("syncline_embedded_texts_total") - before.total(
                "syncline_embedded_texts_total"
            )
            measured.reused = after.total("syncline_reused_vectors_total") - before.total(
                "syncline_reused_vectors_total"
            )
            measured.stages = after.scrapes[0].rise(before.scrapes[0], _STAGE_SECONDS, "stage")
        return measured


class _Look(NamedTuple):
    """Processor time and memory are the first process's, the worker's metrics those of all."""

    threads: Mapping[str, float]
    elasticsearch_cpu_s: float
    resident_mb: float
    scrapes: Sequence[Scrape]

    @property
    def resolved(self) -> float:
        return sum(one.resolved for one in self.scrapes)

    @property
    def all_resolved(self) -> bool:
        return all(one.consumed == one.resolved and one.total("syncline_lag_records") == 0 for one in self.scrapes)

    def total(self, name: str) -> int:
        return int(sum(one.total(name) for one in self.scrapes))


def _has_partition(contender: Contender) -> bool:
    """Whether a process takes part in the group; of the baselines nobody knows, they get some seconds."""
    scrape = contender.scrape()
    if scrape is None:
        time.sleep(5)
        return True
    return any(name == "syncline_lag_records" for name, _, _ in scrape.samples)


def _threads(process: psutil.Process) -> dict[str, float]:
    """Processor seconds by name of thread; those of one name together."""
    spent: dict[str, float] = {}
    for one in process.threads():
        try:
            name = Path(f"/proc/{process.pid}/task/{one.id}/comm").read_text().strip()
        except OSError:
            name = "ended"
        if one.id == process.pid:
            name = "loop"
        spent[name] = spent.get(name, 0) + one.user_time + one.system_time
    return spent


def _cpu(process: psutil.Process) -> float:
    """Processor seconds of a process and its children: Elasticsearch runs below a launcher."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def write(bootstrap: str, topic: str, records: Sequence[Record], partitions: int) -> None:
    """Write the records in their order, each into its key's partition, and wait until all are acknowledged."""
    async with producer(bootstrap) as sender:
        pending = [
            await sender.send(topic, key=one.key, value=one.value, partition=one.partition(partitions))
            for one in records
        ]
        await asyncio.gather(*pending)
