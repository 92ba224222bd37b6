"""What the sources' settings mean for the worker: what to subscribe to, and how each record is read."""

import re
from collections.abc import Sequence

from worker.runtime.sources import DECODERS, SourceReader, SourceReaders
from worker.settings import SourceSettings


def subscription(sources: Sequence[SourceSettings]) -> tuple[list[str], str | None]:
    """Return what to subscribe to: topics, or where any source has a pattern, one pattern for all."""
    topics = [topic for source in sources for topic in source.topics]
    patterns = [source.pattern for source in sources if source.pattern is not None]
    if not patterns:
        return topics, None
    return topics, "|".join([*map(re.escape, topics), *(f"(?:{pattern})" for pattern in patterns)])


def source_readers(sources: Sequence[SourceSettings]) -> SourceReaders:
    """Return how each source's records are read."""
    return SourceReaders(
        [
            SourceReader(
                topics=frozenset(source.topics),
                pattern=None if source.pattern is None else re.compile(source.pattern),
                decode=DECODERS[source.format],
                rules=source.rules(),
            )
            for source in sources
        ]
    )
