"""Does the index hold exactly what the table and its log say?"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from tests.e2e import kafka_log
from tests.e2e.index import Document
from tests.e2e.kafka_log import Event
from tests.e2e.scene import FIELDS, Scene, Table
from worker.stages.embedding_text import embedding_text, text_hash

UNAVAILABLE = "__debezium_unavailable_value"
Place = tuple[str, str]
"""Document id and routing."""


def place(tenant: str, id_: int) -> Place:
    return f"{tenant}/{id_}", tenant


def versions(events: Iterable[Event], table: Table) -> dict[Place, int]:
    """The version that the last event about each place asks for: `version_epoch << 56 | lsn`, and the epoch is 0."""
    latest: dict[Place, int] = {}
    for event in events:
        if event.value is None:
            continue
        after, before = event.value["after"] or {}, (event.value["before"] or {}) if table.full else {}
        for row in (after, before) if table.full else (after or event.key,):
            if row:
                where = place(row["tenant"], row["id"])
                latest[where] = max(latest.get(where, 0), int(event.value["source"]["lsn"]))
    return latest


def check_index(scene: Scene) -> None:
    """Every row once, at its place, with its version and its values; a tombstone wherever a row was; nothing else."""
    everything = scene.index.all()
    documents = {(found.id, found.routing): found for found in everything}
    assert len(documents) == len(everything), "a document is there twice"
    wanted: dict[Place, int] = {}
    rows: dict[Place, Mapping[str, Any]] = {}
    for table in scene.tables:
        wanted |= versions(kafka_log.events(scene.servers.kafka, table.topic(scene.name)), table)
        rows |= {place(*key): row for key, row in scene.rows(table).items()}
    assert documents.keys() == wanted.keys(), "places that no event names, or that nothing was written to"
    # A tombstone may be newer than the last event about its place: it has the version of the unit that wrote it.
    wrong = {
        where: (found.version, wanted[where])
        for where, found in documents.items()
        if (found.version != wanted[where] if where in rows else found.version < wanted[where])
    }
    assert not wrong, "versions stored and wanted"
    visible = {(found.id, found.routing) for found in scene.index.visible()}
    assert not visible ^ rows.keys(), "ghosts, or rows that are missing"
    for where, found in documents.items():
        if where in rows:
            check_document(found, rows[where])
        else:
            check_tombstone(found)


def check_document(found: Document, row: Mapping[str, Any]) -> None:
    expected = {name: row[name] for name in ("tenant", *FIELDS) if row[name] is not None}
    stored = {name: value for name, value in found.body.items() if name not in {"sync", "embedding"}}
    if "published" in stored:
        stored["published"] = dt.datetime.fromisoformat(stored["published"])
    assert stored == expected, f"{found.id} differs"
    sync = found.body["sync"]
    assert sync["version"] == found.version
    assert sync["text_hash"] == text_hash(embedding_text(row, ["title", "content"])), f"{found.id}: another text's"
    assert len(found.body["embedding"]) == 384
    assert "deleted" not in sync


def check_tombstone(found: Document) -> None:
    """No tenant, no text, no vector: only the row's key and the version that keeps older changes out."""
    assert found.body.keys() == {"sync"}, f"{found.id} is more than a tombstone"
    assert found.body["sync"].keys() == {"source", "key", "version", "deleted", "deleted_at"}
    assert found.body["sync"]["deleted"] is True
    assert found.body["sync"]["version"] == found.version


def cosine(one: Iterable[float], other: Iterable[float]) -> float:
    pairs = list(zip(one, other, strict=True))
    product = sum(a * b for a, b in pairs)
    return float(product / (sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)) ** 0.5)
