"""What to do with a row's newest change, given what Elasticsearch holds already.

An embedding costs tens of milliseconds, a lookup a fraction of one: so what is stored decides first. A replay of what
is indexed already costs reads only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from worker.errors import RejectReason
from worker.records import Change, DocumentWrite, Operation, Place, Rejection, Stored, Unit
from worker.stages.documents import document, is_content_of, tombstone, value_at
from worker.stages.embedding_text import embedding_text, text_hash
from worker.stages.ordering import comes_too_late, version_of_unpositioned
from worker.stages.rules import EmbedTemplate
from worker.stages.vectors import may_stand_for

# Looked up once: an enumeration's members are slow to come by.
_DELETE: Final = Operation.DELETE
StoredDocuments = Mapping[Place, Stored | None]


@dataclass(frozen=True, slots=True)
class Superseded:
    """Everywhere this change would write, newer versions are stored already, or what it would write."""


class Ready(NamedTuple):
    """Writes that need no embedding. `reused` tells that a stored vector was taken."""

    writes: tuple[DocumentWrite, ...]
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Owing:
    """A change that can never be indexed, and the tombstones of the places that its row has left all the same.

    They are written before the record is put aside: a reader of a former tenant must not go on seeing the row, and
    who reads the record again does not know the places that were told by changes it hides.
    """

    writes: tuple[DocumentWrite, ...]
    rejection: Rejection


class NeedsVector(NamedTuple):
    """A document that lacks its vector, the text to embed and its hash, and the tombstones that go with it.

    `is_stored` tells that a vector of this very text is stored, but was not brought along.
    """

    change: Change
    fields: Mapping[str, object]
    text: str
    digest: str
    tombstones: tuple[DocumentWrite, ...]
    is_stored: bool = False


Plan = Superseded | Ready | NeedsVector | Owing | Rejection


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
    if change.doubt is not None and stored[change.place] is None:
        return change.doubt
    overtaken = _is_overtaken(change, stored)
    written = _at_its_version(unit, stored)
    tombstones = _tombstones(unit, written, stored, now_ms, overtaken=overtaken)
    if change.rejection is not None:
        return Owing(tombstones, change.rejection) if tombstones else change.rejection
    if change.operation is _DELETE or overtaken:
        return Ready(tombstones) if tombstones else Superseded()
    fields = _completed(unit, stored)
    if isinstance(fields, Rejection):
        return Owing(tombstones, fields) if tombstones else fields
    text = embedding_text(fields, embed)
    digest = text_hash(text) if text else None
    if _is_there(change, fields, stored[change.place], digest, model):
        others = tuple(one for one in tombstones if not _is_own_document(one.place, change, stored))
        return Ready(others) if others else Superseded()
    if digest is None:
        return Ready((document(written, fields, None, model, None), *tombstones))
    is_stored = False
    for place in unit.places:
        known = stored[place]
        if known is None or known.text_hash != digest or known.model is None or not may_stand_for(known.model, model):
            continue
        if known.vector is not None:
            vector = np.asarray(known.vector, dtype=np.float32)
            # It stays what it was: one of full precision must not be taken for a quantised one later.
            write = document(written, fields, digest, known.model, vector, packed=packed)
            return Ready((write, *tombstones), reused=True)
        is_stored = True
    return NeedsVector(written, fields, text, digest, tombstones, is_stored)


def with_vector(
    needed: NeedsVector, vector: np.ndarray[tuple[int], np.dtype[np.float32]], model: str, *, packed: bool = False
) -> Ready:
    """Return the writes of a document whose text has been embedded."""
    write = document(needed.change, needed.fields, needed.digest, model, vector, packed=packed)
    return Ready((write, *needed.tombstones))


def _at_its_version(unit: Unit, stored: StoredDocuments) -> Change:
    """The change as it is written: one without a position with the version of what it replaces.

    Not where it leaves a document of that very version and its own id, which may be its own: the tombstone replaces
    only what is older than it, and would be refused.
    """
    change = unit.change
    if change.positioned:
        return change
    older = {place: known for place in unit.places if (known := stored[place]) and not comes_too_late(change, known)}
    version = version_of_unpositioned(change, older.values())
    own_id = change.place.document_id
    if any(
        place != change.place
        and place.document_id == own_id
        and not known.deleted
        and known.version >= version
        and not _is_apart(place, change, stored)
        for place, known in older.items()
    ):
        return change
    return replace(change, version=version, watermark=change.log_place.watermark)


def _tombstones(
    unit: Unit, written: Change, stored: StoredDocuments, now_ms: int, *, overtaken: bool
) -> tuple[DocumentWrite, ...]:
    """What marks the row as gone from where it is gone by this change, unless that is known there already."""
    change = unit.change
    if not change.left and change.operation is not _DELETE:
        return ()
    return tuple(
        tombstone(written, place, now_ms, apart=_is_apart(place, change, stored))
        for place in unit.places
        if _is_left_at(change, place)
        # Where a later document of the row is found, whatever came before the delete is kept out by that.
        and not (overtaken and place in change.key_places)
        and not _hides(stored[place], change)
        and not _is_gone(stored[place], change, place)
    )


def _is_left_at(change: Change, place: Place) -> bool:
    """Whether the row is gone from there by this change; from a former key's place another change takes it away."""
    return place in change.left or (change.operation is _DELETE and place == change.place)


