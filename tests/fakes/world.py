"""A whole worker on fakes: the real pipeline between a log, an index and a dead-letter topic in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from tests import builders
from tests.fakes.dead_letters import FakeDeadLetters
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.source import FakeSource, Log
from worker.errors import HaltReason
from worker.metrics import Metrics
from worker.records import Place, TopicPartition
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.rejoining import RestartableSource
from worker.runtime.sources import Decoder, SourceReader, SourceReaders
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.decode import debezium
from worker.stages.rules import SourceRules

TOPIC = builders.TOPIC
GROUP = "syncline"
PATIENCE = 3600.0
"""Virtual seconds after which something that is waited for will not happen any more."""

RULES = builders.rules(fields={"title": "title", "content": "content", "url": "url"}, embed=("title",))
"""The title is embedded, the rest is not."""


class World:
    """The surroundings outlive a worker: a second world `like` the first is a restart, or another replica."""

    def __init__(  # noqa: PLR0913 - a test says what it is about
        self,
        *,
        partitions: int = 1,
        like: "World | None" = None,
        rules: SourceRules = RULES,
        decode: Decoder = debezium.decode,
        batch: BatchSettings | None = None,
        delivery: DeliverySettings | None = None,
        with_dead_letters: bool = True,
        fetch_max_records: int = 500,
    ) -> None:
        self.log: Log = Log({TOPIC: partitions}) if like is None else like.log
        self.index: FakeElasticsearch = FakeElasticsearch() if like is None else like.index
        self.embedder: FakeEmbedder = FakeEmbedder() if like is None else like.embedder
        self.dead_letters: FakeDeadLetters = FakeDeadLetters() if like is None else like.dead_letters
        self._max_records = fetch_max_records
        self.source = self._new_source()
        self._sources = 0
        self.metrics = Metrics()
        self.pipeline = Pipeline(
            Ports(
                source=RestartableSource(self._next_source),
                store=self.index,
                locator=self.index,
                embedder=self.embedder,
                sink=self.index,
                dead_letters=self.dead_letters if with_dead_letters else None,
            ),
            SourceReaders([SourceReader(frozenset({TOPIC}), None, decode, rules)]),
            batch or BatchSettings(),
            delivery or DeliverySettings(),
            self.metrics,
        )

    def _new_source(self) -> FakeSource:
        return FakeSource(self.log, [TOPIC], group_id=GROUP, fetch_max_records=self._max_records)

    def _next_source(self) -> FakeSource:
        """What the worker starts: first the source that the test has had in hand, then new ones."""
        if self._sources:
            self.source = self._new_source()
        self._sources += 1
        return self.source

    def upsert(
        self, row_id: int, title: str, lsn: int, *, tenant: str = "acme", partition: int = 0, **columns: object
    ) -> int:
        """Append a change as Debezium writes it; returns its offset."""
        row = builders.row(row_id, tenant, **{"title": title, "url": None, **columns})
        return self.append(builders.event("u", row, lsn=lsn), row_id, partition)

    def append(self, event: object, row_id: object, partition: int = 0) -> int:
        """Append any event; bytes go as they are."""
        value = event if isinstance(event, bytes) else orjson.dumps(event)
        return self.log.append(TopicPartition(TOPIC, partition), orjson.dumps({"id": row_id}), value)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Run the worker; stop it at the end of the block, unless it has ended by then."""
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield task
        finally:
            self.pipeline.stop()
            await asyncio.gather(task, return_exceptions=True)
            await self.source.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def settle(self) -> None:
        """Wait until everything in the log has a verdict."""
        await self.until(lambda: self.source.group.caught_up and not self.pipeline.ledger.open_records)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to become true."""
        pause = 0.001
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(pause)
                pause = min(0.1, 1.1 * pause)

    async def run_to_the_end(self) -> None:
        """Run until everything in the log has a verdict, then stop."""
        async with self.running():
            await self.settle()

    async def until_halted(self) -> dict[HaltReason, str]:
        """Wait until the worker is halted; return why."""
        halting = self.pipeline.retrying.halting
        await self.until(lambda: halting.halted)
        return dict(halting.reasons)

    def committed(self, partition: int = 0) -> int | None:
        """The offset that the group has committed."""
        commit = self.log.commits.get((GROUP, TopicPartition(TOPIC, partition)))
        return None if commit is None else commit.offset

    @property
    def titles(self) -> dict[Place, str]:
        """What the index shows."""
        return {place: held.body["title"] for place, held in self.index.live.items()}

    @property
    def verdicts(self) -> Counter[str]:
        """How many records ended how; skipped and dead-lettered ones by their reason."""
        counted: Counter[str] = Counter()
        for sample in _samples(self.metrics, "syncline_records_total"):
            counted[sample.labels["reason"] or sample.labels["verdict"]] += int(sample.value)
        return +counted

    @property
    def consumed(self) -> int:
        return sum(int(sample.value) for sample in _samples(self.metrics, "syncline_records_consumed_total"))

    def value(self, name: str, **labels: str) -> float:
        """One metric's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def _samples(metrics: Metrics, name: str) -> list[Any]:
    return [sample for family in metrics.registry.collect() for sample in family.samples if sample.name == name]


class Gate:
    """Holds whoever comes until it is opened: assign `gate` to one of the fakes' `before_...` hooks."""

    def __init__(self, holds: Callable[[Any], bool] = lambda _what: True) -> None:
        """Only calls for which `holds` is true are held."""
        self.came: list[Any] = []
        self.waiting = 0
        self._holds = holds
        self._open = asyncio.Event()

    async def __call__(self, what: Any) -> None:  # noqa: ANN401 - places, texts or a record
        self.came.append(what)
        if not self._holds(what):
            return
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1

    def open(self) -> None:
        self._open.set()
