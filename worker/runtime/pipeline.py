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
from typing import Final

from worker.errors import Halt
from worker.metrics import Metrics
from worker.ports import DeadLetters, DocumentStore, Embedder, Locator, Sink, Source
from worker.records import Change, DocumentWrite, Record, Rejection, Skip, Unit, Verdict
from worker.runtime.assignment import Assignment
from worker.runtime.clock import Clock
from worker.runtime.committer import Committer
from worker.runtime.draining import Draining
from worker.runtime.embedding import Embedding
from worker.runtime.finishing import Finishing
from worker.runtime.flow import Flow
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.looking_up import Lookup, LookupPorts
from worker.runtime.monitor import Monitor
from worker.runtime.queues import BatchQueue
from worker.runtime.rejecting import Rejecting
from worker.runtime.rejoining import Rejoining
from worker.runtime.retrying import Retrying
from worker.runtime.sending import Item, Sender, Work, items_of
from worker.runtime.sources import SourceReaders
from worker.runtime.target_watch import TargetWatch
from worker.runtime.truncating import Sweeper, Truncating
from worker.runtime.unexpected import unexpected
from worker.runtime.vector_cache import VectorCache
from worker.runtime.watchdog import Watchdog
from worker.settings import BatchSettings, DeliverySettings
from worker.settings.worker import Deletes
from worker.stages.breaker import NEVER, BreakerRule
from worker.stages.bulk import split
from worker.stages.documents import hard
from worker.stages.lookup_size import LookupSize, bytes_of
from worker.stages.planning import NeedsVector, Owing, Ready, Superseded, with_vector

_log = logging.getLogger(__name__)

# Looked up once: an enumeration's members are slow to come by.
_SKIPPED: Final = Verdict.SKIPPED
_SUPERSEDED: Final = Verdict.SUPERSEDED
_BYTES_A_TEXT: Final = 8192
"""On average over a call, so that texts of megabytes do not add up to minutes that nothing can interrupt."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that the pipeline talks to. The source can be started again after `close`."""

    source: Source
    store: DocumentStore
    locator: Locator
    embedder: Embedder
    sink: Sink
    dead_letters: DeadLetters | None


