"""Tables of every type, their connector, an index that fits them, and the worker's own pipeline in this process.

Only the model is a stand-in: a pipeline that embeds one word a row needs none.
"""

import asyncio
import contextlib
import hashlib
import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from typing_extensions import override

from tests.e2e import types_rules
from tests.e2e.types_columns import PREPARE, TABLES, As, Column
from tests.e2e.types_compare import Modes, rows_query
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.start import Servers
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_locate import ElasticLocator
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.elastic_store import ElasticStore
from worker.adapters.kafka_source import KafkaSource
from worker.app.index import apply_index
from worker.app.sources import source_readers, subscription
from worker.metrics import Metrics
from worker.ports import Embedder, Vectors
from worker.resources import schemas_folder
from worker.runtime.pipeline import Pipeline, Ports
from worker.settings import Settings

_DIMENSIONS: Final = 384
_MARKS: Final = "marks"
SNAPSHOT, CHANGED, UPDATED, DELETED = 1, 101, 103, 105
"""Ids within a table: rows up to 5 come with the snapshot, those from 101 to 105 as changes; one of them is then
updated, one deleted. Each table has a thousand of its own, because all rows go into one index."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is varied; `flat` is the `delete.tombstone.handling.mode` of rows that come flattened.

    `full` wants `modes.generated`: PostgreSQL refuses updates where the replica identity has unpublished columns.
    """

    name: str
    modes: Modes
    flat: str = ""
    full: bool = False
    keyed: bool = True

    @property
    def options(self) -> dict[str, str]:
        unwrap = {
            "transforms": "unwrap",
            "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
            "transforms.unwrap.delete.tombstone.handling.mode": self.flat,
            "transforms.unwrap.add.fields": "op,source.lsn,source.ts_ms",
            "transforms.unwrap.add.headers": "op,source.lsn",
            "transforms.unwrap.replace.null.with.default": str(not self.modes.nulls_stay).lower(),
        }
        autocreate = {"publication.autocreate.mode": "disabled"} if self.modes.generated else {}
        return {**self.modes.options, **autocreate, **(unwrap if self.flat else {})}

    def topic(self, table: str) -> str:
        return f"{self.name}.{self.name}.{table}"


def first_id(number: int) -> int:
    return 1000 * number


def prepare(servers: Servers, case: Case) -> psycopg.Connection[Any]:
    """Tables and rows, the rows' snapshot in Kafka, then changes; all is in Kafka when this returns."""
    database = psycopg.connect(servers.postgres.dsn, autocommit=True)
    _types(database)
    database.execute(f"CREATE SCHEMA {case.name}")
    database.execute(f"SET search_path TO {case.name}, public")
    database.execute(f"CREATE TABLE {_MARKS} (id int PRIMARY KEY)")
    for number, table in enumerate(TABLES):
        database.execute(table.create(keyed=case.keyed))
        if case.full:
            database.execute(f"ALTER TABLE {table.name} REPLICA IDENTITY FULL")
        _execute(database, table.inserts(first_id(number) + SNAPSHOT))
    if case.modes.generated:
        names = ", ".join([*(table.name for table in TABLES), _MARKS])
        database.execute(f"CREATE PUBLICATION {case.name} FOR TABLE {names} WITH (publish_generated_columns = stored)")
    _add_mark(servers, database, case, connect=True)
    for number, table in enumerate(TABLES):
        _execute(database, table.inserts(first_id(number) + CHANGED))
        database.execute(f"UPDATE {table.name} SET tenant = tenant WHERE id = {first_id(number) + UPDATED}")
        database.execute(f"DELETE FROM {table.name} WHERE id = {first_id(number) + DELETED}")
    _add_mark(servers, database, case)
    return database


def _types(database: psycopg.Connection[Any]) -> None:
    for statement in PREPARE:
        # Another case has made them.
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            database.execute(statement)


def _execute(database: psycopg.Connection[Any], statements: Sequence[str]) -> None:
    for statement in statements:
        database.execute(statement)


def _add_mark(servers: Servers, database: psycopg.Connection[Any], case: Case, *, connect: bool = False) -> None:
    """Add a row, and wait until Kafka has it; the connector writes in the order of the log."""
    database.execute(f"INSERT INTO {_MARKS} SELECT count(*) + 1 FROM {_MARKS}")
    if connect:
        tables = [f"{case.name}.{table}" for table in (*(table.name for table in TABLES), _MARKS)]
        servers.connect.add(
            PostgresConnector(
                prefix=case.name, tables=tables, schemas_enable=case.modes.schemas, partitions=2, options=case.options
            )
        )
    (marks,) = database.execute(f"SELECT count(*) FROM {_MARKS}").fetchone() or (0,)
    asyncio.run(_wait_for(servers.kafka, case.topic(_MARKS), int(marks)))


