"""Which source a topic belongs to, and how its records are decoded and mapped."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from worker.records import Change, Decoded, Record, Rejection, RowChange, Skip, Truncate
from worker.runtime.unexpected import unexpected
from worker.stages.decode import change_event, debezium
from worker.stages.mapping import RowMapper
from worker.stages.rules import SourceRules, TruncatePolicy
from worker.stages.truncate import guarded

Decoder = Callable[[Record, SourceRules], Decoded]
DECODERS: Final[Mapping[str, Decoder]] = {"debezium": debezium.decode, "change-event": change_event.decode}


@dataclass(frozen=True, slots=True)
class SourceReader:
    """One source: what its topics are, and how its records are read."""

    topics: frozenset[str]
    pattern: re.Pattern[str] | None
    decode: Decoder
    rules: SourceRules
    mapper: RowMapper = field(init=False, repr=False, compare=False)
    _guards: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mapper", RowMapper(self.rules))
        object.__setattr__(self, "_guards", self.rules.truncate is TruncatePolicy.DELETE_ALL)

    def read(self, record: Record, watermark: int) -> tuple[Change | Truncate | Skip | Rejection, int | None]:
        """Return what a record says, and its own version if it has one."""
        try:
            return self._read(record, watermark)
        except Exception as error:  # noqa: BLE001 - see `unexpected`
            return unexpected(error, "decode", record.position), None

    def _read(self, record: Record, watermark: int) -> tuple[Change | Truncate | Skip | Rejection, int | None]:
        decoded = self.decode(record, self.rules)
        if not isinstance(decoded, RowChange):
            return decoded, decoded.version if isinstance(decoded, Truncate) else None
        change = self.mapper.map(record, decoded, watermark)
        if self._guards and isinstance(change, Change):
            change = guarded(change)
        return change, decoded.version


class SourceReaders:
    """All sources, found by topic."""

    def __init__(self, readers: Sequence[SourceReader]) -> None:
        self._readers = readers
        self._by_topic = {topic: reader for reader in readers for topic in reader.topics}
        self._by_name = {reader.rules.name: reader for reader in readers}

    def decoding(self, wrap: Callable[[Decoder], Decoder]) -> "SourceReaders":
        """Return readers of the same sources, each with its decoder wrapped."""
        return SourceReaders([replace(reader, decode=wrap(reader.decode)) for reader in self._readers])

    def find(self, topic: str) -> SourceReader | None:
        """Return the source that reads a topic, or None if none does (any more)."""
        try:
            return self.of_topic(topic)
        except StopIteration:
            return None

    def of_topic(self, topic: str) -> SourceReader:
        """Return the source that reads a topic; the consumer subscribes to no other topics."""
        reader = self._by_topic.get(topic)
        if reader is None:
            matching = (one for one in self._readers if one.pattern is not None and one.pattern.fullmatch(topic))
            reader = self._by_topic[topic] = next(matching)
        return reader

    def rules_of(self, source: str) -> SourceRules:
        """Return the rules of a source by its name."""
        return self._by_name[source].rules
