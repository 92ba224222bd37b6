"""`syncline check`, the feed: what Kafka looks like, and what would become of a few records of every source.

Reads only: no consumer group is joined, nothing is committed or written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from worker.control.check_letters import letter_topic_findings
from worker.errors import OperatorError
from worker.ports import GroupReader, TopicReader
from worker.runtime.clock import Clock
from worker.runtime.sources import SourceReaders
from worker.settings import KafkaSecurity, Settings, SourceSettings
from worker.settings.worker import Deletes, DeliverySettings
from worker.stages.findings import Finding, Level, Section, count_of, counted, failure, note, ok, warning
from worker.stages.sampling import (
    Declared,
    Observed,
    chosen_spans,
    limit_findings,
    locating,
    observe,
    source_findings,
)
from worker.stages.sampling.ages import future_findings

SAMPLE_BYTES: Final = 16 << 20
"""Bytes of records that are read of a topic at most."""
SAMPLE_SECONDS: Final = 20.0
"""Seconds that reading a topic may take."""
MOST_TOPICS: Final = 20
"""Topics of one source that are read at most."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found, section by section; `missing` names servers that are not there at all."""

    sections: tuple[Section, ...]
    missing: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing fails; warnings are none."""
        return not self.missing and not count_of(self.sections, Level.FAILURE)


class Feed(NamedTuple):
    """What Kafka and the sources look like. `locating` are sources whose records make the worker search."""

    sections: list[Section]
    locating: tuple[str, ...]


_REMEDY: Final = re.compile(
    r"(?P<sentence>.*?)[:;] "
    r"(?P<fix>(?:add|build|check|correct|create|give|grant|install|keep|look|mend|remove|run|set|try|write)\b.*)",
    re.DOTALL,
)
_NO_REMEDY: Final = "mend what is said, and check again"
"""For what a server says in words of its own."""


def refused(subject: str, error: OperatorError) -> Finding:
    """Return a failure in the words of an error, which end in what to change."""
    parts = _REMEDY.fullmatch(str(error))
    if parts is None:
        return failure(subject, str(error), _NO_REMEDY)
    return failure(subject, parts["sentence"], parts["fix"])


async def check_feed(
    reader: TopicReader, group: GroupReader, settings: Settings, readers: SourceReaders, records: int, clock: Clock
) -> Feed:
    """Return what Kafka and, by reading up to `records` records of each topic, every source looks like.

    Raises:
        OperatorError: the broker does not answer, or refuses.
    """
    topics = await reader.topics()
    servers = ", ".join(settings.kafka.bootstrap_servers)
    kafka = (
        ok("brokers", f"{servers} answers"),
        *_in_the_clear(settings.kafka.security),
        _group_finding(settings.kafka.group_id, may_join=await group.may_join()),
        *_topic_findings(topics, settings),
        *await letter_topic_findings(reader, settings, topics),
    )
    sections, searching = [Section("Kafka", kafka)], []
    looking = _Looking(reader, topics, settings, readers, records, clock)
    for source in settings.sources:
        section, locates = await _source_section(looking, source)
        sections.append(section)
        if locates:
            searching.append(source.name)
    return Feed(sections, tuple(searching))


def _in_the_clear(security: KafkaSecurity) -> Iterator[Finding]:
    scrambled = security.mechanism is not None and security.mechanism.value.startswith("SCRAM")
    if security.uses_sasl and not security.uses_tls:
        yield warning(
            "security",
            f"{security.protocol}: {'all changes' if scrambled else 'the login and all changes'} travel unencrypted",
            "give the brokers a listener with TLS, and set kafka.security.protocol to SASL_SSL",
        )


def _topic_findings(topics: Mapping[str, int], settings: Settings) -> Iterator[Finding]:
    for source in settings.sources:
        found = topics_of(source, topics)
        for topic in (topic for topic in source.topics if topic not in topics):
            yield failure(
                "topics",
                f"{topic} of source {source.name} does not exist, or this user may not see it",
                "correct its name in topics, or create it first",
            )
        if source.pattern is not None and not found:
            yield warning("topics", f"no topic matches the pattern of source {source.name} yet", "correct pattern")
        for topic in found:
            yield ok("topics", f"{topic}: {counted(topics[topic], 'partition')}")


def _group_finding(group: str, *, may_join: bool | None) -> Finding:
    if may_join is None:
        return note("group", f"whether this user may join {group} could not be tried")
    if may_join:
        return ok("group", f"this user may join {group}")
    return failure("group", f"this user may not join {group}", "grant it read on the group, or correct kafka.group_id")


def topics_of(source: SourceSettings, topics: Mapping[str, int]) -> list[str]:
    """Return which of the topics there are a source reads."""
    if source.pattern is None:
        return [topic for topic in source.topics if topic in topics]
    pattern = re.compile(source.pattern)
    return sorted(topic for topic in topics if pattern.fullmatch(topic))


class _Looking(NamedTuple):
    reader: TopicReader
    topics: Mapping[str, int]
    settings: Settings
    readers: SourceReaders
    records: int
    clock: Clock


async def _source_section(looking: _Looking, source: SourceSettings) -> tuple[Section, bool]:
    reader, settings = looking.reader, looking.settings
    found: list[Finding] = []
    observed: list[Observed] = []
    names = topics_of(source, looking.topics)
    limits = await reader.limits(names[:MOST_TOPICS])
    retention = _retention_of(settings.delivery)
    for topic in names[:MOST_TOPICS]:
        extents = await reader.extents([topic])
        held = sum(extent.size for extent in extents.values())
        sample = await reader.read(chosen_spans(extents, looking.records), SAMPLE_BYTES, SAMPLE_SECONDS) if held else ()
        found.append(_read_finding(topic, held, len(sample)))
        found += limit_findings(topic, limits.get(topic), retention)
        how = looking.readers.of_topic(topic)
        observed += [observe(record, how.decode, how.mapper, how.rules) for record in sample]
    if len(names) > MOST_TOPICS:
        found.append(note("topics", f"only the first {MOST_TOPICS} of {len(names)} are read"))
    if observed:
        has_letters = settings.kafka.dead_letter_topic is not None
        # What the topic's own settings say already need not be told of its records, too.
        told = any(one.subject == "retention" and one.level is Level.WARNING for one in found)
        declared = Declared(source.rules(), source.format, has_letters, float("inf") if told else retention)
        found += source_findings(observed, declared)
        found += future_findings(observed, looking.clock.wall_ms())
    return Section(f"Source {source.name}", tuple(found)), locating(observed)


def _retention_of(delivery: DeliverySettings) -> float:
    return delivery.tombstone_retention if delivery.deletes is Deletes.TOMBSTONE else float("inf")


def _read_finding(topic: str, held: int, read: int) -> Finding:
    if not held:
        return note("topic", f"{topic}: no records yet, so nothing could be checked")
    if not read:
        return warning(
            "topic",
            f"{topic}: {counted(held, 'offset')}, but no record could be read within {SAMPLE_SECONDS:g} s",
            "look after the brokers; a topic whose transactions are all aborted holds nothing, too",
        )
    return ok("topic", f"{topic}: {counted(read, 'record')} read of about {held:,}")
