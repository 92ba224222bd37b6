"""`syncline purge`: remove the tombstones that have outlived `delivery.tombstone_retention`."""

import json
from collections import Counter
from dataclasses import dataclass, field

from worker.control.dead_letters import when
from worker.ports import Tombstones
from worker.records import Removal
from worker.settings.types import format_duration

_FIRST_FAULTS = 3


@dataclass(slots=True)
class Purged:
    """What was found and what became of it; in a dry run nothing became of it."""

    before_ms: int
    retention: float
    dry_run: bool
    found: int = 0
    removals: Counter[Removal] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the command may exit with 0."""
        return not self.removals[Removal.FAILED]


async def purge(tombstones: Tombstones, retention: float, now_ms: int, *, size: int, dry_run: bool) -> Purged:
    """Remove tombstones older than `retention` seconds, at most `size` in a request; in a dry run only find them.

    Safe beside running workers, and to repeat or break off at any point: a tombstone is removed only if nothing has
    been written in its place since it was found.

    Raises:
        RetryLater: Elasticsearch does not answer now; what was removed is removed.
        Halt: the alias is missing, or the credentials do not suffice.
    """
    purged = Purged(now_ms - round(1000 * retention), retention, dry_run)
    # A dry run reads as a run does: what matches the search may still be somebody else's document.
    async for page in tombstones.found(purged.before_ms, size):
        purged.found += len(page)
        for removal, fault in () if dry_run else await tombstones.remove(page):
            purged.removals[removal] += 1
            if fault and len(purged.faults) < _FIRST_FAULTS:
                purged.faults.append(fault)
    return purged


def render(purged: Purged, alias: str) -> str:
    """Return what was done as plain text."""
    old = (
        f"{_tombstones(purged.found)} in {alias} {'is' if purged.found == 1 else 'are'} older than "
        f"{format_duration(purged.retention)} (written before {when(purged.before_ms)} UTC)"
    )
    if purged.dry_run:
        return f"{old}.\nNothing was removed: this was a dry run."
    lines = [f"{old}."]
    counts = purged.removals
    if purged.found:
        lines.append(f"{counts[Removal.REMOVED]:,} removed.")
    if counts[Removal.CHANGED]:
        lines.append(f"{counts[Removal.CHANGED]:,} left: their rows were written again meanwhile.")
    if counts[Removal.GONE]:
        lines.append(f"{counts[Removal.GONE]:,} were gone already.")
    if counts[Removal.FAILED]:
        lines.append(f"{counts[Removal.FAILED]:,} could not be removed; run it again. The first reasons:")
        lines.extend(f"  {fault[:200]}" for fault in purged.faults)
    return "\n".join(lines)


def _tombstones(count: int) -> str:
    return "1 tombstone" if count == 1 else f"{count:,} tombstones"


def as_json(purged: Purged) -> str:
    """Return what was done as a JSON object."""
    return json.dumps(
        {
            "found": purged.found,
            "before_ms": purged.before_ms,
            "dry_run": purged.dry_run,
            **{removal.value: purged.removals[removal] for removal in Removal},
            "faults": purged.faults,
        },
        indent=2,
    )
