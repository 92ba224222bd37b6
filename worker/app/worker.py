"""`syncline run`: the pipeline with its adapters, checked before anything is consumed."""

import contextlib
import logging
from collections.abc import AsyncIterator

from worker import __version__
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import ReloadingClient, build_client, takes_base64_vectors
from worker.adapters.elastic_cluster import ElasticCluster
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.kafka_check import check_kafka
from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.adapters.kafka_source import KafkaSource
from worker.app.model import build_embedder, refuse_missing_model, refuse_unreachable_model
from worker.app.sources import source_readers, subscription
from worker.control.explaining import explained
from worker.control.target import check_alias, check_moved_alias, check_target
from worker.metrics import Metrics
from worker.runtime.beside import beside
from worker.runtime.clock import Clock
from worker.runtime.cluster_watch import ClusterWatch
from worker.runtime.daemon import spare_the_collector, supervise
from worker.runtime.endpoints import Endpoints, serving
from worker.runtime.health import Health
from worker.runtime.heap import giving_back
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.rejoining import RestartableSource
from worker.runtime.vector_cache import VectorCache
from worker.settings import Settings
from worker.stages.cluster_view import is_elected

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
    metrics = Metrics(settings.metrics)
    async with served_pipeline(settings, metrics) as (pipeline, _), giving_back():
        spare_the_collector()
        await supervise(pipeline.run, pipeline.stop)
        # What it did since the last scrape is told nowhere else.
        _log.info("stopped", extra={"action": "stopped", **metrics.totals()})


@contextlib.asynccontextmanager
async def served_pipeline(settings: Settings, metrics: Metrics) -> AsyncIterator[tuple[Pipeline, str]]:
    """Build a pipeline and serve its metrics and probes; yields it with the server's base URL.

    Raises:
        OperatorError: as `built_pipeline`, or the server's port is taken.
    """
    endpoints = Endpoints(metrics)
    async with serving(settings.server, endpoints) as url:
        _log.info("serving metrics and probes", extra={"action": "listening", "url": url})
        async with built_pipeline(settings, metrics) as pipeline:
            limit = settings.delivery.progress_limit
            endpoints.watch(
                Health(pipeline.ledger, pipeline.retrying, pipeline.watchdog, pipeline.target_watch, limit, Clock())
            )
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
        index = await check_alias(admin, settings)
        await check_kafka(settings.kafka, subscription(settings.sources)[0])
        await refuse_unreachable_model(settings.embedding)
        _log.info("Elasticsearch and Kafka are ready, loading the model", extra={"action": "loading_model"})
        embedder = build_embedder(settings.embedding, metrics)
        closing.push_async_callback(embedder.close)
        await embedder.start()
        for warning in await check_target(admin, settings, embedder.dimensions, embedder.model):
            _log.warning(warning, extra={"action": "target_check"})
        packs_vectors = await _packs_vectors(settings, client)
        metrics.build_info.labels(__version__, embedder.model).set(1)
        how = settings.embedding
        metrics.model_info.labels(embedder.model, str(embedder.dimensions), how.device, how.precision).set(1)
        _log.info(
            "model loaded",
            extra={"action": "model_loaded", "model": embedder.model, "path": str(settings.embedding.path or "")},
        )
        dead_letters = await _dead_letters(settings, closing)
        source = RestartableSource(lambda: KafkaSource(settings.kafka, *subscription(settings.sources)))
        closing.push_async_callback(source.close)
        ports = Ports(
            source=source,
            store=ElasticStore(
                client,
                settings.index.writer_alias,
                index=index,
                check=lambda: check_moved_alias(admin, settings, embedder.dimensions, embedder.model),
            ),
            locator=ElasticLocator(client, settings.index.writer_alias),
            embedder=embedder,
            sink=ElasticSink(client, settings.index.writer_alias, packs_vectors=packs_vectors),
            dead_letters=dead_letters,
        )
        readers, cache = source_readers(settings.sources), VectorCache(int(settings.embedding.cache_size))
        pipeline = Pipeline(ports, readers, settings.batch, settings.delivery, metrics, cache=cache)
        await closing.enter_async_context(beside(_watch(settings, client, pipeline, metrics).run(), "cluster-watch"))
        yield pipeline


def _watch(settings: Settings, client: ReloadingClient, pipeline: Pipeline, metrics: Metrics) -> ClusterWatch:
    topics = [topic for source in settings.sources for topic in source.topics]
    return ClusterWatch(
        ElasticCluster(client, [settings.index.writer_alias]),
        lambda: is_elected(topics, pipeline.ledger.open_by_partition().keys()),
        metrics,
    )


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