class Pipeline:
    """One worker's pipeline. `run` returns after `stop`. Faults of others it outlasts, in backoff or halted."""

    def __init__(
        self,
        ports: Ports,
        readers: SourceReaders,
        batch: BatchSettings,
        delivery: DeliverySettings,
        metrics: Metrics,
        clock: Clock | None = None,
        cache: VectorCache | None = None,
    ) -> None:
        """`cache` is for vectors of texts that come again; without it they are embedded again."""
        self._ports = ports
        self._readers = readers
        self._batch = batch
        self._delivery = delivery
        self._metrics = metrics
        self._clock = clock or Clock()
        self.ledger = Ledger(metrics, self._clock)
        self.watchdog = Watchdog(ports.source, self.ledger, self._clock)
        self.retrying = Retrying(delivery, metrics)
        self.target_watch = TargetWatch(ports.sink, self.retrying)
        self._flow = Flow(ports.source, self.ledger, self.retrying.halting, int(batch.max_in_flight), metrics)
        self.retrying.halting.on_change = self._flow.adjust
        self._intake = Intake(self._flow)
        self._lookup_size = LookupSize(batch.lookup_documents)
        self._lookup = Lookup(
            LookupPorts(ports.store, ports.locator, ports.embedder, ports.sink),
            readers,
            self.retrying,
            metrics,
            self._clock,
            self._intake.is_in_flight,
        )
        self._finishing = Finishing(self.ledger, self._intake, ports.dead_letters, readers, metrics, self._clock)
        # Without a dead-letter topic already the first rejection halts.
        rule = NEVER if ports.dead_letters is None else _breaker_rule(delivery)
        self._rejecting = Rejecting(self._finishing, self._intake, self.ledger, self.retrying, rule)
        self._committer = Committer(ports.source, self.ledger, delivery, metrics)
        self._embedding = Embedding(ports.embedder, metrics, self._clock, cache)
        self._sender = Sender(
            ports.sink, self.ledger.holds, self.retrying, metrics, self._clock, batch.bulk_concurrency
        )
        sweeper = Sweeper(ports.locator, self._deliver, self.retrying, self._intake, self._clock, delivery)
        self._truncating = Truncating(sweeper, self.ledger, self._rejecting, metrics, self._clock)
        self._to_embed: BatchQueue[tuple[Unit, NeedsVector]] = BatchQueue(
            max_bytes=int(batch.bulk_bytes),
            max_items=4 * batch.embed_texts,
        )
        self._to_send: BatchQueue[Work] = BatchQueue(
            max_bytes=2 * int(batch.bulk_bytes),
            max_items=2 * batch.bulk_documents,
        )
        # Asked for when somebody looks, not told with every change.
        metrics.queued.labels("lookup").set_function(lambda: self._intake.size)
        metrics.queued.labels("embed").set_function(lambda: self._to_embed.size)
        metrics.queued.labels("bulk").set_function(lambda: self._to_send.size)
        self._stopping = asyncio.Event()

    @property
    def embedder(self) -> Embedder:
        """The embedder in use, so that a search beside the worker need not load a second model."""
        return self._ports.embedder

    @property
    def store(self) -> DocumentStore:
        """Where the pipeline looks up what is stored."""
        return self._ports.store

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`, then finish what is in flight, commit, and return."""
        halting = self.retrying.halting
        draining = Draining(self._intake, self._rejecting, halting, self._delivery.drain_timeout)
        assignment = Assignment(self.ledger, self._intake, self._committer, draining, self._metrics)
        rejoining = Rejoining(self._ports.source, assignment, halting)
        monitor = Monitor(self._ports.source, self.ledger, self._metrics, self._clock)
        if not await self._started(assignment):
            return
        try:
            async with asyncio.TaskGroup() as group:
                fetching = group.create_task(self._fetch(rejoining), name="fetch")
                stages = [
                    group.create_task(self._prepare(), name="prepare"),
                    *(
                        group.create_task(self._embed(), name=f"embed-{number}")
                        for number in range(self._ports.embedder.concurrency)
                    ),
                    *(
                        group.create_task(self._send(), name=f"send-{number}")
                        for number in range(self._batch.bulk_concurrency)
                    ),
                    group.create_task(self._rejecting.run(), name="reject"),
                    group.create_task(self._truncating.run(), name="truncate"),
                    group.create_task(self._committer.run(), name="commit"),
                    group.create_task(monitor.run(), name="monitor"),
                    group.create_task(self.watchdog.run(), name="watchdog"),
                    group.create_task(self.target_watch.run(), name="target-watch"),
                ]
                await self._stopping.wait()
                fetching.cancel()
                await assignment.drain()
                for stage in stages:
                    stage.cancel()
        finally:
            # What is resolved may be committed even when something else has failed.
            await self._committer.commit()

    async def _started(self, assignment: Assignment) -> bool:
        """Join the group; False if asked to stop meanwhile: for brokers that swallow packets a client waits long."""
        waiting = asyncio.timeout(None)
        try:
            async with waiting:
                giving_up = asyncio.create_task(self._end_at_stop(waiting))
                try:
                    await self._ports.source.start(assignment)
                finally:
                    giving_up.cancel()
        except TimeoutError:
            if not waiting.expired():
                raise
            return False
        return True

    async def _end_at_stop(self, waiting: asyncio.Timeout) -> None:
        await self._stopping.wait()
        waiting.reschedule(asyncio.get_running_loop().time())

    async def _fetch(self, rejoining: Rejoining) -> None:
        while True:
            try:
                records = await self._ports.source.fetch()
            except Halt as fault:
                await rejoining.after(fault)
                continue
            if records:
                await self._read(records)
            self.ledger.passed(self._ports.source.positions())
            self._flow.adjust()

    async def _read(self, records: Sequence[Record]) -> None:
        seconds, started = 0.0, self._clock.monotonic()
        for record in records:
            self._take_in(record)
            if self._flow.is_out_of_breath(record.size):
                seconds += self._clock.monotonic() - started
                await asyncio.sleep(0)
                started = self._clock.monotonic()
        self._metrics.stage.labels("decode").observe(seconds + self._clock.monotonic() - started)

    def _take_in(self, record: Record) -> None:
        progress = self.ledger.admit(record)
        if progress is None:
            return
        reader = self._readers.of_topic(record.position.topic)
        outcome, version = reader.read(record, progress.watermark)
        if version is not None:
            progress.saw_version(version)
        if isinstance(outcome, Change):
            if outcome.nulled:
                self._metrics.nulled.labels(outcome.source).inc(len(outcome.nulled))
            self._rejecting.accepted(outcome.source, "decode")
            self._intake.add(outcome)
        elif isinstance(outcome, Skip):
            self._finishing.skip(record.position, outcome.reason)
        elif isinstance(outcome, Rejection) and outcome.departure is not None:
            self._intake.add(outcome.departure)
        elif isinstance(outcome, Rejection):
            self._rejecting.record(record, outcome, "decode", reader.rules.name, version)
        else:
            self._truncating.add(record, outcome, reader.rules.name)

    async def _prepare(self) -> None:
        while True:
            units = await self._intake.take(self._batch.lookup_documents, self._lookup_size.rows)
            plans = await self._lookup.plans(units)
            self._lookup_size.note(plans)
            ended: list[tuple[Unit, Verdict]] = []
            works: list[Work] = []
            needing: list[tuple[tuple[Unit, NeedsVector], int]] = []
            for unit, decision in plans:
                if not isinstance(decision, (Rejection, Owing)):
                    self._rejecting.accepted(unit.change.source, "plan")
                if isinstance(decision, NeedsVector):
                    needing.append(((unit, decision), max(unit.change.record.size, bytes_of(decision))))
                elif isinstance(decision, Superseded):
                    self._rejecting.accepted(unit.change.source, "bulk")
                    ended.append((unit, _SUPERSEDED))
                else:
                    works += self._work(unit, decision)
            self._finishing.finish(ended)
            # What needs no vector goes first: it must not wait behind a full embedding queue.
            await self._pass_on(works)
            await self._to_embed.put_all(needing)

    def _work(self, unit: Unit, decision: Ready | Owing | Rejection) -> Sequence[Work]:
        """What is to be sent for a unit that needs no vector."""
        stage = "plan" if unit.change.rejection is None else "decode"
        match decision:
            case Rejection():
                return self._rejected(unit, decision, stage, owed=())
            case Owing(writes, rejection):
                return self._rejected(unit, rejection, stage, owed=writes)
            case Ready(writes):
                if decision.reused:
                    self._metrics.reused.labels("stored").inc()
                return (Work(unit, writes),)

    def _rejected(
        self, unit: Unit, rejection: Rejection, stage: str, *, owed: Sequence[DocumentWrite]
    ) -> Sequence[Work]:
        """Put a unit aside, or first what writes the tombstones that it owes: see `planning.Owing`."""
        if owed:
            return (Work(unit, owed, rejection=rejection, stage=stage),)
        self._rejecting.unit(unit, rejection, stage)
        return ()

    async def _pass_on(self, works: Sequence[Work]) -> None:
        if self._delivery.deletes is not Deletes.TOMBSTONE:
            for work in works:
                work.writes = tuple(map(hard, work.writes))
        await self._to_send.put_all((work, sum([len(write.body) for write in work.writes])) for work in works)

    async def _embed(self) -> None:
        while True:
            most = self._batch.embed_texts
            batch = await self._to_embed.take(most * _BYTES_A_TEXT, most)
            texts = [needed.text for _, needed in batch]
            vectors = await self.retrying.call("embed", self._embedding.request(texts))
            model, packed = self._ports.embedder.model, self._ports.sink.packs_vectors
            works: list[Work] = []
            for (unit, needed), vector in zip(batch, vectors, strict=True):
                if isinstance(vector, Rejection):
                    works += self._rejected(unit, vector, "embed", owed=needed.tombstones)
                    continue
                try:
                    work = Work(unit, with_vector(needed, vector, model, packed=packed).writes)
                except Exception as error:  # noqa: BLE001 - see `unexpected`
                    rejection = unexpected(error, "write", unit.change.record.position)
                    works += self._rejected(unit, rejection, "embed", owed=needed.tombstones)
                    continue
                self._rejecting.accepted(unit.change.source, "embed")
                works.append(work)
            await self._pass_on(works)

    async def _send(self) -> None:
        while True:
            works = await self._to_send.take(int(self._batch.bulk_bytes), self._batch.bulk_documents)
            await self._deliver(works)
            self._end(works)
            self._flow.adjust()

    async def _deliver(self, works: Sequence[Work]) -> None:
        for late in (False, True):
            # Only one of several writes can be late.
            some = [work for work in works if len(work.writes) > 1] if late else works
            items = [item for work in some for item in items_of(work, self._ports.sink.target, late=late)]
            for part in self._parts(items):
                await self._sender.send(part)

    def _parts(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """A row may bring several writes, so what was taken within the budgets may be more than one request."""
        sizes = [len(item.data) for item in items]
        for part in split(sizes, int(self._batch.bulk_bytes), self._batch.bulk_documents):
            yield items[part.start : part.stop]

    def _end(self, works: Sequence[Work]) -> None:
        ended: list[tuple[Unit, Verdict]] = []
        for work in works:
            if work.rejection is not None:
                self._rejecting.unit(work.unit, work.rejection, work.stage)
                continue
            verdict = work.verdict
            if verdict is not _SKIPPED:
                self._rejecting.accepted(work.unit.change.source, "bulk")
            ended.append((work.unit, verdict))
        self._finishing.finish(ended)


def _breaker_rule(delivery: DeliverySettings) -> BreakerRule:
    return BreakerRule(delivery.rejections_in_a_row, delivery.rejection_window, delivery.rejection_share)
