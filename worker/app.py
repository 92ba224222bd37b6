"""The composition root: the only place that builds adapters, puts them together and closes them.

Heavy libraries (torch above all) load inside the functions that need them, so that `syncline --help` is quick.
"""

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Sequence

from worker import __version__
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_search import ElasticSearcher
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.kafka_check import check_kafka
from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.adapters.kafka_source import KafkaSource
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.control.apply import Report, apply
from worker.control.search import refuse_odd_question, search
from worker.control.target import check_alias, check_target, explained
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.runtime.clock import Clock
from worker.runtime.daemon import supervise
from worker.runtime.endpoints import Endpoints, serving
from worker.runtime.health import Health
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.sources import DECODERS, SourceReader, SourceReaders
from worker.settings import EmbeddingSettings, Settings, SourceSettings
from worker.stages.search import Hit, Mode

_log = logging.getLogger(__name__)


async def run_worker(settings: Settings) -> None:
    """Keep the index in step until a signal says otherwise.

    Raises:
        OperatorError: a mistake in the settings, found before anything is consumed.
        Halt: a fault that no retry mends; what was resolved is committed.
    """
    _log.info(
        "starting",
        extra={
            "action": "starting",
            "version": __version__,
            "group": settings.kafka.group_id,
            "topics": subscription(settings.sources)[1] or subscription(settings.sources)[0],
            "write_alias": settings.index.writer_alias,
        },
    )
    async with served_pipeline(settings, Metrics()) as (pipeline, _):
        await supervise(pipeline.run, pipeline.stop)
        _log.info("stopped", extra={"action": "stopped"})


@contextlib.asynccontextmanager
async def served_pipeline(settings: Settings, metrics: Metrics) -> AsyncIterator[tuple[Pipeline, str]]:
    """Build a pipeline and serve its metrics and probes; yields it with the server's base URL.

    Raises:
        OperatorError: as `built_pipeline`, or the server's port is taken.
    """
    endpoints = Endpoints(metrics.registry)
    async with serving(settings.server, endpoints) as url:
        _log.info("serving metrics and probes", extra={"action": "listening", "url": url})
        async with built_pipeline(settings, metrics) as pipeline:
            endpoints.watch(Health(pipeline.ledger, pipeline.retrying, settings.delivery.progress_limit, Clock()))
            yield pipeline, url


@contextlib.asynccontextmanager
async def built_pipeline(settings: Settings, metrics: Metrics) -> AsyncIterator[Pipeline]:
    """Build a pipeline whose target is checked and whose model is loaded; close everything at the end.

    Raises:
        OperatorError: the model, the target or the connection to Kafka is not as the settings say.
    """
    refuse_missing_model(settings.embedding)
    async with contextlib.AsyncExitStack() as closing:
        client = build_client(settings.elasticsearch, connections=2 * settings.batch.bulk_concurrency + 2)
        closing.push_async_callback(client.close)
        # Cheap checks first: they answer at once, a model takes seconds to load.
        admin = ElasticAdmin(client)
        await check_alias(admin, settings)
        await check_kafka(settings.kafka, subscription(settings.sources)[0])
        _log.info("Elasticsearch and Kafka are ready, loading the model", extra={"action": "loading_model"})
        embedder = SentenceEmbedder(settings.embedding)
        closing.push_async_callback(embedder.close)
        await embedder.start()
        for warning in await check_target(admin, settings, embedder.dimensions, embedder.model):
            _log.warning(warning, extra={"action": "target_check"})
        metrics.build_info.labels(__version__, embedder.model).set(1)
        _log.info(
            "model loaded",
            extra={"action": "model_loaded", "model": embedder.model, "path": str(settings.embedding.path or "")},
        )
        dead_letters = await _dead_letters(settings, closing)
        source = KafkaSource(settings.kafka, *subscription(settings.sources))
        closing.push_async_callback(source.close)
        ports = Ports(
            source=source,
            store=ElasticStore(client, settings.index.writer_alias),
            locator=ElasticLocator(client, settings.index.writer_alias),
            embedder=embedder,
            sink=ElasticSink(client, settings.index.writer_alias),
            dead_letters=dead_letters,
        )
        yield Pipeline(ports, source_readers(settings.sources), settings.batch, settings.delivery, metrics)


def refuse_missing_model(embedding: EmbeddingSettings) -> None:
    """Refuse a folder that is not there or holds no model, before anything slow is tried.

    Raises:
        OperatorError: naming the setting.
    """
    folder = embedding.path
    if folder is None:
        return
    if not folder.is_dir():
        raise OperatorError(f"embedding.path: there is no folder {folder}: give the folder that holds the model")
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise OperatorError(
            f"embedding.path: {folder} holds no model (neither modules.json nor config.json): give the folder that does"
        )


async def _dead_letters(settings: Settings, closing: contextlib.AsyncExitStack) -> KafkaDeadLetters | None:
    topic = settings.kafka.dead_letter_topic
    if topic is None:
        return None
    dead_letters = KafkaDeadLetters(settings.kafka, topic)
    closing.push_async_callback(dead_letters.close)
    await dead_letters.start()
    return dead_letters


def subscription(sources: Sequence[SourceSettings]) -> tuple[list[str], str | None]:
    """Return what to subscribe to: topics, or where any source has a pattern, one pattern for all."""
    topics = [topic for source in sources for topic in source.topics]
    patterns = [source.pattern for source in sources if source.pattern is not None]
    if not patterns:
        return topics, None
    return topics, "|".join([*map(re.escape, topics), *(f"(?:{pattern})" for pattern in patterns)])


def source_readers(sources: Sequence[SourceSettings]) -> SourceReaders:
    """Return how each source's records are read."""
    return SourceReaders(
        [
            SourceReader(
                topics=frozenset(source.topics),
                pattern=None if source.pattern is None else re.compile(source.pattern),
                decode=DECODERS[source.format],
                rules=source.rules(),
            )
            for source in sources
        ]
    )


async def apply_index(settings: Settings, *, dry_run: bool) -> Report:
    """Create what is missing of the index and its aliases.

    Raises:
        OperatorError: Elasticsearch cannot be reached or refuses.
    """
    async with build_client(settings.elasticsearch) as client:
        with explained(settings.elasticsearch):
            return await apply(ElasticAdmin(client), settings.index, dry_run=dry_run)


async def search_index(
    settings: Settings, words: str, tenant: str, mode: Mode, size: int, embedder: Embedder | None = None
) -> list[Hit]:
    """Search inside one tenant; an embedder that is given must be started, else the settings' model is loaded.

    Raises:
        OperatorError: Elasticsearch or the model cannot be reached, or the question is empty.
    """
    refuse_odd_question(words, tenant, size)
    if mode is not Mode.WORDS:
        refuse_missing_model(settings.embedding)
    async with contextlib.AsyncExitStack() as closing:
        client = build_client(settings.elasticsearch)
        closing.push_async_callback(client.close)
        if embedder is None and mode is not Mode.WORDS:
            # A model takes seconds to load, or to be fetched: a server that is not there is told before.
            with explained(settings.elasticsearch):
                await ElasticAdmin(client).indices([settings.index.reader_alias])
            embedder = SentenceEmbedder(settings.embedding)
            closing.push_async_callback(embedder.close)
            await embedder.start()
        with explained(settings.elasticsearch):
            searcher = ElasticSearcher(client, settings.index.reader_alias)
            return await search(searcher, embedder, words, tenant, mode, size)
