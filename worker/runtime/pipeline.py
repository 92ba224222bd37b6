"""The stage order, in one screen:

    fetch --> [intake] --> look up and plan --> [queue] --> embed --> [queue] --> send --> ledger --> commit
                                    `----------- no embedding needed -----------^

Each arrow is a task of its own, so the stages overlap: while one batch is in a bulk request, the next is embedded and
the one after that looked up. No stage waits for a batch to fill: it takes what is there when it becomes free.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.metrics import Metrics
from worker.ports import DeadLetters, DocumentStore, Embedder, Locator, Sink, Source
from worker.records import Record, Rejection, Skip, Unit, Verdict
from worker.runtime.assignment import Assignment
from worker.runtime.clock import Clock
from worker.runtime.committer import Committer
from worker.runtime.finishing import Finishing
from worker.runtime.flow import Flow
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.looking_up import Lookup, LookupPorts
from worker.runtime.monitor import Monitor
from worker.runtime.queues import BatchQueue
from worker.runtime.retrying import Retrying
from worker.runtime.sending import Item, Sender, Work, items_of
from worker.runtime.sources import SourceReaders
from worker.runtime.watchdog import Watchdog
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.bulk import split
from worker.stages.planning import NeedsVector, Ready, Superseded, with_vector

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that the pipeline talks to."""

    source: Source
    store: DocumentStore
    locator: Locator
    embedder: Embedder
    sink: Sink
    dead_letters: DeadLetters | None


