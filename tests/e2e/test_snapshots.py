"""Debezium's incremental snapshots, whose rows have no position, beside transactions that are open meanwhile.

The rows are stored already as the snapshot reads them, so they are not written again: the version that a row takes
where it is written is shown by tests/simulation and tests/properties/test_ordering.py, not here.
"""

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm


def live(articles: Scene) -> dict[str, str]:
    return {found.id.rpartition("/")[2]: found.body["title"] for found in articles.index.visible()}


def test_what_commits_behind_a_snapshot_that_has_read_its_row_is_not_lost(
    servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path
) -> None:
    with (
        scene(servers, tmp_path / "snapshots", Table("articles", full=True), model=tiny_model) as articles,
        psycopg.connect(servers.postgres.dsn) as open_meanwhile,
    ):
        for number in range(1, 5):
            articles.insert("acme", number, f"Row {number}")
        articles.connect(partitions=1, signals=True)
        articles.worker.start()
        articles.settle()
        open_meanwhile.execute(f"UPDATE {articles.table} SET title = 'Late' WHERE id = 1")
        open_meanwhile.execute(f"DELETE FROM {articles.table} WHERE id = 2")
        open_meanwhile.execute(f"UPDATE {articles.table} SET tenant = 'globex' WHERE id = 3")
        articles.execute("UPDATE {table} SET title = 'Meanwhile' WHERE id = 4")
        articles.snapshot()
        articles.settle()
        assert live(articles) == {"1": "Row 1", "2": "Row 2", "3": "Row 3", "4": "Meanwhile"}
        open_meanwhile.commit()
        articles.settle()
        assert live(articles) == {"1": "Late", "3": "Row 3", "4": "Meanwhile"}
        assert {found.id for found in articles.index.visible() if found.body["tenant"] == "globex"} == {
            "globex/articles/3"
        }
