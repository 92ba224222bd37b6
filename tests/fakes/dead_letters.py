"""A dead-letter topic in memory."""

from collections.abc import Awaitable, Callable, Mapping

from typing_extensions import override

from worker.ports import DeadLetters
from worker.records import Position, Record


async def _at_once(_record: Record) -> None:
    return


class FakeDeadLetters(DeadLetters):
    def __init__(self) -> None:
        self.sent: list[Record] = []
        """What is durable, each with the headers that were added."""
        self.fail_with: Exception | None = None
        self.before_send: Callable[[Record], Awaitable[None]] = _at_once

    @override
    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        await self.before_send(record)
        if self.fail_with is not None:
            raise self.fail_with
        added = tuple((name, value.encode()) for name, value in headers.items())
        position = Position("dead-letters", 0, len(self.sent))
        self.sent.append(Record(position, record.key, record.value, (*record.headers, *added)))

    @override
    async def close(self) -> None:
        return
