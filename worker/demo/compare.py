"""Do table and index agree? Every row once, under its tenant, with its values; and nothing else."""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.adapters.elastic_scan import ScannedDocument
from worker.demo.table import SOURCE, Key, Row

_COMPARED = ("title", "content", "tags", "url")


@dataclass
class Comparison:
    """What was found: keys of rows, and ids of documents."""

    rows: int
    documents: int = 0
    missing: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether index and table hold the same."""
        return not (self.missing or self.ghosts or self.different)


async def compare(rows: Mapping[Key, Row], documents: AsyncIterable[ScannedDocument]) -> Comparison:
    """Compare the table's rows with all documents that readers can see."""
    found = Comparison(rows=len(rows))
    seen: set[Key] = set()
    async for document in documents:
        found.documents += 1
        key = _key_of(document)
        row = None if key is None else rows.get(key)
        if key is None or row is None or key in seen or document.routing not in {key.tenant, None}:
            found.ghosts.append(document.document_id)
            continue
        seen.add(key)
        if not _same(row, document.body):
            found.different.append(document.document_id)
    found.missing = [f"{key.tenant}/{key.id}" for key in rows if key not in seen]
    return found


def _key_of(document: ScannedDocument) -> Key | None:
    match document.document_id.split("/"):
        case [tenant, source, number] if source == SOURCE and number.isdecimal():
            return Key(tenant, int(number)) if document.body.get("tenant") == tenant else None
    return None


def _same(row: Row, body: Mapping[str, Any]) -> bool:
    wanted = {name: getattr(row, name) for name in _COMPARED}
    return all(body.get(name) == (list(value) if isinstance(value, tuple) else value) for name, value in wanted.items())
