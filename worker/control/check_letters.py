"""`syncline check`, the dead-letter topic: is it there, and does it take what the sources hold?"""

import re
from collections.abc import Mapping, Sequence

from worker.ports import TopicReader
from worker.settings import Settings
from worker.stages.findings import Finding, counted, failure, note, ok, warning
from worker.stages.sampling import letter_findings


async def letter_topic_findings(
    reader: TopicReader, settings: Settings, topics: Mapping[str, int]
) -> Sequence[Finding]:
    """Return how it stands with the topic of records that can never be indexed.

    Raises:
        OperatorError: the broker does not answer.
    """
    letters = settings.kafka.dead_letter_topic
    if letters is None:
        return [
            warning(
                "dead letters",
                "there is no topic for them: the first record that can never be indexed stops the worker",
                "create a topic, and name it in kafka.dead_letter_topic",
            )
        ]
    if letters not in topics:
        return [
            failure(
                "dead letters",
                f"topic {letters} does not exist, or this user may not see it",
                "create it, or correct kafka.dead_letter_topic",
            )
        ]
    named = [
        topic for topic in topics if any(_reads(source.topics, source.pattern, topic) for source in settings.sources)
    ]
    limits = await reader.limits([letters, *named])
    sources = {topic: limits[topic] for topic in named if topic in limits}
    return [
        _writable(letters, topics[letters], may_write=await reader.may_write(letters)),
        *letter_findings(letters, limits.get(letters), sources),
    ]


def _reads(topics: Sequence[str], pattern: str | None, topic: str) -> bool:
    return topic in topics if pattern is None else re.fullmatch(pattern, topic) is not None


def _writable(topic: str, partitions: int, *, may_write: bool | None) -> Finding:
    there = f"{topic}: {counted(partitions, 'partition')}"
    if may_write is None:
        return note("dead letters", f"{there}; whether this user may write to it could not be tried")
    if may_write:
        return ok("dead letters", f"{there}, and this user may write to it")
    return failure(
        "dead letters",
        f"this user may not write to {topic}: the first record that can never be indexed halts the worker",
        "grant it write on the topic",
    )