async def _wait_for(bootstrap: str, topic: str, records: int, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        while (found := await _count(consumer, [topic])) < records:
            assert time.monotonic() < deadline, f"{topic}: {found} of {records} records"
            await asyncio.sleep(0.1)


async def _count(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> int:
    known = await consumer.topics()
    ends = await consumer.end_offsets([TopicPartition(topic, n) for topic in topics if topic in known for n in (0, 1)])
    return sum(ends.values())


def remove(servers: Servers, case: Case, database: psycopg.Connection[Any]) -> None:
    """Take the connector and its slot away: they would go on reading what other tests write."""
    with contextlib.suppress(OSError):
        servers.connect.delete(case.name)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            database.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [case.name]
            )
            break
        time.sleep(0.1)
    database.close()


def settings(servers: Servers, case: Case, folder: Path) -> Settings:
    definition = folder / "definition.json"
    definition.write_text(json.dumps(_definition(case.modes)))
    only_tombstones = case.flat in {"tombstone", "delete-to-tombstone"}
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": [servers.kafka], "group_id": case.name},
            "elasticsearch": {"hosts": [servers.elasticsearch]},
            "index": {"alias": case.name, "definition": str(definition)},
            "sources": [
                types_rules.source(
                    table,
                    case.topic(table.name),
                    case.modes,
                    replica_identity="full" if case.full else "default",
                    tombstone="delete" if only_tombstones else "follows_delete",
                )
                for table in TABLES
            ],
        }
    )


def _definition(modes: Modes) -> dict[str, Any]:
    """The product's own index body with these tables' columns: strict, so that Elasticsearch reads every value."""
    body: dict[str, Any] = json.loads((schemas_folder() / "index" / "articles.json").read_text())
    properties = body["mappings"]["properties"]
    for table in TABLES:
        columns = {column.name: _mapping(column, modes) for column in table.columns}
        properties[table.name] = {"dynamic": "strict", "properties": columns}
    return body


_WHOLE: Final = ("smallint", "int", "bigint", "oid", "positive")
_MAPPINGS: Final[Mapping[As, str]] = {
    As.BOOLEAN: "boolean",
    As.NUMBER: "double",
    As.FLOAT: "double",
    As.DATE: "date",
    As.LOCAL: "date",
    As.MOMENT: "date",
    As.VECTOR: "double",
}


def _mapping(column: Column, modes: Modes) -> dict[str, Any]:
    if column.kind in {As.JSON, As.MAP, As.POINT}:
        return {"type": "object", "enabled": False}
    if column.kind is As.BYTES and modes.binary != "hex":
        return {"type": "binary"}
    if column.kind is As.INTERVAL and modes.interval == "numeric":
        return {"type": "long"}
    if column.kind is As.SAME and column.sql.removesuffix("[]").split(" ")[0] in _WHOLE:
        return {"type": "long"}
    return {"type": _MAPPINGS.get(column.kind, "keyword")}


class _OneVectorPerText(Embedder):
    @property
    @override
    def model(self) -> str:
        return "stand-in"

    @property
    @override
    def dimensions(self) -> int:
        return _DIMENSIONS

    @override
    async def start(self) -> None:
        return

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") for text in texts]
        return np.stack([np.random.default_rng(seed).random(_DIMENSIONS, dtype=np.float32) for seed in seeds])

    @override
    async def close(self) -> None:
        return


async def run_worker(chosen: Settings, within_s: float = 60) -> None:
    """Apply the index, and run the pipeline until every record in the topics has its verdict.

    Without a dead-letter topic a rejected record halts the pipeline, and so the test.
    """
    await apply_index(chosen, dry_run=False)
    topics, pattern = subscription(chosen.sources)
    metrics = Metrics()
    async with (
        build_client(chosen.elasticsearch) as client,
        AIOKafkaConsumer(bootstrap_servers=chosen.kafka.bootstrap_servers) as consumer,
    ):
        source = KafkaSource(chosen.kafka, topics, pattern)
        writer = chosen.index.writer_alias
        ports = Ports(
            source,
            ElasticStore(client, writer),
            ElasticLocator(client, writer),
            _OneVectorPerText(),
            ElasticSink(client, writer),
            None,
        )
        pipeline = Pipeline(ports, source_readers(chosen.sources), chosen.batch, chosen.delivery, metrics)
        running = asyncio.create_task(pipeline.run())
        try:
            wanted = await _count(consumer, topics)
            deadline = time.monotonic() + within_s
            while _resolved(metrics) < wanted and not running.done():
                assert time.monotonic() < deadline, f"{_resolved(metrics)} of {wanted} records resolved"
                await asyncio.sleep(0.05)
            pipeline.stop()
            await running
        finally:
            running.cancel()
            with contextlib.suppress(BaseException):
                await running
            await source.close()


def _resolved(metrics: Metrics) -> float:
    samples = (sample for family in metrics.records.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def documents(servers: Servers, case: Case) -> dict[int, Mapping[str, Any]]:
    """What readers see, by the row's id."""
    alias = f"{servers.elasticsearch}/{case.name}"
    _call("POST", f"{alias}/_refresh")
    found = _call("POST", f"{alias}/_search", {"query": {"match_all": {}}, "size": 1000})
    return {int(hit["_id"].rpartition("/")[2]): hit["_source"] for hit in found["hits"]["hits"]}


def rows(database: psycopg.Connection[Any]) -> dict[int, tuple[int, dict[str, object]]]:
    """PostgreSQL's own words for every row that is left: id -> number of the table, answers by column."""
    return {
        row_id: (number, json.loads(answers))
        for number, table in enumerate(TABLES)
        for row_id, answers in database.execute(rows_query(table)).fetchall()
    }


def _call(method: str, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
