"""`syncline run`: the pipeline with its adapters, checked before anything is consumed."""

import contextlib
import logging
from collections.abc import AsyncIterator

from worker import __version__
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import ReloadingClient, build_client, takes_base64_vectors
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.kafka_check import check_kafka
from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.adapters.kafka_source import KafkaSource
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.app.model import refuse_missing_model, refuse_unreachable_model
from worker.app.sources import source_readers, subscription
from worker.control.target import check_alias, check_target, explained
from worker.metrics import Metrics
from worker.runtime.clock import Clock
from worker.runtime.daemon import supervise
from worker.runtime.endpoints import Endpoints, serving
from worker.runtime.health import Health
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.rejoining import RestartableSource
from worker.settings import Settings

_log = logging.getLogger(__name__)


async def run_worker(settings: Settings) -> None:
    """Keep the index in step until a signal says otherwise.

    Raises:
        OperatorError: a mistake in the settings, found before anything is consumed.
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
            limit = settings.delivery.progress_limit
            endpoints.watch(Health(pipeline.ledger, pipeline.retrying, pipeline.watchdog, limit, Clock()))
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
        await refuse_unreachable_model(settings.embedding)
        _log.info("Elasticsearch and Kafka are ready, loading the model", extra={"action": "loading_model"})
        embedder = SentenceEmbedder(settings.embedding)
        closing.push_async_callback(embedder.close)
        await embedder.start()
        for warning in await check_target(admin, settings, embedder.dimensions, embedder.model):
            _log.warning(warning, extra={"action": "target_check"})
        packs_vectors = await _packs_vectors(settings, client)
        metrics.build_info.labels(__version__, embedder.model).set(1)
        _log.info(
            "model loaded",
            extra={"action": "model_loaded", "model": embedder.model, "path": str(settings.embedding.path or "")},
        )
        dead_letters = await _dead_letters(settings, closing)
        source = RestartableSource(lambda: KafkaSource(settings.kafka, *subscription(settings.sources)))
        closing.push_async_callback(source.close)
        ports = Ports(
            source=source,
            store=ElasticStore(client, settings.index.writer_alias),
            locator=ElasticLocator(client, settings.index.writer_alias),
            embedder=embedder,
            sink=ElasticSink(client, settings.index.writer_alias, packs_vectors=packs_vectors),
            dead_letters=dead_letters,
        )
        yield Pipeline(ports, source_readers(settings.sources), settings.batch, settings.delivery, metrics)


async def _packs_vectors(settings: Settings, client: ReloadingClient) -> bool:
    if settings.batch.bulk_vectors != "auto":
        return settings.batch.bulk_vectors == "base64"
    with explained(settings.elasticsearch):
        return await takes_base64_vectors(client)


async def _dead_letters(settings: Settings, closing: contextlib.AsyncExitStack) -> KafkaDeadLetters | None:
    topic = settings.kafka.dead_letter_topic
    if topic is None:
        return None
    dead_letters = KafkaDeadLetters(settings.kafka, topic)
    closing.push_async_callback(dead_letters.close)
    await dead_letters.start()
    return dead_letters
