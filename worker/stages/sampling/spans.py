"""Which offsets to read: some of the oldest records of every partition, more of the newest."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from worker.records import TopicPartition

_OLDEST: Final = 5
"""One in so many comes from a partition's beginning: there lie a snapshot's rows, and what an older setting wrote."""


class Extent(NamedTuple):
    """The offsets that a partition holds: from `first` to below `end`."""

    first: int
    end: int

    @property
    def size(self) -> int:
        """How many offsets there are; compaction may have left fewer records."""
        return self.end - self.first


class Span(NamedTuple):
    """Offsets to read from one partition: from `start` to below `stop`."""

    partition: TopicPartition
    start: int
    stop: int


def chosen_spans(extents: Mapping[TopicPartition, Extent], budget: int) -> list[Span]:
    """Return spans of at most `budget` offsets in all, shared fairly between partitions that hold something.

    What a short partition leaves of its share goes to the longer ones. No two spans overlap.
    """
    filled = sorted((extent.size, partition) for partition, extent in extents.items() if extent.size > 0)
    spans: list[Span] = []
    left = budget
    for number, (size, partition) in enumerate(filled):
        share = min(size, -(-left // (len(filled) - number)))
        left -= share
        spans += _both_ends(partition, extents[partition], share)
    return sorted(spans)


def _both_ends(partition: TopicPartition, extent: Extent, share: int) -> list[Span]:
    if share == extent.size:
        return [Span(partition, extent.first, extent.end)]
    oldest = share // _OLDEST
    spans = (
        Span(partition, extent.first, extent.first + oldest),
        Span(partition, extent.end - (share - oldest), extent.end),
    )
    return [span for span in spans if span.start < span.stop]
