"""`python -m tests.golden.capture --servers jvm`: run real Debezium and write what it says to `postgres-types/`.

`types` files hold every type of tests/e2e/types_columns.py, as a snapshot and as a change, one file per set of
connector settings. `changes` files hold what can happen to rows, one file per shape of record.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.types_columns import MOMENTS, NUMBERS, OTHERS, PREPARE, TypesTable
from tests.e2e.types_compare import rows_query
from tests.golden import types_files, types_scenario
from tests.servers.addresses import Kind
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.start import Servers, start

FOLDER: Final = Path(__file__).parent / "postgres-types"
_DONE: Final = "done"
"""A table whose rows tell that everything before them has arrived."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One file: which tables, and with which settings of the connector."""

    name: str
    tables: Sequence[str]
    options: Mapping[str, str]
    schemas: bool = True
    message_key_columns: str = ""

    def connector(self) -> PostgresConnector:
        return PostgresConnector(
            prefix=self.name,
            slot=self.name.replace("-", "_"),
            tables=[f"public.{table}" for table in (*self.tables, _DONE)],
            schemas_enable=self.schemas,
            message_key_columns=self.message_key_columns,
            options=self.options,
        )


def _types(name: str, tables: Sequence[TypesTable], **options: str) -> Capture:
    return Capture(
        name, [table.name for table in tables], {key.replace("_", "."): value for key, value in options.items()}
    )


TYPES: Final = (
    _types("adaptive", (MOMENTS, NUMBERS, OTHERS), time_precision_mode="adaptive", decimal_handling_mode="precise"),
    _types(
        "adaptive-time-microseconds",
        (MOMENTS, NUMBERS, OTHERS),
        time_precision_mode="adaptive_time_microseconds",
        decimal_handling_mode="double",
        binary_handling_mode="base64",
        hstore_handling_mode="map",
        interval_handling_mode="string",
        include_unknown_datatypes="true",
    ),
    _types(
        "connect",
        (MOMENTS, NUMBERS, OTHERS),
        time_precision_mode="connect",
        decimal_handling_mode="string",
        binary_handling_mode="hex",
        value_converter_replace_null_with_default="false",
    ),
    _types("isostring", (MOMENTS,), time_precision_mode="isostring", publication_autocreate_mode="disabled"),
    _types("microseconds", (MOMENTS,), time_precision_mode="microseconds"),
    _types("nanoseconds", (MOMENTS,), time_precision_mode="nanoseconds"),
)

