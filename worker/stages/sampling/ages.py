"""How long a topic keeps records, beside how long tombstones keep the order."""

from collections.abc import Iterable, Iterator
from typing import Final

from worker.stages.findings import Finding, warning
from worker.stages.sampling.observed import Observed

_DAY_MS: Final = 86_400_000


def age_findings(observed: Iterable[Observed], tombstone_retention_s: float) -> Iterator[Finding]:
    """Yield whether there are records so old that the tombstones of their rows may be purged."""
    times = [one.record.timestamp_ms for one in observed if one.record.timestamp_ms > 0]
    if not times or max(times) - min(times) <= 1000 * tombstone_retention_s:
        return
    days, kept = (max(times) - min(times)) / _DAY_MS, tombstone_retention_s * 1000 / _DAY_MS
    yield warning(
        "tombstones",
        f"the oldest record is {days:,.1f} days older than the newest, and tombstones are kept for {kept:,.1f} days: "
        "who reads the topic again from its beginning shows deleted rows until it comes to their deletes",
        "set delivery.tombstone_retention above the topic's retention",
    )