class Pipeline:
    """One worker's pipeline. `run` returns after `stop`; it raises what no retry can mend."""

    def __init__(
        self,
        ports: Ports,
        readers: SourceReaders,
        batch: BatchSettings,
        delivery: DeliverySettings,
        metrics: Metrics,
        clock: Clock | None = None,
    ) -> None:
        self._ports = ports
        self._readers = readers
        self._batch = batch
        self._delivery = delivery
        self._metrics = metrics
        self._clock = clock or Clock()
        self.ledger = Ledger(metrics, self._clock)
        self.watchdog = Watchdog(ports.source, self.ledger, self._clock)
        self._intake = Intake()
        self.retrying = Retrying(delivery, metrics)
        self._lookup = Lookup(
            LookupPorts(ports.store, ports.locator, ports.embedder),
            readers,
            self.retrying,
            metrics,
            self._clock,
            self._intake.is_in_flight,
        )
        self._finishing = Finishing(self.ledger, self._intake, ports.dead_letters, metrics, self._clock)
        self._committer = Committer(ports.source, self.ledger, delivery, metrics)
        self._flow = Flow(ports.source, self.ledger, int(batch.max_in_flight), metrics)
        self._sender = Sender(ports.sink, self.retrying, metrics, self._clock)
        self._to_embed: BatchQueue[tuple[Unit, NeedsVector]] = BatchQueue(
            max_bytes=int(batch.bulk_bytes),
            max_items=4 * batch.embed_texts,
            on_change=metrics.queued.labels("embed").set,
        )
        self._to_send: BatchQueue[Work] = BatchQueue(
            max_bytes=2 * int(batch.bulk_bytes),
            max_items=2 * batch.bulk_documents,
            on_change=metrics.queued.labels("bulk").set,
        )
        self._stopping = asyncio.Event()

    @property
    def embedder(self) -> Embedder:
        """The embedder in use, so that a search beside the worker need not load a second model."""
        return self._ports.embedder

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`, then finish what is in flight, commit, and return."""
        assignment = Assignment(self.ledger, self._intake, self._committer, self._delivery, self._metrics)
        monitor = Monitor(self._ports.source, self.ledger, self._metrics, self._clock)
        await self._ports.source.start(assignment)
        try:
            async with asyncio.TaskGroup() as group:
                fetching = group.create_task(self._fetch(), name="fetch")
                stages = [
                    group.create_task(self._prepare(), name="prepare"),
                    group.create_task(self._embed(), name="embed"),
                    *(
                        group.create_task(self._send(), name=f"send-{number}")
                        for number in range(self._batch.bulk_concurrency)
                    ),
                    group.create_task(self._committer.run(), name="commit"),
                    group.create_task(monitor.run(), name="monitor"),
                    group.create_task(self.watchdog.run(), name="watchdog"),
                ]
                await self._stopping.wait()
                fetching.cancel()
                await assignment.drain()
                for stage in stages:
                    stage.cancel()
        finally:
            # What is resolved may be committed even when something else has failed.
            await self._committer.commit()

    async def _fetch(self) -> None:
        while True:
            for record in await self._ports.source.fetch():
                await self._take_in(record)
                await self._flow.breathe(record.size)
            self.ledger.passed(self._ports.source.positions())
            self._flow.adjust()

    async def _take_in(self, record: Record) -> None:
        progress = self.ledger.admit(record)
        if progress is None:
            return
        outcome, version = self._readers.of_topic(record.position.topic).read(record, progress.watermark)
        if version is not None:
            progress.saw_version(version)
        if isinstance(outcome, Skip):
            self._finishing.skip(record.position, outcome.reason)
        elif isinstance(outcome, Rejection):
            await self._finishing.reject(record, outcome, "decode")
        else:
            if outcome.nulled:
                self._metrics.nulled.labels(outcome.source).inc(len(outcome.nulled))
            self._intake.add(outcome)

    async def _prepare(self) -> None:
        while True:
            units = await self._intake.take(self._batch.lookup_documents)
            plans = await self._lookup.plans(units)
            # What needs no vector goes first: it must not wait behind a full embedding queue.
            for unit, decision in plans:
                if isinstance(decision, NeedsVector):
                    continue
                await self._act(unit, decision)
            for unit, decision in plans:
                if isinstance(decision, NeedsVector):
                    await self._to_embed.put((unit, decision), unit.change.record.size)

    async def _act(self, unit: Unit, decision: Superseded | Ready | Rejection) -> None:
        match decision:
            case Superseded():
                self._finishing.finish(unit, Verdict.SUPERSEDED)
            case Rejection():
                await self._finishing.finish_rejected(unit, decision, "plan")
            case Ready():
                if decision.reused:
                    self._metrics.reused.inc()
                await self._pass_on(unit, decision)

    async def _pass_on(self, unit: Unit, ready: Ready) -> None:
        await self._to_send.put(Work(unit, ready.writes), sum(len(write.body) for write in ready.writes))

    async def _embed(self) -> None:
        while True:
            batch = await self._to_embed.take(int(self._batch.bulk_bytes), self._batch.embed_texts)
            started = self._clock.monotonic()
            vectors = await self._ports.embedder.embed([needed.text for _, needed in batch])
            self._metrics.stage.labels("embed").observe(self._clock.monotonic() - started)
            self._metrics.texts.inc(len(batch))
            for (unit, needed), vector in zip(batch, vectors, strict=True):
                await self._pass_on(unit, with_vector(needed, vector, self._ports.embedder.model))

    async def _send(self) -> None:
        while True:
            works = await self._to_send.take(int(self._batch.bulk_bytes), self._batch.bulk_documents)
            items: list[Item] = [item for work in works for item in items_of(work, self._ports.sink.target)]
            for part in self._parts(items):
                await self._sender.send(part)
            for work in works:
                await self._end(work)
            self._flow.adjust()

    def _parts(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """A row may bring several writes, so what was taken within the budgets may be more than one request."""
        sizes = [len(item.data) for item in items]
        for part in split(sizes, int(self._batch.bulk_bytes), self._batch.bulk_documents):
            yield items[part.start : part.stop]

    async def _end(self, work: Work) -> None:
        if work.rejection is not None:
            await self._finishing.finish_rejected(work.unit, work.rejection, "bulk")
        else:
            self._finishing.finish(work.unit, work.verdict)
