"""`syncline status`: Kafka, Elasticsearch and the workers asked at once, even where one of them is not there."""

import asyncio
import contextlib
from collections.abc import Sequence

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_cluster import ElasticCluster
from worker.adapters.elastic_inspect import ElasticInspector
from worker.adapters.worker_probe import HttpWorkerProbe
from worker.app.kafka import kafka_readers
from worker.control.check import refused, topics_of
from worker.control.status import Status, worker_status
from worker.control.status_index import IndexStatus, index_status
from worker.control.status_kafka import KafkaStatus, kafka_status
from worker.errors import OperatorError, RetryLater
from worker.runtime.clock import Clock
from worker.settings import ServerSettings, Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to ask, not to listen


async def status_of(settings: Settings, workers: Sequence[str], seconds: float) -> Status:
    """Return how everything is, by two looks `seconds` apart; `workers` are URLs in place of the one of the settings.

    Raises:
        OperatorError: a secret or a certificate cannot be read.
    """
    given = [url.rstrip("/") for url in workers]
    urls = list(dict.fromkeys(given or own_url(settings.server)))
    missing: list[str] = []
    kafka, index, (answers, findings) = await asyncio.gather(
        _kafka(settings, seconds, missing),
        _elasticsearch(settings, missing),
        worker_status(HttpWorkerProbe(), urls, given, Clock()),
    )
    silent = {one.url for one in answers if one.answer is None}
    missing += [url for url in given if url in silent]
    return Status(Clock().wall_ms(), kafka, answers, tuple(findings), index, tuple(missing))


def own_url(server: ServerSettings) -> list[str]:
    """Return where a worker with these settings answers on this machine; nothing where it takes any free port."""
    if not server.port:
        return []
    host = _EVERYWHERE.get(server.host, f"[{server.host}]" if ":" in server.host else server.host)
    return [f"http://{host}:{server.port}"]


async def _kafka(settings: Settings, seconds: float, missing: list[str]) -> KafkaStatus:
    async with contextlib.AsyncExitStack() as closing:
        try:
            reader, group = await kafka_readers(settings.kafka, closing)
        except OperatorError as error:
            missing.append("Kafka")
            return KafkaStatus((refused("brokers", error),))
        try:
            topics = await reader.topics()
            names = sorted({name for source in settings.sources for name in topics_of(source, topics)})
            return await kafka_status(reader, group, settings, names, seconds, Clock())
        except OperatorError as error:
            return KafkaStatus((refused("group", error),))


async def _elasticsearch(settings: Settings, missing: list[str]) -> IndexStatus:
    client = build_client(settings.elasticsearch)
    async with client:
        try:
            cluster = ElasticCluster(client, [settings.index.writer_alias])
            return await index_status(
                ElasticAdmin(client), ElasticInspector(client), cluster, settings, Clock().wall_ms()
            )
        except OperatorError as error:
            if isinstance(error.__cause__, RetryLater):
                missing.append("Elasticsearch")
            return IndexStatus((refused("server", error),))
