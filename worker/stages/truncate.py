"""A truncated table: how older changes are kept out, and what becomes of the documents that are there.

A truncate has no key, lands on one partition and has no order against the rows on the others. So what is older is told
by its version, and in one place a source: its *marker*, a tombstone with the truncate's version. Every change of such
a source looks there as well, and is superseded if it is older, on whatever partition and worker it arrives.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from worker.records import Change, Operation, Place, Record, RowPlace, Truncate
from worker.stages.documents import tombstone
from worker.stages.ordering import comes_too_late
from worker.stages.planning import Plan, Ready, StoredDocuments


def marker(source: str) -> Place:
    """Return the place of a source's marker.

    No document has it, and no place of a row's key: their ids hold a source's name and a part of a key at least.
    """
    name = f"/{source}"
    return Place(name, name)


def guarded(change: Change) -> Change:
    """Return the change as one that gives way to a newer truncate of its source."""
    return replace(change, key_places=change.key_places | {marker(change.source)})


def kept_out(change: Change, decision: Plan, stored: StoredDocuments, now_ms: int) -> Plan:
    """Return the plan of a change; one that the truncate hides leaves the truncate's tombstone at its place.

    Another worker may have looked there before the truncate, and freeze before it writes: only what is stored at the
    place itself stops that write. So the index ends the same whether a row came before its truncate or after it.
    """
    if not change.key_places or change.operation is Operation.DELETE:
        return decision
    where = marker(change.source)
    if where not in change.key_places:
        return decision
    truncated, there = stored[where], stored[change.place]
    if truncated is None or not comes_too_late(change, truncated):
        return decision
    if there is not None and comes_too_late(change, there):
        return decision
    gone = tombstone(replace(change, version=truncated.version, positioned=True), change.place, now_ms)
    return Ready((*decision.writes, gone) if isinstance(decision, Ready) else (gone,))


def marking(record: Record, truncate: Truncate, source: str) -> Change:
    """Return the deletion that leaves the marker; its key, the source's name alone, is that of no row."""
    return _deletion(record, truncate, source, RowPlace(source, marker(source)))


def deletions(record: Record, truncate: Truncate, source: str, found: Iterable[RowPlace]) -> Sequence[Change]:
    """Return what becomes of documents with older versions: each is deleted, at the truncate's version."""
    return [_deletion(record, truncate, source, one) for one in found]


def _deletion(record: Record, truncate: Truncate, source: str, found: RowPlace) -> Change:
    return Change(
        record=record,
        source=source,
        key=found.key,
        operation=Operation.DELETE,
        place=found.place,
        version=truncate.version,
        positioned=True,
        source_ts_ms=None,
    )
