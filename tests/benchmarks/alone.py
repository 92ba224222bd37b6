"""The pipeline alone: all of its own work on real change events, between servers that answer at once.

    python -m tests.benchmarks.alone [--events 20000] [--profile]

Log, index and model are in memory and do next to nothing: the tests' log, an index that says yes to everything (or, for
a replay, that everything is there already), and fixed vectors. So what is left is what the worker itself costs: decode,
map, intake, plan, serialise, match responses, account, commit. Processor time counts: of one core, since there is one
thread. `--profile` prints where it goes, function by function, under cProfile.
"""

import argparse
import asyncio
import cProfile
import io
import pstats
import statistics
import time
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import orjson
from typing_extensions import override

from tests.benchmarks.baselines.model import DIMENSIONS
from tests.benchmarks.events import FIELDS, TABLE, History, Record
from tests.fakes.dead_letters import FakeDeadLetters
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.source import FakeSource, Log
from worker.metrics import Metrics
from worker.ports import Embedder, Vectors
from worker.records import ItemResponse, Place, Stored, TopicPartition
from worker.runtime.daemon import spare_the_collector
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.rejoining import RestartableSource
from worker.runtime.sources import DECODERS, SourceReader, SourceReaders
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.rules import FieldRule, FieldType, IdScope, SourceRules

TOPIC: Final = f"bench.public.{TABLE}"
RULES: Final = SourceRules(
    name=TABLE,
    id_columns=("id",),
    tenant_column="tenant",
    id_scope=IdScope.TENANT_SCOPED,
    trusts_before=False,
    version_epoch=0,
    fields=tuple(FieldRule(name, name, FieldType.AS_IS) for name in FIELDS),
    embed=("title", "content"),
)
_CREATED: Final = ItemResponse(201)
_EVERYTHING: Final = Stored(version=1 << 60, deleted=False)
WAYS: Final = ("insert", "replay")
_VECTORS: Final = 4096
"""As many as `batch.embed_texts` may be."""


class Yes(FakeElasticsearch):
    """Takes everything unread. `stored_already`: and has everything already, in a later version."""

    def __init__(self, *, stored_already: bool) -> None:
        super().__init__()
        self._answer = _EVERYTHING if stored_already else None
        self.items = 0

    @property
    @override
    def packs_vectors(self) -> bool:
        return True

    @override
    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        self.items += count
        await asyncio.sleep(0)
        return [_CREATED] * count

    @override
    async def stored(
        self, places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        await asyncio.sleep(0)
        return [self._answer] * len(places)


async def run(records: Sequence[Record], way: str, profile: cProfile.Profile | None = None) -> tuple[float, float]:
    """Let a pipeline work through the records; processor and wall seconds."""
    log = Log({TOPIC: 1})
    for one in records:
        log.append(TopicPartition(TOPIC, 0), one.key, one.value)
    index = Yes(stored_already=way == "replay")
    pipeline = Pipeline(
        Ports(
            source=RestartableSource(lambda: FakeSource(log, [TOPIC])),
            store=index,
            locator=index,
            embedder=AtHand(),
            sink=index,
            dead_letters=FakeDeadLetters(),
        ),
        SourceReaders([SourceReader(frozenset({TOPIC}), None, DECODERS["debezium"], RULES)]),
        BatchSettings(),
        DeliverySettings(),
        Metrics(),
    )
    done = asyncio.Event()
    left = len(records)

    def resolved(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    pipeline.ledger.on_resolved = resolved
    # The log and its records are the benchmark's; and so the worker does when its model is loaded.
    spare_the_collector()
    if profile is not None:
        profile.enable()
    began, wall = time.process_time(), time.perf_counter()
    task = asyncio.create_task(pipeline.run())
    await done.wait()
    spent = time.process_time() - began, time.perf_counter() - wall
    if profile is not None:
        profile.disable()
    pipeline.stop()
    await task
    return spent


class AtHand(Embedder):
    """Vectors that cost nothing: the same ones for every call."""

    model = "fixed"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self._vectors = np.random.default_rng(7).standard_normal((_VECTORS, DIMENSIONS), dtype=np.float32)

    @override
    async def start(self) -> None:
        return

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        return self._vectors[: len(texts)]

    @override
    async def close(self) -> None:
        return


def bare(records: Sequence[Record]) -> float:
    """Processor seconds to parse the same events and serialise them again: what no pipeline can do without."""
    began = time.process_time()
    for one in records:
        orjson.dumps(orjson.loads(one.value or b"null"))
    return time.process_time() - began


def measured(events: int, rounds: int) -> dict[str, dict[str, float]]:
    """Events a second of processor time, by way: medians over rounds that take turns."""
    records = History().inserts(events)
    times: dict[str, list[float]] = {way: [] for way in ("bare", *WAYS)}
    for _ in range(rounds):
        times["bare"].append(bare(records))
        for way in WAYS:
            times[way].append(asyncio.run(run(records, way))[0])
    medians = {way: statistics.median(taken) for way, taken in times.items()}
    return {
        way: {
            "a_second": events / taken,
            "us_an_event": 1e6 * taken / events,
            "times_bare": taken / medians["bare"],
            "best_a_second": events / min(times[way]),
        }
        for way, taken in medians.items()
    }


def profiled(events: int, way: str, lines: int = 35) -> str:
    """The functions that take the most time of their own."""
    profile = cProfile.Profile()
    asyncio.run(run(History().inserts(events), way, profile))
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    return text.getvalue()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", choices=WAYS)
    given = parser.parse_args()
    if given.profile:
        print(profiled(given.events, given.profile))  # noqa: T201
        return
    print(f"{'':<10}{'us an event':>12}{'events/s':>10}{'best':>10}{'x bare':>8}")  # noqa: T201
    for way, one in measured(given.events, given.rounds).items():
        figures = f"{one['us_an_event']:>12.1f}{one['a_second']:>10,.0f}{one['best_a_second']:>10,.0f}"
        print(f"{way:<10}{figures}{one['times_bare']:>8.1f}")  # noqa: T201


if __name__ == "__main__":
    main()
