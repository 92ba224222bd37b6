"""A tenant that only `message.key.columns` puts into the key: Debezium makes it up in the key of every delete."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e import kafka_log
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm

DEFAULT = "public"
"""What PostgreSQL would put into the column, and Debezium does: nothing tells it from a real tenant."""


def live(labels: Scene) -> dict[str, str]:
    return {found.id: found.body["title"] for found in labels.index.visible()}


def delete_keys(labels: Scene) -> set[str]:
    log = kafka_log.events(labels.servers.kafka, labels.topics[0])
    return {event.key["tenant"] for event in log if event.value is not None and event.value["op"] == "d"}


def test_its_deleted_and_moved_rows_are_found(servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path) -> None:
    table = Table("labels", message_key="tenant,id")
    with scene(servers, tmp_path / "messagekey", table, model=tiny_model) as labels:
        labels.execute(f"ALTER TABLE {{table}} ALTER COLUMN tenant SET DEFAULT '{DEFAULT}'")
        for number in range(1, 6):
            labels.insert("acme", number, f"Row {number}")
        labels.connect()
        labels.worker.start()
        labels.settle()
        assert len(live(labels)) == 5
        labels.execute("DELETE FROM {table} WHERE id = 1")
        labels.execute("UPDATE {table} SET tenant = 'globex' WHERE id = 2")
        labels.execute("UPDATE {table} SET id = 30 WHERE id = 3")
        labels.execute("UPDATE {table} SET title = 'Other' WHERE id = 4")
        labels.settle()
        labels.execute("DELETE FROM {table} WHERE id = 5")
        labels.settle()
        assert delete_keys(labels) == {DEFAULT}, "the tenants were to be made up"
        assert live(labels) == {
            "globex/labels/2": "Row 2",
            "acme/labels/30": "Row 3",
            "acme/labels/4": "Other",
        }


def test_under_full_identity_the_halves_of_a_changed_key_are_one_row(
    servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path
) -> None:
    table = Table("labels", full=True, message_key="id,title")
    with scene(servers, tmp_path / "halves", table, model=tiny_model) as labels:
        for number in range(1, 5):
            labels.insert("acme", number, f"Row {number}")
        labels.connect()
        labels.worker.start()
        labels.settle()
        labels.execute("UPDATE {table} SET title = 'Changed' WHERE id = 1")
        labels.execute("UPDATE {table} SET title = 'Moved', tenant = 'globex' WHERE id = 2")
        labels.execute("UPDATE {table} SET title = 'Renumbered', id = 30 WHERE id = 3")
        labels.execute("DELETE FROM {table} WHERE id = 4")
        labels.settle()
        assert live(labels) == {
            "acme/labels/1": "Changed",
            "globex/labels/2": "Moved",
            "acme/labels/30": "Renumbered",
        }
