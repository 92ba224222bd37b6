"""A topic that is written to directly, in Debezium's form: where the amount or the order matters, not the database."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import yaml
from aiokafka import AIOKafkaProducer

from tests import builders
from tests.e2e import programs
from tests.e2e.index import Index
from tests.e2e.scene import ELASTICSEARCH
from tests.servers.start import Servers
from tests.soak.surroundings import create_topic

SOURCE: Final = "rows"
_LARGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Direct:
    """A topic, an index, and the configuration that joins them."""

    name: str
    topic: str
    index: Index
    config: Path


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one row: `revision` is its version too; without a title the row is deleted; `left` moves it."""

    id: int
    tenant: str
    revision: int
    title: str | None
    content: str = ""
    left: str | None = None
    at_ms: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def document_id(self) -> str:
        return f"{self.tenant}/{SOURCE}/{self.id}"

    def record(self) -> tuple[bytes, bytes]:
        """Key and value, as Debezium writes them for a table with REPLICA IDENTITY FULL."""
        marks = [self.tenant, str(self.revision)]
        row = builders.row(self.id, self.tenant, title=self.title, content=self.content, tags=marks)
        before = None if self.left is None else builders.row(self.id, self.left, tags=[])
        if self.title is None:
            event = builders.event("d", None, builders.row(self.id, self.tenant, tags=[]), lsn=self.revision)
        else:
            event = builders.event("u", row, before, lsn=self.revision)
        event["source"]["ts_ms"] = self.at_ms
        return orjson.dumps({"id": self.id}), orjson.dumps(event)


def direct(
    servers: Servers, folder: Path, *, partitions: int, model: Mapping[str, str], **settings: Mapping[str, object]
) -> Direct:
    """Create topic, configuration and index."""
    name = f"direct-{uuid4().hex[:8]}"
    topic = f"{name}.public.rows"
    create_topic(servers.kafka, topic, partitions, {"max.message.bytes": str(_LARGEST)})
    url: str = getattr(servers, ELASTICSEARCH)
    content: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [servers.kafka], "group_id": name, "session_timeout": "6s"},
        "elasticsearch": {"hosts": [url]},
        "index": {"alias": name},
        "sources": [
            {
                "name": SOURCE,
                "topics": [topic],
                "replica_identity": "full",
                "id": ["id"],
                "tenant": "tenant",
                "fields": {field_: field_ for field_ in ("title", "content", "tags")},
                "embed": ["title", "content"],
            }
        ],
        "embedding": dict(model),
    }
    for group, values in settings.items():
        content[group] = {**content.get(group, {}), **values}
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "syncline.yaml"
    config.write_text(yaml.safe_dump(content, sort_keys=False))
    programs.syncline("apply", config=config)
    return Direct(name, topic, Index(url, name), config)


def send_unreadable(bootstrap: str, topic: str) -> None:
    """Write one record that becomes a dead letter."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as sender:
            await sender.send_and_wait(topic, b"not JSON", key=b"{}")

    asyncio.run(send())


def producer(bootstrap: str) -> AIOKafkaProducer:
    """Create one that takes large records, within a running event loop."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=_LARGEST, linger_ms=5
    )
