"""Topics in memory for commands that read them from the side."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from typing_extensions import override

from tests.fakes.source import Log
from worker.errors import NotAllowedError
from worker.ports import TopicReader
from worker.records import Record, TopicPartition
from worker.stages.sampling import Extent, Span, TopicLimits


class FakeTopicReader(TopicReader):
    """Reads a log that outlives it. `told` is what topics keep and take; `read_only` topics may not be written to,
    `write_only` ones not be read.
    """

    def __init__(
        self,
        log: Log,
        told: Mapping[str, TopicLimits] | None = None,
        read_only: frozenset[str] = frozenset(),
        write_only: frozenset[str] = frozenset(),
    ) -> None:
        self._log = log
        self._told = told
        self._read_only = read_only
        self._write_only = write_only

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
    async def limits(self, topics: Collection[str]) -> Mapping[str, TopicLimits]:
        there = {partition.topic for partition in self._log.records} & set(topics)
        default = dict.fromkeys(there, TopicLimits(7 * 86_400.0, 1 << 20))
        return default if self._told is None else {name: one for name, one in self._told.items() if name in there}

    @override
    async def may_write(self, topic: str) -> bool | None:
        if topic not in {partition.topic for partition in self._log.records}:
            return None
        return topic not in self._read_only

    @override
    async def read(self, spans: Sequence[Span], max_bytes: int, seconds: float) -> Sequence[Record]:
        if refused := {span.partition.topic for span in spans} & self._write_only:
            raise NotAllowedError(f"may not read {', '.join(sorted(refused))}")
        found: list[Record] = []
        for partition, start, stop in sorted(spans):
            for record in self._log.records[partition][start:stop]:
                if sum(one.size for one in found) < max_bytes:
                    found.append(record)
        return found

    @override
    async def close(self) -> None:
        return
