"""What to do with a row's newest change, given what Elasticsearch holds already.

An embedding costs tens of milliseconds, a lookup a fraction of one: so what is stored decides first. A replay of what
is indexed already costs reads only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from worker.errors import RejectReason
from worker.records import Change, DocumentWrite, Operation, Place, Rejection, Stored, Unit
from worker.stages.documents import document, tombstone, value_at
from worker.stages.embedding_text import embedding_text, text_hash
from worker.stages.rules import EmbedTemplate

StoredDocuments = Mapping[Place, Stored | None]


@dataclass(frozen=True, slots=True)
class Superseded:
    """Newer versions are stored already, everywhere this change would write."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Writes that need no embedding. `reused` tells that a stored vector was taken."""

    writes: tuple[DocumentWrite, ...]
    reused: bool = False


@dataclass(frozen=True, slots=True)
class NeedsVector:
    """A document that lacks its vector, the text to embed, and the tombstones that go with it."""

    change: Change
    fields: Mapping[str, object]
    text: str
    tombstones: tuple[DocumentWrite, ...]


Plan = Superseded | Ready | NeedsVector | Rejection


def plan(
    unit: Unit,
    stored: StoredDocuments,
    embed: Iterable[str] | EmbedTemplate,
    model: str,
    now_ms: int,
    *,
    packed: bool = False,
) -> Plan:
    """Decide for one row. `stored` holds an entry for every place of the unit; `embed` names document fields.

    `packed` is how vectors are written: see `documents.document`.
    """
    change = unit.change
    tombstones = tuple(
        tombstone(change, place, now_ms)
        for place in unit.places
        if _is_left_at(change, place) and not _hides(stored[place], change)
    )
    if change.operation is Operation.DELETE or _hides(stored[change.place], change):
        return Ready(tombstones) if tombstones else Superseded()
    fields = _completed(unit, stored)
    if isinstance(fields, Rejection):
        return fields
    text = embedding_text(fields, embed)
    if not text:
        return Ready((document(change, fields, None, model, None), *tombstones))
    digest = text_hash(text)
    for place in unit.places:
        known = stored[place]
        if known is not None and known.vector is not None and known.text_hash == digest and known.model == model:
            vector = np.asarray(known.vector, dtype=np.float32)
            return Ready((document(change, fields, digest, model, vector, packed=packed), *tombstones), reused=True)
    return NeedsVector(change, fields, text, tombstones)


def with_vector(
    needed: NeedsVector, vector: np.ndarray[tuple[int], np.dtype[np.float32]], model: str, *, packed: bool = False
) -> Ready:
    """Return the writes of a document whose text has been embedded."""
    write = document(needed.change, needed.fields, text_hash(needed.text), model, vector, packed=packed)
    return Ready((write, *needed.tombstones))


def _is_left_at(change: Change, place: Place) -> bool:
    """Whether the row is gone from there by this change; from a former key's place another change takes it away."""
    return place in change.left or (change.operation is Operation.DELETE and place == change.place)


def _hides(stored: Stored | None, change: Change) -> bool:
    """Whether Elasticsearch would refuse the change as older: `external` wants `>`, `external_gte` wants `>=`."""
    if stored is None:
        return False
    return stored.version >= change.version if change.positioned else stored.version > change.version


def _completed(unit: Unit, stored: StoredDocuments) -> Mapping[str, object] | Rejection:
    """Fill in the values that the event did not carry from the row's stored document, under any of its places.

    What is stored under a former key is taken only while it is older than the change: the key may belong to another
    row by now.
    """
    change = unit.change
    if not change.needs_stored_values:
        return change.fields
    for place in unit.places:
        known = stored[place]
        if known is None or known.deleted or (place in change.former and known.version >= change.version):
            continue
        better = {name for name, version in change.inherited.items() if known.version > version}
        return {**change.fields, **{name: value_at(known.body, name) for name in change.absent | better}}
    if not change.absent:
        return change.fields
    names = ", ".join(sorted(change.absent))
    return Rejection(
        RejectReason.UNCHANGED_VALUE_LOST,
        f"the event leaves out unchanged values of {names} and no stored document has them: set REPLICA IDENTITY FULL "
        "on the table, or use Debezium's column reselection, then snapshot the row again",
    )
