"""All settings as one value."""

import re
from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import Field, model_validator

from worker.settings.elasticsearch import ElasticsearchSettings, IndexSettings
from worker.settings.embedding import EmbeddingSettings
from worker.settings.kafka import KafkaSettings
from worker.settings.metrics import MetricsSettings
from worker.settings.sources import SourceSettings
from worker.settings.types import Group, refuse
from worker.settings.worker import (
    BatchSettings,
    DeliverySettings,
    LogSettings,
    ServerSettings,
    delivery_mistakes,
)
from worker.stages.rules import IdScope


class Settings(Group):
    """Settings of Syncline. Each comes from the environment (`SYNCLINE_KAFKA__GROUP_ID`), else from the configuration
    file, else from its default.
    """

    kafka: KafkaSettings = KafkaSettings()
    """Where change events come from, and the consumer group that reads them."""
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    """Where documents go."""
    index: IndexSettings = IndexSettings()
    """Which index, under which names."""
    sources: list[SourceSettings] = Field(min_length=1)
    """The kinds of rows to keep in step; at least one."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """The model that turns text into vectors."""
    batch: BatchSettings = BatchSettings()
    """How much may be in flight, and how much goes into one step."""
    delivery: DeliverySettings = DeliverySettings()
    """How often to commit, how to retry, and how long a stop may take."""
    server: ServerSettings = ServerSettings()
    """The HTTP server of metrics and probes."""
    metrics: MetricsSettings = MetricsSettings()
    """What is measured: the promise that freshness is compared with, tenants by name, a view of Elasticsearch."""
    log: LogSettings = LogSettings()
    """What is logged, and how."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(mistakes_between(self.kafka, self.delivery, self.sources))
        return self


def mistakes_between(
    kafka: KafkaSettings | None, delivery: DeliverySettings | None, sources: Sequence[SourceSettings]
) -> Iterator[str]:
    """Yield what does not fit together; None for a group, or a source left out, that has mistakes of its own."""
    if delivery is not None:
        yield from delivery_mistakes(delivery, float("inf") if kafka is None else kafka.rebalance_timeout)
    yield from _source_mistakes(sources)
    yield from _id_mistakes(sources)
    if kafka is not None:
        yield from _dead_letter_mistakes(kafka.dead_letter_topic, sources)


def _source_mistakes(sources: Sequence[SourceSettings]) -> Iterator[str]:
    """Yield two sources that share a name or claim the same topic."""
    names = [source.name for source in sources]
    if twice := next((name for name in names if names.count(name) > 1), None):
        yield f"sources: the name {twice!r} is given twice: every source needs its own"
    owners: dict[str, str] = {}
    for source in sources:
        for topic in source.topics:
            owner = owners.setdefault(topic, source.name)
            if owner != source.name:
                yield f"sources: {owner!r} and {source.name!r} both read {topic!r}: give it to one of them"
    for source in (source for source in sources if source.pattern is not None):
        for other in (other for other in sources if other is not source):
            claimed = [topic for topic in other.topics if re.fullmatch(source.pattern or "", topic)]
            if claimed:
                yield (
                    f"sources: the pattern of {source.name!r} matches {claimed[0]!r}, which {other.name!r} reads: "
                    "narrow the pattern"
                )


def _id_mistakes(sources: Sequence[SourceSettings]) -> Iterator[str]:
    """Yield two sources of which one could write over documents of the other.

    The `_id` of a global source `a` with the key `b/1` is `a/b/1`, and so is that of row `1` of the source `b` in the
    tenant `a`. Ids with different numbers of parts never meet.
    """
    scoped = [source for source in sources if source.document_id is IdScope.TENANT_SCOPED]
    for source in (source for source in sources if source.document_id is IdScope.GLOBAL):
        for other in (other for other in scoped if len(other.id) + 1 == len(source.id)):
            yield (
                f"sources: {source.name!r} (document_id: global, id of {len(source.id)} columns) and {other.name!r} "
                f"(tenant_scoped, id of {len(other.id)}) could make the same _id: give both the same document_id"
            )


def _dead_letter_mistakes(topic: str | None, sources: Sequence[SourceSettings]) -> Iterator[str]:
    """Yield a dead-letter topic that is read as a source: every rejected record would come back for ever."""
    for source in sources:
        if topic is not None and (topic in source.topics or re.fullmatch(source.pattern or "(?!)", topic)):
            yield (f"kafka.dead_letter_topic: {topic!r} is read by the source {source.name!r}: choose another topic")
