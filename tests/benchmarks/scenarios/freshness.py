"""From the commit in the database until a search finds it, at half of what can be done, through real Debezium."""

import random
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import uuid4

import psycopg

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import CONTENDERS, OURS, Contender, Setting, Topic
from tests.benchmarks.results import Reach, Result, wrong_documents
from tests.benchmarks.scenarios.correctness import truth
from tests.benchmarks.texts import text
from tests.benchmarks.truth import Comparison, compare
from tests.e2e.index import call
from tests.e2e.process import until
from tests.e2e.scene import FIELDS, Scene, Table, scene
from tests.soak.surroundings import tiny_model
from tests.threads import beside

REFRESH_S: Final = 1.0
"""`refresh_interval` of the index."""
POLL_S: Final = 0.05
SEEN_WITHIN_S: Final = 600
DEFAULT_POLL_MS: Final = 500
ADVISED_POLL_MS: Final = 50
"""Of Debezium's `poll.interval.ms`: its default, and what docs/change-events.md advises."""
_SHARES: Final = {"outside": 70, "inside": 10, "insert": 20}


@dataclass(slots=True)
class Seen:
    """When each change was committed, and when a search found it; a change is known by its tag."""

    committed: dict[str, float] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def commit(self, tag: str) -> None:
        with self._lock:
            self.committed[tag] = time.monotonic()

    def waiting(self) -> list[str]:
        with self._lock:
            return [tag for tag in self.committed if tag not in self.found]

    def latencies(self) -> list[float]:
        return sorted(self.found[tag] - self.committed[tag] for tag in self.found)


class Statements:
    """Single statements on one table of real texts, each a transaction of its own, each row changed at most once."""

    def __init__(self, database: psycopg.Connection, table: str, rows: int) -> None:
        self._database = database
        self._table = table
        self._chance = random.Random(3)
        self._rows = rows
        self._next_row = 0
        self._next_text = 0
        self.number = 0

    def fill(self) -> None:
        for _ in range(self._rows):
            self._insert("filled")

    def one(self, seen: Seen) -> None:
        self.number += 1
        tag = f"change {self.number}"
        kind = self._chance.choices(list(_SHARES), list(_SHARES.values()))[0]
        if kind == "insert":
            self._insert(tag)
        else:
            # Over all rows in turn: a later change of a row would hide an earlier one from the searches.
            self._next_row = self._next_row % self._rows + 1
            content = (self._text().content,) if kind == "inside" else ()
            assigned = "tags = ARRAY[%s], content = %s" if content else "tags = ARRAY[%s]"
            query = f"UPDATE {self._table} SET {assigned} WHERE id = %s"
            self._database.execute(query, (tag, *content, self._next_row))
        seen.commit(tag)

    def _insert(self, tag: str) -> None:
        one = self._text()
        query = f"INSERT INTO {self._table} VALUES (%s, %s, %s, %s, %s, now())"
        self._database.execute(query, (one.tenant, self._next_text, one.title, one.content, [tag]))

    def _text(self) -> Any:  # noqa: ANN401
        self._next_text += 1
        return text(self._next_text - 1)


def freshness(bench: Bench) -> Result:
    """A burst shows what can be done, then half of that; with the connector's default and as we advise."""
    seconds = bench.size(120, 8)
    polls = [ADVISED_POLL_MS] if bench.quick else [DEFAULT_POLL_MS, ADVISED_POLL_MS]
    runs = [_measured(bench, poll_ms, seconds) for poll_ms in polls]
    result = Result(
        "Database commit to searchable, at half of capacity",
        "Real PostgreSQL, Debezium, Kafka, Elasticsearch and model on one machine. "
        f"A burst of statements at once shows the capacity; then half of it for {seconds} s, each a transaction. "
        f"A search every {1000 * POLL_S:.0f} ms tells when each is found; refresh_interval {REFRESH_S:g} s. "
        "`poll.interval.ms` is the connector's: it holds changes back so long, to hand over more of them at once.",
        (
            "poll.interval.ms",
            "capacity",
            "driven at",
            "changes",
            "p50 s",
            "p99 s",
            "longest s",
            "p99 less the refresh",
            "wrong documents",
        ),
        [one.figures() for one in runs],
        [Reach("p99, database commit to searchable", runs[-1].p99, REFRESH_S + 1, "s", at_most=True)],
    )
    result.raw = [{"poll_ms": one.poll_ms, "seconds": [round(each, 3) for each in one.taken]} for one in runs]
    return result