# PostgreSQL 18 can publish generated columns, if it is asked to.
_WITH_GENERATED_COLUMNS: Final = (
    f"CREATE PUBLICATION isostring FOR TABLE moments, {_DONE} WITH (publish_generated_columns = stored)"
)
_UNWRAP: Final = {"transforms": "unwrap", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState"}


_SIGNALS: Final = {
    "signal.enabled.channels": "source",
    "signal.data.collection": "public.signals",
    "incremental.snapshot.chunk.size": "2",
}
_FLAT: Final = ("with_key", "full_row", "without_key", "signals")


def _flat(mode: str, options: Mapping[str, str], *, schemas: bool = False) -> Capture:
    settings = {f"transforms.unwrap.{key}": value for key, value in options.items()}
    unwrap = {**_UNWRAP, "transforms.unwrap.delete.tombstone.handling.mode": mode}
    signals = {**_SIGNALS, "skipped.operations": "none"}
    return Capture(f"flat-{mode}{'-schema' if schemas else ''}", _FLAT, {**signals, **unwrap, **settings}, schemas)


_ADDED: Final = {"add.fields": "op,table,source.lsn,source.ts_ms,source.snapshot", "add.headers": "op,source.lsn"}
_ALL: Final = ("with_key", "full_row", "without_key", "large", "signals")
_OTHER_FORMS: Final = {
    "skipped.operations": "none",
    "binary.handling.mode": "hex",
    "hstore.handling.mode": "map",
    "decimal.handling.mode": "string",
}
CHANGES: Final = (
    Capture(
        "envelope",
        (*_ALL, "large_full"),
        {**_SIGNALS, "skipped.operations": "none", "provide.transaction.metadata": "true"},
        schemas=False,
    ),
    Capture("envelope-schema", _ALL, {**_SIGNALS, **_OTHER_FORMS}, message_key_columns="public.without_key:tenant,id"),
    _flat("drop", _ADDED),
    _flat("tombstone", _ADDED),
    _flat("rewrite", _ADDED),
    _flat("rewrite-with-tombstone", {"add.fields": "lsn,source.ts_ms"}),
    _flat("delete-to-tombstone", {"add.headers": "op,source.lsn,source.ts_ms"}),
    _flat("rewrite", _ADDED, schemas=True),
)


def capture(servers: Servers, folder: Path, only: str) -> None:
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as database:
        database.execute(f"CREATE TABLE {_DONE} (id int PRIMARY KEY)")
        if only in {"", "types"}:
            _capture_types(servers, database, folder)
        if only in {"", "changes"}:
            _capture_changes(servers, database, folder, only)


def _capture_types(servers: Servers, database: psycopg.Connection[Any], folder: Path) -> None:
    for statement in PREPARE:
        database.execute(statement)
    for table in (MOMENTS, NUMBERS, OTHERS):
        database.execute(table.create())
        for statement in table.inserts(1):
            database.execute(statement)
    database.execute(_WITH_GENERATED_COLUMNS)
    _connect(servers, database, TYPES)
    for table in (MOMENTS, NUMBERS, OTHERS):
        for statement in table.inserts(101):
            database.execute(statement)
    _write_rows(database, folder)
    _write(servers, database, TYPES, folder)


def _write_rows(database: psycopg.Connection[Any], folder: Path) -> None:
    """PostgreSQL's own words for every value: what the records are compared with."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for table in (MOMENTS, NUMBERS, OTHERS):
            for row_id, answers in database.execute(rows_query(table)).fetchall():
                file.write(f'{{"table":"{table.name}","id":{row_id},"row":{answers}}}\n')


def _capture_changes(servers: Servers, database: psycopg.Connection[Any], folder: Path, only: str) -> None:
    if only == "changes":
        for statement in PREPARE:
            database.execute(statement)
    for statement in types_scenario.BEFORE:
        database.execute(statement)
    _connect(servers, database, CHANGES)
    for statement in types_scenario.CHANGES:
        database.execute(statement)
    _arrived(servers, database, CHANGES)
    for statement in types_scenario.SNAPSHOT_AGAIN:
        database.execute(statement)
    # The chunks come between marks that Debezium writes to the log; some more changes for it to work through.
    for _ in range(8):
        _arrived(servers, database, CHANGES)
    for statement in types_scenario.TRUNCATE:
        database.execute(statement)
    _write(servers, database, CHANGES, folder)


def _connect(servers: Servers, database: psycopg.Connection[Any], captures: Sequence[Capture]) -> None:
    """Start all; their snapshots are in Kafka when this returns."""
    _mark(database)
    for one in captures:
        servers.connect.add(one.connector())
    for one in captures:
        asyncio.run(_wait_for_mark(servers.kafka, one, _marks(database)))


def _arrived(servers: Servers, database: psycopg.Connection[Any], captures: Sequence[Capture]) -> None:
    _mark(database)
    for one in captures:
        asyncio.run(_wait_for_mark(servers.kafka, one, _marks(database)))


def _mark(database: psycopg.Connection[Any]) -> None:
    database.execute(f"INSERT INTO {_DONE} SELECT coalesce(max(id), 0) + 1 FROM {_DONE}")


def _marks(database: psycopg.Connection[Any]) -> int:
    row = database.execute(f"SELECT max(id) FROM {_DONE}").fetchone()
    assert row is not None
    return int(row[0])


def _write(servers: Servers, database: psycopg.Connection[Any], captures: Sequence[Capture], folder: Path) -> None:
    _arrived(servers, database, captures)
    for one in captures:
        servers.connect.delete(one.name)
        records = asyncio.run(_records(servers.kafka, one.name))
        kept = [record for record in records if _is_kept(record)]
        types_files.write(folder / f"{one.name}.jsonl", kept)
        sys.stdout.write(f"{one.name}: {len(kept)} records\n")


def _is_kept(record: Mapping[str, Any]) -> bool:
    """All but our own marks, Debezium's, and transactions after the first two."""
    table = record["topic"].rpartition(".")[2]
    return table not in {_DONE, "signals"} and (table != "transaction" or record["offset"] < 4)


async def _wait_for_mark(bootstrap: str, one: Capture, mark: int, within_s: float = 120) -> None:
    topic = TopicPartition(f"{one.name}.public.{_DONE}", 0)
    deadline = time.monotonic() + within_s
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        while topic.topic not in await consumer.topics():
            assert time.monotonic() < deadline, f"{one.name}: no topic of marks"
            await asyncio.sleep(0.2)
        consumer.assign([topic])
        consumer.seek(topic, 0)
        while time.monotonic() < deadline:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                if any(
                    json.loads(message.key or b"{}").get("payload", json.loads(message.key or b"{}")).get("id") == mark
                    for message in messages
                ):
                    return
    raise AssertionError(f"{one.name}: mark {mark} did not arrive")


def _id_of(key: bytes) -> int:
    columns = json.loads(key)
    return int(columns.get("payload", columns)["id"])


async def _records(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    """Everything that a connector wrote, topic by topic."""
    found: list[dict[str, Any]] = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        names = [name for name in sorted(await consumer.topics()) if name == prefix or name.startswith(f"{prefix}.")]
        partitions = [TopicPartition(name, 0) for name in names]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        left = {partition: end for partition, end in ends.items() if end}
        for partition in left:
            consumer.seek(partition, 0)
        while left:
            message = await consumer.getone()
            found.append(_as_json(message))
            partition = TopicPartition(message.topic, message.partition)
            if message.offset + 1 >= left.get(partition, 0):
                left.pop(partition, None)
    return sorted(found, key=lambda record: (record["topic"], record["offset"]))


def _as_json(message: Any) -> dict[str, Any]:  # noqa: ANN401 - aiokafka publishes no types
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "key": None if message.key is None else message.key.decode(),
        "headers": [[name, None if value is None else value.decode()] for name, value in message.headers],
        "value": None if message.value is None else message.value.decode(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", choices=[Kind.JVM.value], default=Kind.JVM.value)
    parser.add_argument("--only", choices=["", "types", "changes"], default="")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="syncline-capture-"))
    # Some servers run on another account.
    data.chmod(0o755)
    try:
        with start(Kind(arguments.servers), data_dir=data) as servers:
            capture(servers, arguments.folder, arguments.only)
    finally:
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
