"""`syncline dead-letters`: what was put aside, and the worker's own pipeline to try it once more."""

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.kafka_check import check_kafka
from worker.adapters.kafka_dead_letter_log import KafkaDeadLetterLog
from worker.app.model import build_embedder, refuse_unreachable_model
from worker.app.sources import source_readers
from worker.control.dead_letters import Filters, Letters, Listing, list_letters, one_letter
from worker.control.dry_run import DryEmbedder, DryLocator, DrySink
from worker.control.replay import Outcome, Replay, Replayed, without_breaker
from worker.control.target import check_alias, check_target
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.runtime.clock import Clock
from worker.runtime.daemon import supervise
from worker.runtime.pipeline import Pipeline, Ports
from worker.settings import Settings
from worker.stages.dead_letters import Letter


def topic_of(settings: Settings) -> str:
    """Return the dead-letter topic.

    Raises:
        OperatorError: none is set.
    """
    topic = settings.kafka.dead_letter_topic
    if topic is None:
        raise OperatorError("dead-letters: kafka.dead_letter_topic is not set: set it to the topic to look into")
    return topic


async def list_dead_letters(settings: Settings, filters: Filters, limit: int) -> Listing:
    """Count the letters and return the last ones.

    Raises:
        OperatorError: the topic cannot be read.
    """
    async with _log(settings) as log:
        return await list_letters(log, filters, limit)


async def read_dead_letter(settings: Settings, partition: int, offset: int) -> Letter:
    """Return one letter.

    Raises:
        OperatorError: there is none, or the topic cannot be read.
    """
    async with _log(settings) as log:
        return await one_letter(log, partition, offset)


@contextlib.asynccontextmanager
async def _log(settings: Settings) -> AsyncIterator[KafkaDeadLetterLog]:
    topic = topic_of(settings)
    await check_kafka(settings.kafka, [])
    async with contextlib.AsyncExitStack() as closing:
        log = KafkaDeadLetterLog(settings.kafka, topic)
        closing.push_async_callback(log.close)
        await log.start()
        yield log


async def replay_dead_letters(
    settings: Settings, filters: Filters, told: Callable[[Replayed], bool], *, dry_run: bool
) -> tuple[Counter[Outcome], bool]:
    """Replay the letters, and tell of each; return the counts, and whether it was cut short.

    A signal does that, and `told`, where it says that it is not to go on: what is in flight is finished, and told.

    Raises:
        OperatorError: a mistake in the settings, found before anything is written.
        Halt: a fault that is not the letters'; what was told of is done.
    """
    # What is rejected again is told like every other outcome.
    logging.getLogger("worker.runtime.finishing").setLevel(logging.ERROR)
    counts: Counter[Outcome] = Counter()

    def count(done: Replayed) -> None:
        counts[done.outcome] += 1
        if not told(done):
            pipeline.stop()

    async with _log(settings) as log, contextlib.AsyncExitStack() as closing:
        client = build_client(settings.elasticsearch, connections=2 * settings.batch.bulk_concurrency + 2)
        closing.push_async_callback(client.close)
        admin = ElasticAdmin(client)
        await check_alias(admin, settings)
        letters = aiter(Letters(log, filters))
        first = await anext(letters, None)
        if first is None:  # a model takes seconds to load
            return counts, False
        embedder = await _embedder(settings, admin, closing, dry_run=dry_run)
        replay = Replay(_again(first, letters), source_readers(settings.sources), settings.delivery, count, Clock())
        alias = settings.index.writer_alias
        locator = ElasticLocator(client, alias)
        ports = Ports(
            source=replay,
            store=ElasticStore(client, alias),
            locator=DryLocator(locator) if dry_run else locator,
            embedder=embedder,
            sink=DrySink(alias) if dry_run else ElasticSink(client, alias),
            dead_letters=replay,
        )
        pipeline = Pipeline(ports, replay.readers, settings.batch, without_breaker(settings.delivery), Metrics())
        await supervise(lambda: replay.run(pipeline), pipeline.stop)
        return counts, not replay.at_end.is_set()


async def _again(first: Letter, rest: AsyncIterator[Letter]) -> AsyncIterator[Letter]:
    yield first
    async for letter in rest:
        yield letter


async def _embedder(
    settings: Settings, admin: ElasticAdmin, closing: contextlib.AsyncExitStack, *, dry_run: bool
) -> Embedder:
    if dry_run:
        return DryEmbedder(settings.embedding.identity)
    await refuse_unreachable_model(settings.embedding)
    embedder = build_embedder(settings.embedding)
    closing.push_async_callback(embedder.close)
    await embedder.start()
    await check_target(admin, settings, embedder.dimensions, embedder.model)
    return embedder
