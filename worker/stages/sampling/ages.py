"""How long a topic keeps records, beside how long tombstones keep the order."""

from collections.abc import Iterable, Iterator
from typing import Final

from worker.stages.findings import Finding, counted, warning
from worker.stages.sampling.observed import Observed

_DAY_MS: Final = 86_400_000


_SKEW_MS: Final = 5000
"""Milliseconds by which clocks may differ before it is told: what records wait on their way hides less."""


def future_findings(observed: Iterable[Observed], now_ms: int) -> Iterator[Finding]:
    """Yield whether records come from the future of this machine's clock."""
    ahead = [one.record.timestamp_ms - now_ms for one in observed if one.record.timestamp_ms > now_ms + _SKEW_MS]
    if ahead:
        yield warning(
            "clock",
            f"{counted(len(ahead), 'record')} were written up to {max(ahead) / 1000:,.0f} s after now by this "
            "machine's clock: freshness and ages would be wrong by that",
            "set the clocks of this machine, the brokers and those who write the records (NTP)",
        )


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
