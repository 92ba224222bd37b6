"""`syncline check` on a real feed: which tenant case holds, and whether the old rows are what is declared."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
import yaml

from tests.e2e import programs
from tests.e2e.process import until
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_debezium

COLUMNS: Final = "id int NOT NULL, tenant int NOT NULL, title text, large text"
TABLES: Final = {
    "keyed": f"CREATE TABLE {{}} ({COLUMNS}, PRIMARY KEY (tenant, id))",
    "chosen": f"CREATE TABLE {{}} ({COLUMNS}, PRIMARY KEY (id))",
    "chosen_full": f"CREATE TABLE {{0}} ({COLUMNS}, PRIMARY KEY (id)); ALTER TABLE {{0}} REPLICA IDENTITY FULL",
    "chosen_index": (
        f"CREATE TABLE {{0}} ({COLUMNS}, PRIMARY KEY (id)); CREATE UNIQUE INDEX {{0}}_i ON {{0}} (tenant, id);"
        "ALTER TABLE {0} REPLICA IDENTITY USING INDEX {0}_i"
    ),
    "plain": f"CREATE TABLE {{}} ({COLUMNS}, PRIMARY KEY (id))",
    "undeclared": f"CREATE TABLE {{0}} ({COLUMNS}, PRIMARY KEY (id)); ALTER TABLE {{0}} REPLICA IDENTITY FULL",
    "overdeclared": f"CREATE TABLE {{}} ({COLUMNS}, PRIMARY KEY (id))",
}
"""`chosen...`: the key is what `message.key.columns` says. The last two do not have the replica identity that their
sources declare."""
MARKS: Final = "check_marks"


@dataclass(frozen=True)
class Checked:
    code: int
    text: str
    report: Mapping[str, Any]

    def lines(self, source: str, subject: str) -> list[tuple[str, str]]:
        (section,) = [one for one in self.report["sections"] if one["title"] == f"Source {source}"]
        return [(one["level"], one["sentence"]) for one in section["findings"] if one["subject"] == subject]


@pytest.fixture(scope="module")
def checked(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checked]:
    name = f"check{uuid4().hex[:6]}"
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as database:
        database.execute(f"CREATE SCHEMA {name}")
        database.execute(f"SET search_path TO {name}")
        for table, create in TABLES.items():
            database.execute(create.format(table))
            database.execute(
                f"INSERT INTO {table} SELECT n, 7, 'Title', repeat('large ', 4000) FROM generate_series(1, 6) n"
            )
        database.execute(f"CREATE TABLE {MARKS} (id int PRIMARY KEY)")
        _connect(servers, name)
        for table in TABLES:
            database.execute(f"ALTER TABLE {table} ALTER COLUMN large SET STORAGE EXTERNAL")
            database.execute(
                f"INSERT INTO {table} SELECT n, 7, 'Title', repeat('large ', 4000) FROM generate_series(11, 14) n"
            )
            database.execute(f"UPDATE {table} SET title = 'Changed' WHERE id > 10")
            database.execute(f"DELETE FROM {table} WHERE id IN (12, 13)")
        _flush(database, name)
        config = tmp_path_factory.mktemp("check") / "syncline.yaml"
        config.write_text(yaml.safe_dump(_settings(servers, name)))
        yield _check(config)
        servers.connect.delete(name)


def _connect(servers: Servers, name: str) -> None:
    keys = ";".join(f"{name}.{table}:tenant,id" for table in TABLES if table.startswith("chosen"))
    tables = [f"{name}.{table}" for table in (*TABLES, MARKS)]
    connector = PostgresConnector(
        prefix=name,
        tables=tables,
        message_key_columns=keys,
        partitions=2,
        options={"unavailable.value.placeholder": "__unchanged__"},
    )
    servers.connect.add(connector)


def _flush(database: psycopg.Connection, slot: str) -> None:
    (position,) = database.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ("",)
    for number in (1, 2):
        database.execute(f"INSERT INTO {MARKS} VALUES ({number})")
    question = "SELECT confirmed_flush_lsn > %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s"
    until(lambda: database.execute(question, (position, slot)).fetchone() == (True,), "not all is in Kafka", 60)


def _settings(servers: Servers, name: str) -> dict[str, Any]:
    sources = [
        {
            "name": table,
            "topics": [f"{name}.{name}.{table}"],
            "id": ["id"],
            "tenant": "tenant",
            "fields": {"title": "title", "content": "large"},
            "embed": ["title"],
            "replica_identity": "full" if table in {"chosen_full", "overdeclared"} else "default",
        }
        for table in TABLES
    ]
    return {
        "kafka": {"bootstrap_servers": [servers.kafka], "group_id": name},
        # Nobody listens there: what the feed looks like is told all the same.
        "elasticsearch": {"hosts": ["http://127.0.0.1:1"]},
        "index": {"alias": name},
        "sources": sources,
    }


def _check(config: Path) -> Checked:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker", "check", "--config", str(config), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=programs.environment(),
            timeout=120,
        )

    shown = run()
    print(shown.stdout)  # noqa: T201 - to be read with -rP: does it read well?
    done = run("--json")
    return Checked(done.returncode, shown.stdout, json.loads(done.stdout))


@pytest.mark.parametrize(
    ("source", "tenant", "identity"),
    [
        ("keyed", "ok", "ok"),
        ("chosen", "failure", "ok"),
        ("chosen_full", "ok", "ok"),
        ("chosen_index", "ok", "ok"),
        ("plain", "warning", "ok"),
        ("undeclared", "warning", "warning"),
        ("overdeclared", "failure", "failure"),
    ],
)
def test_each_table_is_the_case_that_it_is(checked: Checked, source: str, tenant: str, identity: str) -> None:
    assert [level for level, _ in checked.lines(source, "tenant")] == [tenant]
    assert [level for level, _ in checked.lines(source, "replica identity")] == [identity]


def test_a_chosen_key_that_postgresql_does_not_log_is_made_up_in_deletes(checked: Checked) -> None:
    ((_, sentence),) = checked.lines("chosen", "tenant")
    assert "the key holds 'tenant', but in 2 deletes as 0" in sentence


def test_a_placeholder_that_the_settings_do_not_know_is_seen(checked: Checked) -> None:
    ((level, sentence),) = checked.lines("plain", "large values")
    assert level == "warning"
    assert "'__unchanged__' in large" in sentence


def test_a_server_that_is_not_there_is_its_own_exit_code(checked: Checked) -> None:
    assert (checked.code, checked.report["missing_servers"]) == (2, ["Elasticsearch"])
    assert max(map(len, checked.text.splitlines())) <= 80
