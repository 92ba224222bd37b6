"""Workers as processes: the real pipeline, connected to the simulated world, that die, freeze, stop and come back."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from typing_extensions import override

from tests import builders
from tests.fakes.dead_letters import FakeDeadLetters
from tests.simulation.broker import SESSION_SECONDS, Broker, Client
from tests.simulation.database import Identity, Schema
from tests.simulation.elasticsearch import BulkFault, Connection, Server
from tests.simulation.loop import Process
from tests.simulation.story import Surroundings
from worker.errors import Halt, HaltReason
from worker.metrics import Metrics
from worker.ports import Embedder, Vectors
from worker.records import Position, Record, TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.daemon import first_cause
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.rejoining import RestartableSource
from worker.runtime.sources import SourceReader, SourceReaders
from worker.settings import BatchSettings, DeliverySettings
from worker.settings.types import Bytes
from worker.stages.decode import debezium
from worker.stages.rules import IdScope

DIMENSIONS: Final = 4
RECORD_COST: Final = 6000
"""Bytes that the ledger counts for a record of these stories, at most."""
DRAIN_SECONDS: Final = 5.0


class Chances:
    """Streams of chance by name, so that what one part draws does not depend on what another has drawn."""

    def __init__(self, seed: int, latency: int) -> None:
        self.seed = seed
        self.latency = latency
        self.fetch_seconds = 0.0
        """What a fetch takes where nothing else takes any time: all that it has brought is done before the next."""
        self._streams: dict[str, random.Random] = {}

    def of(self, name: str) -> random.Random:
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self.seed} {name}")
        return self._streams[name]

    def seconds(self, what: str) -> float:
        if not self.latency:
            return self.fetch_seconds if what == "fetch" else 0.0
        roll = self.of(what).random()
        if self.latency == 1:
            return 0.0 if roll < 0.5 else round(roll * 0.02, 4)
        return 0.0 if roll < 0.3 else round(roll * 0.1, 4) if roll < 0.95 else round(roll * 4, 4)


class VirtualClock(Clock):
    @override
    def wall_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)


class Model(Embedder):
    """One vector a text, and always the same."""

    def __init__(self, pause: Callable[[], float]) -> None:
        self.texts = 0
        self._pause = pause

    @property
    @override
    def model(self) -> str:
        return "simulated"

    @property
    @override
    def dimensions(self) -> int:
        return DIMENSIONS

    @override
    async def start(self) -> None:
        return

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        if seconds := self._pause():
            await asyncio.sleep(seconds)
        return np.array([vector_of(text) for text in texts], dtype=np.float32)

    @override
    async def close(self) -> None:
        return


def vector_of(text: str) -> list[float]:
    """Return the vector of a text."""
    return [1.0, float(len(text)), float(sum(map(ord, text))), float(ord(text[0]))]


class DeadLetterTopic(FakeDeadLetters):
    """Durable a moment after it was sent; sometimes not to be reached."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        super().__init__()
        self.down = False
        self.before_send = self._on_its_way
        self._seconds = seconds

    async def _on_its_way(self, _record: Record) -> None:
        if seconds := self._seconds():
            await asyncio.sleep(seconds)
        if self.down:
            raise Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, "the dead-letter topic does not answer")

    @property
    def places(self) -> set[tuple[int, int]]:
        """Partition and offset of every record in it."""
        headers = (dict(one.headers) for one in self.sent)
        return {(int(one["syncline-partition"] or b""), int(one["syncline-offset"] or b"")) for one in headers}


class _DeadLetterClient(FakeDeadLetters):
    """A worker's own way to the topic: cut when the worker is dead."""

    def __init__(self, topic: DeadLetterTopic) -> None:
        super().__init__()
        self.cut = False
        self._topic = topic

    @override
    async def send(self, record: Record, headers: "dict[str, str]") -> None:  # type: ignore[override]
        if self.cut:
            raise asyncio.CancelledError
        await self._topic.send(record, headers)


class World:
    """What outlives every worker."""

    def __init__(self, surroundings: Surroundings, chances: Chances) -> None:
        self.surroundings = surroundings
        self.chances = chances
        self.broker = Broker(builders.TOPIC, surroundings.schema.partitions)
        self.server = Server(
            shards=surroundings.shards,
            gc_deletes=surroundings.gc_deletes,
            max_bytes=surroundings.max_bytes,
            refresh_seconds=(1.0, 30.0)[chances.seed % 2],
        )
        self.dead_letters = DeadLetterTopic(lambda: chances.seconds("dead letter"))
        self.model = Model(lambda: chances.seconds("embed"))
        self.bulk_faults: list[BulkFault] = []
        self.lookup_faults = 0

    def next_bulk_fault(self) -> BulkFault | None:
        return self.bulk_faults.pop(0) if self.bulk_faults else None

    def next_lookup_fails(self) -> bool:
        fails = self.lookup_faults > 0
        self.lookup_faults -= fails
        return fails


