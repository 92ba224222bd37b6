"""What the settings of the topics themselves say: how long records are kept, and how large one may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.stages.findings import Finding, note, ok, warning

_DAY_S: Final = 86_400
_MIB: Final = 1 << 20
_LONGER: Final = "set delivery.tombstone_retention above the topic's retention.ms"


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """`retention_s` is infinite where nothing is deleted by age; `max_bytes` is that of one batch of records."""

    retention_s: float
    max_bytes: int
    compacted: bool = False


def topic_limits(settings: Mapping[str, str | None]) -> TopicLimits | None:
    """Return the limits in a topic's settings by Kafka's names; None where they are not there."""
    policy = settings.get("cleanup.policy") or "delete"
    retention, largest = settings.get("retention.ms"), settings.get("max.message.bytes")
    if retention is None or largest is None:
        return None
    kept = int(retention)
    forever = "delete" not in policy or kept < 0
    return TopicLimits(float("inf") if forever else kept / 1000, int(largest), compacted="compact" in policy)


def limit_findings(topic: str, limits: TopicLimits | None, tombstone_retention_s: float) -> Iterator[Finding]:
    """Yield whether tombstones outlive the records of a topic; infinite where deletes leave none."""
    if limits is None:
        yield note(
            "retention",
            f"{topic}: its settings are not shown to this user, so they were not compared with "
            "delivery.tombstone_retention",
            "grant DescribeConfigs on the topic, or compare them by hand",
        )
        return
    kept = days(tombstone_retention_s)
    if limits.retention_s < tombstone_retention_s or tombstone_retention_s == float("inf"):
        yield ok("retention", f"{topic} keeps records {_kept(limits)}, tombstones are kept {kept}")
    elif limits.retention_s == float("inf") and limits.compacted:
        yield note(
            "retention",
            f"{topic} is compacted and keeps the last change of every row for good, tombstones are kept {kept}: a row "
            "whose delete is compacted away is gone from both",
        )
    elif limits.retention_s == tombstone_retention_s:
        yield note(
            "retention",
            f"{topic} keeps records {_kept(limits)}, as long as tombstones; brokers delete whole segments, some time "
            "later than that",
            _LONGER,
        )
    else:
        yield warning(
            "retention",
            f"{topic} keeps records {_kept(limits)}, but tombstones are kept {kept}: who reads the topic again from "
            "its beginning shows deleted rows until it comes to their deletes",
            _LONGER,
        )


def letter_findings(topic: str, letters: TopicLimits | None, sources: Mapping[str, TopicLimits]) -> Iterator[Finding]:
    """Yield whether the dead-letter topic takes what the topics of the sources may hold."""
    if letters is None:
        return
    larger = {name: one.max_bytes for name, one in sources.items() if one.max_bytes > letters.max_bytes}
    if larger:
        name, size = max(larger.items(), key=lambda item: (item[1], item[0]))
        yield warning(
            "dead letters",
            f"{topic} takes records of {letters.max_bytes / _MIB:.3g} MiB, {name} of {size / _MIB:.3g} MiB: a larger "
            "one is put aside without its value, and cannot be replayed",
            f"set max.message.bytes of {topic} to {size} and some room for the headers",
        )


def days(seconds: float) -> str:
    """Return how long something is kept: `for good`, `7 days`, `1.5 days`."""
    if seconds == float("inf"):
        return "for good"
    found = seconds / _DAY_S
    return f"{found:.3g} {'day' if found == 1 else 'days'}"


def _kept(limits: TopicLimits) -> str:
    return days(limits.retention_s)