def _hides(stored: Stored | None, change: Change) -> bool:
    """Whether Elasticsearch would refuse the change as older."""
    return stored is not None and comes_too_late(change, stored)


def _is_overtaken(change: Change, stored: StoredDocuments) -> bool:
    """Whether the row's own place, that of its key, or a document of it elsewhere shows a later state of the row.

    A document elsewhere tells that only where the row's places are located: a move that an event tells leaves a
    tombstone at the place itself.
    """
    if _hides(stored[change.place], change) or any(_hides(stored[place], change) for place in change.key_places):
        return True
    if not change.locates:
        return False
    elsewhere = (stored[place] for place in change.left)
    return any(known is not None and not known.deleted and _hides(known, change) for known in elsewhere)


def _is_gone(stored: Stored | None, change: Change, place: Place) -> bool:
    """Whether a tombstone is there that says already what this change has to say.

    It is as new as any change of the unit that mentions the place: they came one by one before, or in other batches,
    and this is a replay. Or the change is unpositioned, and would only write it again.
    """
    if stored is None or not stored.deleted:
        return False
    return stored.version >= change.left_at.get(place, change.version) or _may_stay(stored, change)


def _is_there(
    change: Change, fields: Mapping[str, object], stored: Stored | None, digest: str | None, model: str
) -> bool:
    """Whether the document of an unpositioned change is stored already, vector included."""
    if stored is None or stored.deleted or not _may_stay(stored, change):
        return False
    if (stored.text_hash, stored.vector is None) != (digest, digest is None):
        return False
    return (digest is None or may_stand_for(stored.model, model)) and is_content_of(change, fields, stored.body)


def _is_own_document(place: Place, change: Change, stored: StoredDocuments) -> bool:
    """Whether what was found at a place that the row has left is its document: on one shard an id is one document.

    Two documents of a row never have one version.
    """
    there, own = stored[place], stored[change.place]
    if there is None or own is None or there.deleted or place.document_id != change.place.document_id:
        return False
    return there.version == own.version


def _is_apart(place: Place, change: Change, stored: StoredDocuments) -> bool:
    """Whether what is stored at a place that the row has left is another document than its own, whatever its id.

    On one shard an id is one document, and a lookup of either place finds it.
    """
    there, own = stored[place], stored[change.place]
    if there is None:
        return False
    return own is None or (there.version, there.deleted, there.log_place) != (own.version, own.deleted, own.log_place)


def _may_stay(stored: Stored, change: Change) -> bool:
    """Whether what is stored need not be written again for its version.

    A positioned change must raise the version, or the older write of a worker that lost its partitions could still
    win; an unpositioned one only where it hides a positioned change that such a worker may yet write.
    """
    return not change.positioned and stored.version >= change.hides


def _completed(unit: Unit, stored: StoredDocuments) -> Mapping[str, object] | Rejection:
    """Fill in the values that the event did not carry from the row's stored document, under any of its places.

    Of several the newest counts, but nothing from before the row came under its key. What is stored under a former key
    comes last, and is taken only if it is from the time of the row's stay there: the key may have belonged to another
    row before, and to one more by now.
    """
    change = unit.change
    if not (change.absent or change.inherited):
        return change.fields
    own = [
        known
        for place in unit.places
        if (place == change.place or place not in change.former)
        and (known := stored[place]) is not None
        and known.version >= change.born
    ]
    former = [
        known
        for place, stays in change.former.items()
        if (known := stored[place]) is not None and any(stay.since <= known.version < stay.until for stay in stays)
    ]
    for known in sorted(own, key=_newest_first) + sorted(former, key=_newest_first):
        if known.deleted:
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


def _newest_first(stored: Stored) -> int:
    return -stored.version