class Worker:
    """One process with one pipeline."""

    def __init__(self, name: str, world: World, surroundings: Surroundings) -> None:
        """`surroundings` say how much the worker takes at a time; what the table is like, the world says."""
        chances = world.chances
        self.name = name
        self.process = Process(name)
        self.process.on_kill = self._cut
        self.stopped_at: float | None = None
        self.ended_with: BaseException | None = None
        self.metrics = Metrics()
        self._fetch_max_records = surroundings.fetch_max_records
        self.clients = [self._connected(world)]
        """One at a time: after a loss of offsets the worker leaves the group, and joins with another one."""
        self._unused = list(self.clients)
        self._source = RestartableSource(self._new_client)
        self._connection = Connection(
            world.server,
            delay=chances.seconds,
            faults=world.next_bulk_fault,
            lookup_faults=world.next_lookup_fails,
            choose=chances.of("items").randrange,
        )
        self._dead_letters = _DeadLetterClient(world.dead_letters)
        self._world = world
        self.pipeline = Pipeline(
            Ports(
                source=self._source,
                store=self._connection,
                locator=self._connection,
                embedder=world.model,
                sink=self._connection,
                dead_letters=self._dead_letters,
            ),
            SourceReaders([reader(world.surroundings.schema)]),
            _batch(surroundings),
            DeliverySettings(drain_timeout=DRAIN_SECONDS, retry_max=4),
            self.metrics,
            VirtualClock(),
        )
        self.resolved: dict[tuple[TopicPartition, int], Verdict] = {}
        """How each record ended that it has counted."""
        self.pipeline.ledger.on_resolved = self._note_verdict
        self.pipeline.retrying._chance = chances.of(f"jitter {name}")
        self.pipeline.retrying.halting._chance = chances.of(f"probes {name}")

    def _note_verdict(self, position: Position, verdict: Verdict, _reason: str) -> None:
        self.resolved[position.topic_partition, position.offset] = verdict

    def _new_client(self) -> Client:
        if self._unused:
            return self._unused.pop()
        self.clients.append(self._connected(self._world))
        return self.client

    def _connected(self, world: World) -> Client:
        return Client(
            world.broker,
            builders.TOPIC,
            name=self.name,
            fetch_max_records=self._fetch_max_records,
            delay=self._delay,
        )

    @property
    def client(self) -> Client:
        """The present client, or the last one."""
        return self.clients[-1]

    async def _delay(self, what: str) -> None:
        if seconds := self._world.chances.seconds(what):
            await asyncio.sleep(seconds)

    def start(self) -> None:
        self.task = self.process.start(self._main())

    async def _main(self) -> None:
        try:
            await self.pipeline.run()
        except BaseExceptionGroup as group:
            self.ended_with = first_cause(group) or group
        except Exception as error:  # noqa: BLE001 - whatever ends a worker is the story's to judge
            self.ended_with = error
        await self._source.close()

    @property
    def stopping(self) -> bool:
        return self.stopped_at is not None

    @property
    def ended(self) -> bool:
        return self.process.dead or self.task.done()

    def stop(self) -> None:
        """Do what SIGTERM does."""
        self.stopped_at = asyncio.get_running_loop().time()
        self.pipeline.stop()

    def _cut(self) -> None:
        """The process is dead: it has no connections any more; its session ends some time later."""
        self.client.cut = self._connection.cut = self._dead_letters.cut = True
        asyncio.get_running_loop().call_later(SESSION_SECONDS, self._world.broker.leave, self.client)

    def freeze(self, seconds: float) -> None:
        """Stop the process and let it go on later; if its session ends meanwhile, it notices then."""
        loop = asyncio.get_running_loop()
        self.process.freeze()
        if seconds > SESSION_SECONDS:
            loop.call_later(SESSION_SECONDS, self._expel_if_frozen)
        loop.call_later(seconds, self.process.thaw)

    def _expel_if_frozen(self) -> None:
        if self.process.frozen and not self.ended:
            self._world.broker.expel(self.client, 0)

    @property
    def verdicts(self) -> Counter[str]:
        """How many records were counted under which verdict."""
        counted: Counter[str] = Counter()
        for family in self.metrics.records.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    counted[sample.labels["verdict"]] += int(sample.value)
        return counted

    @property
    def consumed(self) -> int:
        (family,) = self.metrics.consumed.collect()
        return int(sum(sample.value for sample in family.samples if sample.name.endswith("_total")))

    @property
    def halts(self) -> set[str]:
        """For what reasons it has been halted."""
        (family,) = self.metrics.halts.collect()
        return {one.labels["reason"] for one in family.samples if one.name.endswith("_total") and one.value}


def reader(schema: Schema) -> SourceReader:
    """Return how the table is declared."""
    rules = builders.rules(
        id_scope=IdScope.GLOBAL if schema.global_ids else IdScope.TENANT_SCOPED,
        trusts_before=schema.identity is Identity.FULL,
        fields={"title": "title", "content": "content", "url": "url"},
        embed=("title",),
    )
    return SourceReader(frozenset({builders.TOPIC}), None, debezium.decode, rules)


def _batch(surroundings: Surroundings) -> BatchSettings:
    # Below the bounds of the settings: a story has few and small records.
    return BatchSettings.model_construct(
        max_in_flight=Bytes(surroundings.in_flight_records * RECORD_COST),
        lookup_documents=surroundings.lookup_documents,
        embed_texts=surroundings.embed_texts,
        bulk_bytes=Bytes(5 << 20),
        bulk_documents=surroundings.bulk_documents,
        bulk_concurrency=surroundings.bulk_concurrency,
    )
