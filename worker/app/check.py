"""`syncline check`: both servers looked at, even where one of them is not there."""

import contextlib
from collections.abc import Sequence

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_inspect import ElasticInspector
from worker.app.kafka import kafka_readers
from worker.app.model import check_model
from worker.app.sources import source_readers
from worker.control.check import Feed, Report, check_feed, refused
from worker.control.check_index import MissingServerError, check_index
from worker.errors import OperatorError
from worker.runtime.clock import Clock
from worker.settings import Settings
from worker.stages.findings import Section


async def check_settings(settings: Settings, records: int) -> Report:
    """Return what would break: at the brokers, in up to `records` records of each topic, at the write target.

    Raises:
        OperatorError: a secret or a certificate cannot be read.
    """
    missing: list[str] = []
    feed = await _kafka(settings, records, missing)
    model = await check_model(settings.embedding)
    sections = [
        *feed.sections,
        await _elasticsearch(settings, feed.locating, model.dimensions, missing),
        Section("Model", tuple(model.findings)),
    ]
    return Report(tuple(sections), tuple(missing))


async def _kafka(settings: Settings, records: int, missing: list[str]) -> Feed:
    async with contextlib.AsyncExitStack() as closing:
        try:
            reader, group = await kafka_readers(settings.kafka, closing)
        except OperatorError as error:
            missing.append("Kafka")
            return Feed([Section("Kafka", (refused("brokers", error),))], ())
        try:
            return await check_feed(reader, group, settings, source_readers(settings.sources), records, Clock())
        except OperatorError as error:
            return Feed([Section("Kafka", (refused("topics", error),))], ())


async def _elasticsearch(
    settings: Settings, locating: Sequence[str], dimensions: int | None, missing: list[str]
) -> Section:
    async with build_client(settings.elasticsearch) as client:
        try:
            admin, inspector = ElasticAdmin(client), ElasticInspector(client)
            return await check_index(admin, inspector, settings, locating, dimensions=dimensions)
        except MissingServerError as error:
            missing.append("Elasticsearch")
            return error.section
