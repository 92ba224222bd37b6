"""A dead-letter topic in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from typing_extensions import override

from worker.ports import DeadLetterLog, DeadLetters, LetterTooLargeError
from worker.records import Position, Record


async def _at_once(_record: Record) -> None:
    return


class FakeDeadLetters(DeadLetters, DeadLetterLog):
    def __init__(self, *, max_bytes: int = 1 << 20) -> None:
        self.sent: list[Record] = []
        """What is durable, each with the headers that were added."""
        self.fail_with: Exception | None = None
        self.before_send: Callable[[Record], Awaitable[None]] = _at_once
        self.max_bytes = max_bytes
        self.now_ms = 0
        """When a record is written, by the topic's clock."""

    @override
    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        assert not (record.key is None and record.value is None), "the client refuses that"
        await self.before_send(record)
        if self.fail_with is not None:
            raise self.fail_with
        added = tuple((name, value.encode()) for name, value in headers.items())
        position = Position("dead-letters", 0, len(self.sent))
        letter = Record(position, record.key, record.value, (*record.headers, *added), self.now_ms)
        if letter.size > self.max_bytes:
            raise LetterTooLargeError(f"{letter.size} bytes are more than {self.max_bytes}")
        self.sent.append(letter)

    @override
    async def read(self, since_ms: int | None = None) -> AsyncIterator[Record]:
        end = len(self.sent)
        start = 0 if since_ms is None else self._first_since(since_ms)
        for record in self.sent[start:end]:
            yield record

    def _first_since(self, since_ms: int) -> int:
        young = (number for number, record in enumerate(self.sent) if record.timestamp_ms >= since_ms)
        return next(young, len(self.sent))

    @override
    async def record_at(self, partition: int, offset: int) -> Record | None:
        return self.sent[offset] if partition == 0 and offset < len(self.sent) else None

    @override
    async def close(self) -> None:
        return
