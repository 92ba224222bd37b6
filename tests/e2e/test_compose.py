"""What deploy/compose.yaml mounts, on real servers: its table, its connector, its settings; only addresses are others.

The file itself needs an engine. Its parts need none, and a newcomer should find three documents.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml

from tests.e2e.index import Index
from tests.e2e.process import WorkerProcess, until
from tests.servers import processes
from tests.servers.addresses import PostgresAddress
from tests.servers.start import Servers
from worker.adapters.kafka_feed import create_topic
from worker.app.index import apply_index
from worker.settings import load_settings

pytestmark = pytest.mark.needs_debezium
FOLDER = Path(__file__).parent.parent.parent / "deploy" / "compose"


@pytest.fixture
def shop(servers: Servers) -> Iterator[PostgresAddress]:
    """A database with what compose's PostgreSQL runs at its first start."""
    address = replace(servers.postgres, database="shop")
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as owner:
        owner.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        owner.execute("CREATE DATABASE shop")
        with psycopg.connect(address.dsn, autocommit=True) as database:
            database.execute((FOLDER / "articles.sql").read_text(encoding="utf-8").encode())
        yield address


@pytest.fixture
def connector(servers: Servers, shop: PostgresAddress) -> Iterator[dict[str, str]]:
    content: dict[str, str] = json.loads((FOLDER / "connector.json").read_text(encoding="utf-8"))
    name = f"compose{uuid4().hex[:6]}"
    content |= {
        "database.hostname": shop.host,
        "database.port": str(shop.port),
        "database.user": shop.user,
        "database.password": shop.password,
        "slot.name": name,
    }
    yield {"name": name, **content}
    with contextlib.suppress(OSError):
        servers.connect.delete(name)
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as owner:

        def gone() -> bool:
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                owner.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
                )
                return True
            return False

        until(gone, "its slot is in use")


@pytest.mark.timeout(600)
async def test_the_three_rows_of_compose_become_three_documents_and_a_change_follows(
    servers: Servers, shop: PostgresAddress, connector: dict[str, str], real_model: Mapping[str, str], tmp_path: Path
) -> None:
    (port,) = processes.free_ports(1)
    content: dict[str, Any] = yaml.safe_load((FOLDER / "syncline.yaml").read_text(encoding="utf-8"))
    alias = f"compose-{uuid4().hex[:6]}"
    content["kafka"] |= {"bootstrap_servers": [servers.kafka], "group_id": alias}
    content["elasticsearch"] = {"hosts": [servers.elasticsearch]}
    content["index"] |= {"alias": alias}
    content["embedding"] |= real_model
    content["server"] |= {"port": port}
    config = tmp_path / "syncline.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = load_settings(config, {})
    assert settings.kafka.dead_letter_topic is not None
    await create_topic(settings.kafka, settings.kafka.dead_letter_topic, 1)
    await create_topic(settings.kafka, "shop.public.articles", 4)
    assert (await apply_index(settings, dry_run=False)).ok
    name = connector.pop("name")
    servers.connect._call("PUT", f"/connectors/{name}/config", connector)
    servers.connect.wait_running(name, within_s=90)

    worker = WorkerProcess(config, port, tmp_path / "worker.log")
    worker.start()
    try:
        until(lambda: worker.scrape().resolved >= 3, lambda: worker.told("three rows"), 120)
        with psycopg.connect(shop.dsn, autocommit=True) as database:
            database.execute(
                "UPDATE articles SET title = 'When a parcel is very late' WHERE tenant = 'acme' AND id = 1"
            )
        until(lambda: worker.scrape().resolved >= 4, lambda: worker.told("a change"), 60)
        index = Index(servers.elasticsearch, alias)
        found = {document.id: document.body["title"] for document in index.visible()}
    finally:
        worker.kill()
    assert found == {
        "acme/articles/1": "When a parcel is very late",
        "acme/articles/2": "Sending something back",
        "globex/articles/1": "Opening hours",
    }
