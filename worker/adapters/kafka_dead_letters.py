"""Records that can never be indexed, kept in a topic of their own."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, start_up_faults
from worker.errors import Halt, HaltReason
from worker.ports import DeadLetters, LetterTooLargeError
from worker.records import Record
from worker.settings import KafkaSettings

# The topic's own limit is to count, not the client's megabyte; but a broker drops the connection of one that sends more
# than its socket.request.max.bytes, 100 MiB unless changed.
_MAX_REQUEST_BYTES: Final = 90 * 1024 * 1024
_CLOSE_SECONDS: Final = 5.0


class KafkaDeadLetters(DeadLetters):
    """`ports.DeadLetters` on a topic. Acknowledged by all replicas before the record's offset may advance.

    The producer is idempotent: what it sends again, because an acknowledgement was lost, is not stored twice. It sends
    one record at a time, and one that has failed is replaced: the batch that it has given up leaves a gap in its
    sequence, and a broker refuses everything after a gap.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Connect."""
        with start_up_faults(self._settings):
            await self._started()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **connection_options(self._settings),
                acks="all",
                enable_idempotence=True,
                max_request_size=_MAX_REQUEST_BYTES,
            )
            try:
                await producer.start()
            except BaseException:
                await _stop(producer)
                raise
            self._producer = producer
        return self._producer

    @override
    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        """Send key, value and headers as they came, with `headers` added."""
        added = [(name, value.encode()) for name, value in headers.items()]
        async with self._one_at_a_time:
            try:
                producer = await self._started()
                await producer.send_and_wait(
                    self._topic, key=record.key, value=record.value, headers=[*record.headers, *added]
                )
            except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
                await self._give_up()
                raise LetterTooLargeError(f"topic {self._topic!r} takes no record of {record.size} bytes") from error
            except KafkaError as error:
                await self._give_up()
                raise Halt(
                    HaltReason.DEAD_LETTERS_UNAVAILABLE, f"dead-letter topic {self._topic!r}: {error!r}"
                ) from error

    async def _give_up(self) -> None:
        if self._producer is not None:
            failed, self._producer = self._producer, None
            await _stop(failed)

    @override
    async def close(self) -> None:
        """Close the connection; nothing is buffered, since every send waits."""
        await self._give_up()


async def _stop(producer: AIOKafkaProducer) -> None:
    # It would wait for a broker that is gone.
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.stop()
