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


def place(table: Table, tenant: str, id_: int) -> Place:
    return f"{tenant}/{table.source_name}/{id_}", tenant


def histories(events: Iterable[Event], table: Table) -> dict[Place, list[Event]]:
    """Each place's events, in the order of the log; one that moves a row belongs to both places."""
    by_place: dict[Place, list[Event]] = {}
    for event in events:
        if event.value is None:
            continue
        after, before = event.value["after"] or {}, (event.value["before"] or {}) if table.full else {}
        rows = (after, before) if table.full else (after or event.key,)
        for where in {place(table, row["tenant"], row["id"]) for row in rows if row}:
            by_place.setdefault(where, []).append(event)
    return by_place


def version(event: Event) -> int:
    """What the event asks for: `version_epoch << 56 | lsn`, and the epoch is 0."""
    assert event.value is not None
    return int(event.value["source"]["lsn"])


def told(history: Iterable[Event]) -> str:
    """A history for whoever has to find out what went wrong with a row."""
    lines = []
    for event in list(history)[-8:]:
        assert event.value is not None
        after = {name: str(value)[:30] for name, value in (event.value["after"] or {}).items()}
        lines.append(f"[{event.partition}] {event.offset}: {event.value['op']} {version(event)} {after}")
    return "its last events:\n" + "\n".join(lines)


def check_index(scene: Scene) -> None:
    """Every row once, at its place, with its version and its values; a tombstone wherever a row was; nothing else."""
    everything = scene.index.all()
    documents = {(found.id, found.routing): found for found in everything}
    assert len(documents) == len(everything), "a document is there twice"
    history: dict[Place, list[Event]] = {}
    rows: dict[Place, Mapping[str, Any]] = {}
    for table in scene.tables:
        history |= histories(kafka_log.events(scene.servers.kafka, table.topic(scene.name)), table)
        rows |= {place(table, *key): row for key, row in scene.rows(table).items()}
    wanted = {where: max(map(version, events)) for where, events in history.items()}
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
            check_document(found, rows[where], told(history[where]))
        else:
            check_tombstone(found)


def check_document(found: Document, row: Mapping[str, Any], history: str) -> None:
    expected = {name: row[name] for name in ("tenant", *FIELDS) if row[name] is not None}
    stored = {name: value for name, value in found.body.items() if name not in {"sync", "embedding"}}
    if "published" in stored:
        stored["published"] = dt.datetime.fromisoformat(stored["published"])
    assert stored == expected, f"{found.id} at version {found.version} differs; {history}"
    sync = found.body["sync"]
    assert sync["version"] == found.version, f"{found.id} says {sync['version']}, and has version {found.version}"
    assert sync["text_hash"] == text_hash(embedding_text(row, ["title", "content"])), f"{found.id}: another text's"
    assert len(found.body["embedding"]) == 384
    assert "deleted" not in sync


def check_tombstone(found: Document) -> None:
    """No tenant, no text, no vector: only the row's key and the version that keeps older changes out."""
    assert found.body.keys() == {"sync"}, f"{found.id} is more than a tombstone"
    sync = found.body["sync"]
    # A late commit or a snapshot also leaves its place in the log.
    assert sync.keys() - {"log"} == {"source", "key", "version", "deleted", "deleted_at"}, f"{found.id} holds {sync}"
    assert sync["deleted"] is True, f"{found.id} is no tombstone"
    assert sync["version"] == found.version, f"{found.id} says {sync['version']}, and has version {found.version}"


def cosine(one: Iterable[float], other: Iterable[float]) -> float:
    pairs = list(zip(one, other, strict=True))
    product = sum(a * b for a, b in pairs)
    return float(product / (sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)) ** 0.5)