@dataclass(frozen=True, slots=True)
class Measured:
    """How long each change took, in seconds, in order; the rates are changes a second."""

    poll_ms: int
    capacity: float
    taken: list[float]
    wrong: Comparison

    @property
    def p99(self) -> float:
        return self.taken[int(0.99 * len(self.taken))]

    def figures(self) -> list[str]:
        times = (self.taken[len(self.taken) // 2], self.p99, self.taken[-1], self.p99 - REFRESH_S)
        rates = (f"{self.capacity:.0f}/s", f"{self.capacity / 2:.0f}/s", f"{len(self.taken):,}")
        name = f"{self.poll_ms}, the default" if self.poll_ms == DEFAULT_POLL_MS else f"{self.poll_ms}, as we advise"
        return [name, *rates, *(f"{one:.2f}" for one in times), wrong_documents(self.wrong)]


def _measured(bench: Bench, poll_ms: int, seconds: float) -> Measured:
    rows, burst = bench.size(2000, 50), bench.size(1500, 60)
    folder = bench.folder / f"fresh-{poll_ms}"
    with scene(bench.place.servers, folder, Table("articles"), model=tiny_model()) as built:
        statements = Statements(built.database, built.table, rows)
        statements.fill()
        built.connect(partitions=1, options={"poll.interval.ms": str(poll_ms)})
        run = _start(bench, built)
        try:
            seen = Seen()
            with beside(partial(_search, run, built, seen), "search"):
                _wait_filled(run, built, rows)
                began = time.monotonic()
                for _ in range(burst):
                    statements.one(seen)
                until(lambda: not seen.waiting(), lambda: _told(run, seen), SEEN_WITHIN_S)
                capacity = burst / (time.monotonic() - began)
                bench.say(f"  {capacity:.0f} changes/s can be done, poll.interval.ms {poll_ms}")
                steady = Seen()
            with beside(partial(_search, run, built, steady), "search"):
                _drive(statements, steady, capacity / 2, seconds)
                until(lambda: not steady.waiting(), lambda: _told(run, steady), SEEN_WITHIN_S)
            wrong = compare(truth(built), run.found())
        finally:
            run.server.stop()
    return Measured(poll_ms, capacity, steady.latencies(), wrong)


def _start(bench: Bench, built: Scene) -> Contender:
    table = built.tables[0]
    topic = Topic(table.topic(built.name), table.name, fields=FIELDS)
    own = f"fresh-{uuid4().hex[:8]}"
    servers = bench.place.servers
    run = CONTENDERS[OURS](Setting(own, servers.kafka, servers.elasticsearch, [topic], bench.model, bench.folder))
    run.prepare()
    run.server.start()
    return run


def _wait_filled(run: Contender, built: Scene, rows: int) -> None:
    index = run.index_of(built.tables[0].name)

    def done() -> bool:
        assert run.server.running, run.server.log_tail()
        url = f"{run.setting.elasticsearch}/{index}"
        call("POST", f"{url}/_refresh")
        return int(call("GET", f"{url}/_count")["count"]) >= rows

    until(done, lambda: f"the snapshot is not indexed: {run.server.log_tail()}", SEEN_WITHIN_S, 0.5)


def _drive(statements: Statements, seen: Seen, a_second: float, seconds: float) -> None:
    began = time.monotonic()
    for number in range(int(a_second * seconds)):
        if (ahead := began + number / a_second - time.monotonic()) > 0:
            time.sleep(ahead)
        statements.one(seen)


def _search(run: Contender, built: Scene, seen: Seen, stopping: threading.Event) -> None:
    """Search for what is committed and not found yet, again and again."""
    index = run.index_of(built.tables[0].name)
    while not stopping.wait(POLL_S):
        query = {"query": {"terms": {"tags": seen.waiting()[:1000]}}, "size": 1000, "_source": ["tags"]}
        found = call("POST", f"{run.setting.elasticsearch}/{index}/_search", query)
        now = time.monotonic()
        for hit in found["hits"]["hits"]:
            seen.found.setdefault(hit["_source"]["tags"][0], now)


def _told(run: Contender, seen: Seen) -> str:
    return f"{len(seen.waiting())} changes are not found: {run.server.log_tail()}"
