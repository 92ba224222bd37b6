"""TRUNCATE in a real PostgreSQL: its documents go, with those of other partitions; what is inserted after it stays."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e import kafka_log
from tests.e2e.checks import check_document, place
from tests.e2e.process import until
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers
from worker.stages.truncate import marker

pytestmark = pytest.mark.needs_jvm

TENANTS = ("acme", "globex", "initech")
ROWS = 60


@pytest.fixture
def filled(servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path) -> Iterator[Scene]:
    """A worker that is in step with three tables."""
    tables = (Table("articles", truncates=True), Table("notes", full=True, truncates=True), Table("kept", full=True))
    delivery = {"drain_timeout": "3s"}
    with scene(servers, tmp_path / "truncate", *tables, model=tiny_model, delivery=delivery) as built:
        for table in built.tables:
            for id_ in range(1, ROWS + 1):
                built.insert(TENANTS[id_ % 3], id_, f"row {id_}", table=table)
        built.connect()
        built.worker.start()
        built.settle()
        assert len(built.index.visible()) == 3 * ROWS
        yield built


def truncate_and_fill(scene: Scene) -> None:
    """Both tables in one statement; row 1 comes back in the same transaction, row 2 elsewhere, row 3 after it."""
    articles, notes, _ = scene.tables
    with scene.database.transaction():
        scene.execute("UPDATE {table} SET title = 'last words' WHERE id = 5", table=articles)
        scene.database.execute(f"TRUNCATE {articles.name}, {notes.name} RESTART IDENTITY CASCADE")
        for table in (articles, notes):
            scene.insert(TENANTS[1], 1, "there again", table=table)
    for table in (articles, notes):
        scene.insert(TENANTS[0], 2, "at another tenant", table=table)
        scene.insert(TENANTS[2], 1000, "new", table=table)
        scene.execute("UPDATE {table} SET content = 'changed' WHERE id = 1000", table=table)


def check(scene: Scene) -> None:
    """What can be seen is what is in the tables; a tombstone is wherever else a row was."""
    rows = {place(table, *key): row for table in scene.tables for key, row in scene.rows(table).items()}
    assert {(found.id, found.routing) for found in scene.index.visible()} == rows.keys()
    stored = {(found.id, found.routing): found for found in scene.index.all()}
    for where, row in rows.items():
        check_document(stored[where], row, "")
    for table in scene.tables[:2]:
        events = kafka_log.events(scene.servers.kafka, table.topic(scene.name))
        (position,) = (one.value["source"]["lsn"] for one in events if one.value and one.value["op"] == "t")
        assert stored[marker(table.source_name)].version == position
        gone = {place(table, TENANTS[id_ % 3], id_) for id_ in range(3, ROWS + 1)}
        assert {stored[where].version for where in gone} == {position}


def test_a_truncate_of_two_tables_empties_both_and_nothing_else(filled: Scene) -> None:
    truncate_and_fill(filled)
    filled.settle()
    check(filled)
    scrape = filled.worker.scrape()
    for table in filled.tables[:2]:
        assert scrape.total("syncline_truncated_documents_total", source=table.source_name) >= ROWS - 2


def test_a_worker_that_is_killed_in_the_middle_leaves_nothing(filled: Scene) -> None:
    truncate_and_fill(filled)
    until(lambda: filled.worker.scrape().total("syncline_truncated_documents_total") > 0, "nothing is swept")
    filled.worker.kill()
    filled.worker.start()
    filled.settle()
    check(filled)
