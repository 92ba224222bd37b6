"""`syncline status`, the feed: what waits in Kafka, and what the group does of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.errors import NotAllowedError
from worker.ports import GroupReader, TopicReader
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.settings import Settings
from worker.stages.findings import Finding, failure, note, ok, warning
from worker.stages.progress import GroupState, Look, Progress, Times, age, group_findings, looks, progress_findings
from worker.stages.sampling import Span

READ_PARTITIONS: Final = 20
"""Partitions, those with the most waiting, of which two records are read to see how old they are."""
READ_SECONDS: Final = 5.0
_READ_BYTES: Final = 16 << 20
_RECENT_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Letters:
    """What lies in the dead-letter topic, and when the newest was put there; None if there is none, or if this user may
    not read them.
    """

    topic: str
    count: int
    newest_ms: int | None
    readable: bool = True


@dataclass(frozen=True, slots=True)
class KafkaStatus:
    """The group and its partitions, sorted by name."""

    findings: tuple[Finding, ...]
    group: GroupState | None = None
    partitions: tuple[Progress, ...] = ()
    letters: Letters | None = None


async def kafka_status(
    reader: TopicReader, group: GroupReader, settings: Settings, names: Sequence[str], seconds: float, clock: Clock
) -> KafkaStatus:
    """Look at the topics' partitions twice, `seconds` apart.

    Raises:
        OperatorError: the broker does not answer, or refuses.
    """
    before = await _look(reader, group, names)
    await asyncio.sleep(seconds)
    state = await group.group()
    found = looks(before, await _look(reader, group, names), seconds)
    found = await _dated(reader, found)
    letters = await _letters(reader, settings.kafka.dead_letter_topic)
    now = clock.wall_ms()
    findings = [
        *group_findings(state, [one.partition for one in found]),
        *progress_findings(found, state, now),
        *_last_done(found, now),
        *_letter_findings(letters, settings.kafka.dead_letter_topic, now),
    ]
    return KafkaStatus(tuple(findings), state, tuple(found), letters)


async def _look(reader: TopicReader, group: GroupReader, names: Sequence[str]) -> Mapping[TopicPartition, Look]:
    # The commits first: an end that is asked for later is never behind them.
    extents = await reader.extents(names)
    commits = await group.commits(extents)
    ends = await reader.extents(names)
    offsets = {one: commit.offset for one, commit in commits.items()}
    return {one: Look(extent.first, extent.end, offsets.get(one)) for one, extent in ends.items()}


async def _dated(reader: TopicReader, found: Sequence[Progress]) -> list[Progress]:
    """Read the records on both sides of the commit, where the most waits, to see when they were written."""
    chosen = sorted(found, key=lambda one: (-one.after.lag, one.partition))[:READ_PARTITIONS]
    spans = [span for one in chosen if (span := _around_commit(one)).start < span.stop]
    records = await reader.read(spans, _READ_BYTES, READ_SECONDS) if spans else ()
    times = {(*record.position.topic_partition, record.position.offset): record.timestamp_ms for record in records}
    return [
        replace(
            one,
            times=Times(
                times.get((*one.partition, one.after.done - 1)) if one.after.committed is not None else None,
                times.get((*one.partition, one.after.done)),
            ),
        )
        for one in found
    ]


def _around_commit(one: Progress) -> Span:
    look = one.after
    return Span(one.partition, max(look.first, look.done - 1), min(look.end, look.done + 1))


def _last_done(found: Sequence[Progress], now_ms: int) -> list[Finding]:
    """Kafka keeps no time of a commit; the time of the last record before it says up to when all is done."""
    if not any(one.after.committed is not None for one in found):
        return [note("commits", "the group has committed nothing yet")] if found else []
    if any(one.after.committed != one.before.committed for one in found):
        return [ok("commits", f"the last came within these {max(one.seconds for one in found):.0f} s")]
    times = [one.times.done_ms for one in found if one.times.done_ms is not None]
    told = f"; the last record done was written {age(now_ms - max(times))} ago" if times else ""
    return [note("commits", f"none came within these {max(one.seconds for one in found):.0f} s{told}")]


async def _letters(reader: TopicReader, topic: str | None) -> Letters | None:
    if topic is None or topic not in await reader.topics():
        return None
    extents = await reader.extents([topic])
    spans = [Span(one, extent.end - 1, extent.end) for one, extent in extents.items() if extent.size > 0]
    count = sum(extent.size for extent in extents.values())
    try:
        newest = await reader.read(spans, _READ_BYTES, READ_SECONDS) if spans else ()
    except NotAllowedError:
        # To count them takes Describe. The worker writes there and reads nothing, so its user may well lack Read.
        return Letters(topic, count, None, readable=False)
    return Letters(topic, count, max((record.timestamp_ms for record in newest), default=None))


def _letter_findings(letters: Letters | None, topic: str | None, now_ms: int) -> list[Finding]:
    if topic is None:
        return [note("dead letters", "kafka.dead_letter_topic is not set: a rejected record halts the worker")]
    if letters is None:
        return [failure("dead letters", f"topic {topic} does not exist, or this user may not see it", "create it")]
    if not letters.count:
        return [ok("dead letters", f"none in {topic}")]
    if not letters.readable:
        told = f"{letters.count:,} in {letters.topic}; how old is not shown to this user, who lacks Read on the topic"
        return [note("dead letters", told, "grant it, or see with syncline dead-letters list as a user who has it")]
    newest = "" if letters.newest_ms is None else f", the newest {age(now_ms - letters.newest_ms)} old"
    told = f"{letters.count:,} in {topic}{newest}"
    recent = letters.newest_ms is not None and now_ms - letters.newest_ms < _RECENT_MS
    fix = "see why with syncline dead-letters list"
    return [warning("dead letters", told, fix) if recent else note("dead letters", told, fix)]
