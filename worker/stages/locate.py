"""Rows whose places no event tells: which of them to look for, and what is found becomes part of the change.

Under PostgreSQL's default replica identity an event does not say which tenant the row had before. Unless the tenant is
part of the Kafka key, only the index knows where a deleted row is, and whether an updated one has left another tenant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from worker.records import Place, Stored, Unit


def must_be_located(unit: Unit, stored: Mapping[Place, Stored | None]) -> bool:
    """Whether places of the row that no event tells may need a tombstone. `stored` is what is at the known ones.

    Not if something newer is stored there: whoever wrote that has located the row. An equal version is no proof: it
    may be this very change, cut off before its tombstones were written.
    """
    change = unit.change
    if not change.locates:
        return False
    known = (stored[place] for place in (change.place, *change.key_places))
    return all(one is None or one.version <= change.version for one in known)


def with_located(unit: Unit, places: Iterable[Place]) -> Unit:
    """Return the unit with the places that were found as places that the row has left, but for its own."""
    change = unit.change
    left = change.left.union(places) - change.key_places - {change.place}
    return unit if left <= change.left else unit._replace(change=replace(change, left=change.left | left))
