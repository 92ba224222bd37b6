"""Topics in memory for commands that read them from the side."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from typing_extensions import override

from tests.fakes.source import Log
from worker.ports import TopicReader
from worker.records import Record, TopicPartition
from worker.stages.sampling import Extent, Span


class FakeTopicReader(TopicReader):
    """Reads a log that outlives it."""

    def __init__(self, log: Log) -> None:
        self._log = log

    @override
    async def topics(self) -> Mapping[str, int]:
        return Counter(partition.topic for partition in self._log.records)

    @override
    async def extents(self, topics: Collection[str]) -> Mapping[TopicPartition, Extent]:
        return {
            partition: Extent(self._log.first[partition], self._log.end(partition))
            for partition in self._log.records
            if partition.topic in topics
        }

    @override
    async def read(self, spans: Sequence[Span], max_bytes: int, seconds: float) -> Sequence[Record]:
        found: list[Record] = []
        for partition, start, stop in sorted(spans):
            for record in self._log.records[partition][start:stop]:
                if sum(one.size for one in found) < max_bytes:
                    found.append(record)
        return found

    @override
    async def close(self) -> None:
        return
