"""A scene: tables in PostgreSQL, their connector and topics, an index, and the worker between them.

Every scene has names of its own for all of these, so that no two disturb each other.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import elasticsearch
import psycopg
import yaml
from aiokafka import TopicPartition

from tests.e2e import kafka_log, programs
from tests.e2e.index import Index
from tests.e2e.nursery import Nursery
from tests.e2e.process import WorkerProcess, until
from tests.servers import processes
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.start import Servers

FIELDS: Final = ("title", "content", "tags", "published")
ELASTICSEARCH: Final = "elasticsearch" if elasticsearch.__version__[0] >= 9 else "elasticsearch_8"
"""Which server the installed client talks to, as `Servers` names it."""

_COLUMNS: Final = (
    "tenant text NOT NULL, id bigint, title text NOT NULL, content text, tags text[], published timestamptz"
)


@dataclass(frozen=True, slots=True)
class Table:
    """`full`: keyed by `id` alone, the tenant a plain column, REPLICA IDENTITY FULL. Else keyed by tenant and id.

    `message_key`: keyed by `id` alone under the default replica identity; in Kafka these columns are the key.
    `truncates`: its source obeys truncates, and the connector must pass them on.
    """

    name: str
    full: bool = False
    message_key: str = ""
    truncates: bool = False

    def create(self, database: psycopg.Connection) -> None:
        key = "id" if self.full or self.message_key else "tenant, id"
        database.execute(f"CREATE TABLE {self.name} ({_COLUMNS}, PRIMARY KEY ({key}))")
        if self.full:
            database.execute(f"ALTER TABLE {self.name} REPLICA IDENTITY FULL")

    def source(self, prefix: str) -> dict[str, Any]:
        return {
            "name": self.source_name,
            "topics": [self.topic(prefix)],
            "replica_identity": "full" if self.full else "default",
            "document_id": "tenant_scoped",
            "id": ["id"],
            "tenant": "tenant",
            "tenant_in_key": "message_key" if self.message_key else "auto",
            "fields": {field: field for field in FIELDS},
            "embed": ["title", "content"],
            **({"truncate": "delete_all", "table": f"public.{self.name}"} if self.truncates else {}),
        }

    @property
    def source_name(self) -> str:
        """`articles`, of table `articles_changes0ab9911`: every scene has an index of its own."""
        return self.name.partition("_")[0]

    def topic(self, prefix: str) -> str:
        return f"{prefix}.public.{self.name}"


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    servers: Servers
    database: psycopg.Connection
    tables: Sequence[Table]
    index: Index
    worker: WorkerProcess

    @property
    def table(self) -> str:
        """The first table, where there is only one."""
        return self.tables[0].name

    @property
    def topics(self) -> list[str]:
        return [table.topic(self.name) for table in self.tables]

    @property
    def config(self) -> Path:
        return self.worker.config

    def execute(self, query: str, *values: object, table: Table | None = None) -> None:
        """Run one statement; `{table}` in it is the given table, or the scene's first."""
        self.database.execute(query.format(table=(table or self.tables[0]).name), values)

    def insert(
        self,
        tenant: str,
        id_: int,
        title: str,
        content: str | None = None,
        tags: Sequence[str] | None = None,
        table: Table | None = None,
    ) -> None:
        columns = "(tenant, id, title, content, tags, published)"
        values = (tenant, id_, title, content, None if tags is None else list(tags))
        self.execute(f"INSERT INTO {{table}} {columns} VALUES (%s, %s, %s, %s, %s, now())", *values, table=table)

    def connect(
        self, *, partitions: int = 3, signals: bool = False, options: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Start the connector, with `options` of its own; the tables' snapshots are in Kafka when this returns.

        With `signals`, see `snapshot`.
        """
        tables = [f"public.{name}" for name in (*(table.name for table in self.tables), self._marks)]
        keys = [f"public.{table.name}:{table.message_key}" for table in self.tables if table.message_key]
        # Debezium's default leaves truncates out.
        truncates = {"skipped.operations": "none"} if any(table.truncates for table in self.tables) else {}
        options = {**truncates, **options}
        if signals:
            self.database.execute(f"CREATE TABLE {self._signals} (id text PRIMARY KEY, type text, data text)")
            tables.append(f"public.{self._signals}")
            options |= {"signal.enabled.channels": "source", "signal.data.collection": f"public.{self._signals}"}
        self.servers.connect.add(
            PostgresConnector(
                prefix=self.name,
                tables=tables,
                partitions=partitions,
                message_key_columns=";".join(keys),
                options=options,
            )
        )
        self.flush()

    def snapshot(self, within_s: float = 60) -> None:
        """Ask for an incremental snapshot of the first table, and wait until all rows that it reads are in Kafka."""
        wanted = len(self.rows(self.tables[0]))
        data = {"data-collections": [f"public.{self.table}"], "type": "incremental"}
        query = f"INSERT INTO {self._signals} VALUES (%s, 'execute-snapshot', %s)"
        self.database.execute(query, (uuid4().hex, json.dumps(data)))
        until(lambda: len(self._snapshot_rows()) == wanted, f"{self.name}: no snapshot of {wanted} rows", within_s)

    def _snapshot_rows(self) -> list[kafka_log.Event]:
        log = kafka_log.events(self.servers.kafka, self.topics[0])
        return [event for event in log if event.value and event.value["source"]["snapshot"] == "incremental"]

    def flush(self, within_s: float = 60) -> None:
        """Wait until all that is in the tables now has been acknowledged by Kafka.

        Two marks, because the slot's confirmed position is that of the last but one transaction.
        """
        position = self._row("SELECT pg_current_wal_insert_lsn()")[0]
        for _ in range(2):
            self.database.execute(f"INSERT INTO {self._marks} DEFAULT VALUES")
        question = "SELECT confirmed_flush_lsn > %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
        until(
            lambda: self._row(question, position, self._slot) == (True,),
            f"{self.name}: the connector did not confirm {position}",
            within_s,
        )

    def settle(self, within_s: float = 60) -> None:
        """Wait until the worker has done all that is in the tables now: nothing open, everything committed."""
        self.flush()
        ends = kafka_log.ends(self.servers.kafka, self.topics)
        until(lambda: self._lag(ends) == 0, lambda: self.worker.told(f"{self._lag(ends)} records behind"), within_s)
        until(self._nothing_open, lambda: self.worker.told("records are open"), within_s)

    def _lag(self, ends: Mapping[TopicPartition, int]) -> int:
        self.worker.check_running()
        done = kafka_log.committed(self.servers.kafka, self.name)
        beyond = {partition: offset for partition, offset in done.items() if offset > ends.get(partition, 0)}
        assert not beyond, f"committed past the end: {beyond}, {ends}"
        return sum(end - done.get(partition, 0) for partition, end in ends.items())

    def _nothing_open(self) -> bool:
        scrape = self.worker.scrape()
        return scrape.consumed == scrape.resolved and scrape.total("syncline_lag_records") == 0

    def apply(self) -> str:
        return programs.syncline("apply", config=self.config)

    def search(self, words: str, tenant: str, mode: str) -> list[dict[str, Any]]:
        """What `syncline search` finds."""
        output = programs.syncline(
            "search", words, "--tenant", tenant, "--mode", mode, "--size", "50", "--json", config=self.config
        )
        hits: list[dict[str, Any]] = json.loads(output)
        return hits

    def rows(self, table: Table) -> dict[tuple[str, int], dict[str, Any]]:
        """The table's rows by tenant and id."""
        columns = ("tenant", "id", *FIELDS)
        found = self.database.execute(f"SELECT {', '.join(columns)} FROM {table.name}").fetchall()
        return {(row[0], row[1]): dict(zip(columns, row, strict=True)) for row in found}

    @property
    def _marks(self) -> str:
        return f"{self.name}_marks"

    @property
    def _signals(self) -> str:
        return f"{self.name}_signals"

    @property
    def _slot(self) -> str:
        return PostgresConnector(prefix=self.name, tables=[]).slot_name

    def _row(self, query: str, *values: object) -> tuple[object, ...]:
        return self.database.execute(query, values).fetchone() or ()


@contextmanager
def scene(
    servers: Servers,
    folder: Path,
    *tables: Table,
    model: Mapping[str, str],
    nursery: Nursery | None = None,
    **settings: Mapping[str, object],
) -> Iterator[Scene]:
    """Create the tables and the index; the connector and the worker are the test's to start.

    `settings` are groups of the configuration file, on top of what follows from the scene.
    """
    name = f"{re.sub(r'[^a-z0-9]', '', folder.name.lower())[:20]}{uuid4().hex[:6]}"
    folder.mkdir(parents=True, exist_ok=True)
    named = [replace(table, name=f"{table.name}_{name}") for table in tables]
    (port,) = processes.free_ports(1)
    url: str = getattr(servers, ELASTICSEARCH)
    content: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": [servers.kafka],
            "group_id": name,
            # The least there is: a killed worker's partitions are given away after this time.
            "session_timeout": "6s",
        },
        "elasticsearch": {"hosts": [url]},
        "index": {"alias": name},
        "sources": [table.source(name) for table in named],
        "embedding": dict(model),
        "server": {"port": port},
    }
    for group, values in settings.items():
        content[group] = {**content.get(group, {}), **values}
    config = folder / "syncline.yaml"
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    worker = WorkerProcess(config, port, folder / "worker.log", nursery)
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as database:
        built = Scene(name, servers, database, named, Index(url, name), worker)
        database.execute(f"CREATE TABLE {built._marks} (id bigserial PRIMARY KEY)")
        for table in named:
            table.create(database)
        built.apply()
        try:
            yield built
        finally:
            worker.kill()
            _remove(built)


def _remove(scene: Scene) -> None:
    """Take the connector and its slot away: they would go on reading what other tests write."""
    with contextlib.suppress(OSError):
        scene.servers.connect.delete(scene.name)
    slot = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    left = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s"

    def gone() -> bool:
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            scene.database.execute(slot, (scene._slot,))
        return scene._row(left, scene._slot) == (0,)

    until(gone, f"the slot of {scene.name} is in use")
