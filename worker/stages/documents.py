"""Bodies of documents and tombstones, serialised once: a retry sends the same bytes."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

from worker.records import Change, DocumentWrite, LogPlace, Place, VersionType

VECTOR_FIELD: Final = "embedding"
SYNC_FIELD: Final = "sync"
LOG_FIELD: Final = "log"
SYNC_FIELDS: Final = (
    "source",
    "key",
    "version",
    "text_hash",
    "model",
    "source_ts",
    "deleted",
    "deleted_at",
    LOG_FIELD,
)
"""All that is ever written below `sync`; a strict mapping has to have them."""
# Looked up once: an enumeration's members are slow to come by.
_EXTERNAL: Final = VersionType.EXTERNAL
_EXTERNAL_GTE: Final = VersionType.EXTERNAL_GTE
_BIG_ENDIAN: Final = np.dtype(">f4")


def document(
    change: Change,
    fields: Mapping[str, object],
    text_hash: str | None,
    model: str,
    vector: NDArray[np.float32] | None,
    *,
    packed: bool = False,
) -> DocumentWrite:
    """Return the write of a full document.

    A full document, never a partial one: a partial update cannot carry an external version. `text_hash` and `vector`
    are None for a document without text. A `packed` vector is written as base64, else as an array of numbers.
    """
    sync = _sync(change)
    if change.source_ts_ms is not None:
        sync["source_ts"] = change.source_ts_ms
    body = _content(change, fields)
    body[SYNC_FIELD] = sync
    if vector is not None:
        sync["text_hash"], sync["model"] = text_hash, model
        body[VECTOR_FIELD] = packed_vector(vector) if packed else vector
    return _write(change, change.place, body, tombstone=False)


def is_content_of(change: Change, fields: Mapping[str, object], body: Mapping[str, object]) -> bool:
    """Whether a whole stored document holds what this change would write, vector and version apart.

    Compared as JSON with its names in order: what Elasticsearch gives back is not byte for byte what it was sent.
    """
    known = {name: value for name, value in body.items() if name not in (VECTOR_FIELD, SYNC_FIELD)}
    sync = body.get(SYNC_FIELD)
    if not isinstance(sync, Mapping) or (sync.get("source"), sync.get("key")) != (change.source, change.key):
        return False
    return _canonical(known) == _canonical(_content(change, fields))


def _canonical(content: Mapping[str, object]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def _content(change: Change, fields: Mapping[str, object]) -> dict[str, object]:
    content = nested(fields)
    content["tenant"] = change.place.tenant
    return content


def tombstone(change: Change, place: Place, now_ms: int, *, apart: bool = False) -> DocumentWrite:
    """Return the write that marks a row as gone from a place; `apart` if its document is known to be another there.

    A document, not a delete: Elasticsearch forgets the version of a deleted document after `index.gc_deletes`, and
    then any replay would revive the row. It has no tenant, no text and no vector, so no search finds it.
    """
    sync = _sync(change) | {"deleted": True, "deleted_at": now_ms}
    write = _write(change, place, {SYNC_FIELD: sync}, tombstone=True)
    if place != change.place and place.document_id == change.place.document_id and not apart:
        # Of one id and perhaps on one shard: it must not replace the document that has the same version.
        return write._replace(version_type=_EXTERNAL)
    return write


def older(write: DocumentWrite) -> DocumentWrite:
    """Return a tombstone as one of the version before.

    It keeps out all that came before its change, and lets the change itself in: see `sending.items_of`. Before 0 there
    is nothing to keep out; Elasticsearch refuses a whole request for one version below it.
    """
    version = max(0, write.version - 1)
    body = orjson.loads(write.body) if write.body else {}
    if body:
        body[SYNC_FIELD]["version"] = version
    return write._replace(
        version=version,
        version_type=_EXTERNAL_GTE,
        body=_serialised(body) if body else b"",
    )


def hard(write: DocumentWrite) -> DocumentWrite:
    """Return a write as it is where deletes are real: a tombstone becomes a delete of the same version."""
    return write._replace(body=b"", hard=True) if write.tombstone else write


def _sync(change: Change) -> dict[str, object]:
    sync: dict[str, object] = {"source": change.source, "key": change.key, "version": change.version}
    if not change.positioned or change.watermark > change.version:
        sync[LOG_FIELD] = change.log_place._asdict() | ({} if change.positioned else {"positioned": False})
    return sync


def log_place(sync: Mapping[str, object]) -> LogPlace | None:
    """Return the place in the log that is kept in a stored document's `sync`; None where there is none."""
    match sync.get(LOG_FIELD):
        case {"topic": str(topic), "partition": int(partition), "offset": int(offset), "watermark": int(watermark)}:
            return LogPlace(topic, partition, offset, watermark)
        case _:
            return None


def stands_behind(sync: Mapping[str, object], version: int) -> bool:
    """Whether a stored document is a row without a position that has `version` in front of it in the log.

    Its own version may be lower: it is that of what the row has replaced.
    """
    match sync.get(LOG_FIELD):
        case {"positioned": False, "watermark": int(watermark)}:
            return watermark >= version
        case _:
            return False


def _write(change: Change, place: Place, body: Mapping[str, object], *, tombstone: bool) -> DocumentWrite:
    return DocumentWrite(
        place=place,
        version=change.version,
        version_type=_EXTERNAL if change.positioned else _EXTERNAL_GTE,
        body=_serialised(body),
        tombstone=tombstone,
    )


def _serialised(body: Mapping[str, object]) -> bytes:
    """Return a body as JSON that takes no more memory than its bytes.

    orjson 3.13 returns an object in the buffer it wrote to, eight times its size and more, and never trims it; and
    thousands of bodies wait for Elasticsearch at a time.
    """
    return bytes(memoryview(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)))


def packed_vector(vector: NDArray[np.float32]) -> str:
    """Return a vector as Elasticsearch takes it since 9.3: base64 of its numbers as big-endian float32, in order."""
    return b64encode(vector.astype(_BIG_ENDIAN).tobytes()).decode()


def unpacked_vector(text: str) -> tuple[float, ...]:
    """Return the numbers of a vector that was written packed, exactly."""
    return tuple(np.frombuffer(b64decode(text), dtype=_BIG_ENDIAN).tolist())


def nested(fields: Mapping[str, object]) -> dict[str, object]:
    """Return document paths as nested objects; null values are left out, as Elasticsearch treats both alike."""
    body: dict[str, object] = {}
    for path, value in fields.items():
        if value is None:
            continue
        if "." not in path:
            body[path] = value
            continue
        *parents, name = path.split(".")
        target = body
        for parent in parents:
            inner = target.setdefault(parent, {})
            target = inner if isinstance(inner, dict) else target
        target[name] = value
    return body


def value_at(body: Mapping[str, object], path: str) -> object:
    """Return the value at a document path, or None where there is nothing."""
    value: object = body
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
