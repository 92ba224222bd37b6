"""Which offset of a partition may be committed: the end of the contiguous prefix of resolved records.

Records finish out of order; a commit says "everything before this is done", so one unresolved record is a wall.
Offsets in the log have gaps (compaction, transaction markers): what counts is the order in which records were fetched.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

_WATERMARK_PREFIX: Final = "watermark="
_WATERMARK_TEXT: Final = re.compile(rf"{_WATERMARK_PREFIX}([0-9]{{1,19}})")
_HIGHEST_VERSION: Final = (1 << 63) - 1


class Committable(NamedTuple):
    """The next offset to read, and the watermark of all records before it."""

    offset: int
    watermark: int


@dataclass(slots=True)
class _Entry:
    offset: int
    size: int
    watermark_before: int
    fetched_at: float
    timestamp_ms: int
    resolved: bool = False


class PartitionProgress:
    """The records of one partition under one assignment, in the order they were fetched.

    Synchronous, without I/O and with one owner. `watermark` is the highest version among the records so far: it gives
    a version to changes that have none. It is a function of the log alone, so a replay computes the same numbers; it
    is kept in the commit's metadata to survive a restart.
    """

    def __init__(self, watermark: int = 0) -> None:
        self.watermark = watermark
        self._entries: deque[_Entry] = deque()
        self._open: dict[int, _Entry] = {}
        self._next_offset: int | None = None

    def fetched(self, offset: int, size: int, now: float, timestamp_ms: int = 0) -> None:
        """Add the next record, open until resolved. Offsets rise; `now` is any clock that `oldest_fetched_at` uses."""
        entry = _Entry(offset, size, self.watermark, now, timestamp_ms)
        self._entries.append(entry)
        self._open[offset] = entry

    def saw_version(self, version: int) -> None:
        """Raise the watermark to the version of the record added last."""
        self.watermark = max(self.watermark, version)

    def resolve(self, offset: int) -> int | None:
        """Mark one record as resolved and return its size in bytes; None if it is not open."""
        entry = self._open.pop(offset, None)
        if entry is None:
            return None
        entry.resolved = True
        while self._entries and self._entries[0].resolved:
            self._next_offset = self._entries.popleft().offset + 1
        return entry.size

    def passed(self, position: int) -> None:
        """Note where reading goes on, once every record before it was added: what lies between shows no record.

        Markers of transactions and gaps of compaction would else keep the commit short of the end for ever, and a
        partition without records would never get a commit.
        """
        if not self._entries:
            self._next_offset = position

    def watermark_before(self, offset: int) -> int | None:
        """Return the highest version among the records before an open one; None if it is not open."""
        entry = self._open.get(offset)
        return None if entry is None else entry.watermark_before

    @property
    def committable(self) -> Committable | None:
        """The end of the resolved prefix; None while nothing in front is resolved."""
        if self._next_offset is None:
            return None
        watermark = self._entries[0].watermark_before if self._entries else self.watermark
        return Committable(self._next_offset, watermark)

    @property
    def open_records(self) -> int:
        """How many records are not resolved."""
        return len(self._open)

    @property
    def kept_records(self) -> int:
        """How many records are resolved but remembered, because an earlier one is not."""
        return len(self._entries) - len(self._open)

    @property
    def oldest_fetched_at(self) -> float | None:
        """When the oldest unresolved record was fetched."""
        return self._entries[0].fetched_at if self._entries else None

    @property
    def oldest_timestamp_ms(self) -> int | None:
        """What time the oldest unresolved record bears."""
        return self._entries[0].timestamp_ms if self._entries else None


def watermark_text(watermark: int) -> str:
    """Return a watermark as the metadata of a commit."""
    return f"{_WATERMARK_PREFIX}{watermark}"


def parse_watermark(metadata: str) -> int:
    """Return the watermark in a commit's metadata; 0 where there is none.

    A watermark that is too low errs to the safe side: a change without a position is then superseded.
    """
    match = _WATERMARK_TEXT.fullmatch(metadata)
    watermark = int(match[1]) if match else 0
    return watermark if watermark <= _HIGHEST_VERSION else 0
