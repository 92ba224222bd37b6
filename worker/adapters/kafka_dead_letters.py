"""Records that can never be indexed, kept in a topic of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, start_up_faults
from worker.errors import Halt, HaltReason
from worker.ports import DeadLetters, LetterTooLargeError
from worker.records import Record
from worker.settings import KafkaSettings

# The topic's own limit is to count, not the client's megabyte; but a broker drops the connection of one that sends more
# than its socket.request.max.bytes, 100 MiB unless changed.
_MAX_REQUEST_BYTES: Final = 90 * 1024 * 1024
_ANSWER_SECONDS: Final = 30.0
"""So long a record may take. The client sends again without end what a broker may accept later."""
_CLOSE_SECONDS: Final = 5.0
_CANCEL_SECONDS: Final = 0.1


class KafkaDeadLetters(DeadLetters):
    """`ports.DeadLetters` on a topic. Acknowledged by all replicas before the record's offset may advance.

    The producer is idempotent: what it sends again, because an acknowledgement was lost, is not stored twice. It sends
    one record at a time, and one that has failed is replaced: the batch that it has given up leaves a gap in its
    sequence, and a broker refuses everything after a gap. A record that the brokers neither take nor refuse is given up
    like one that has failed: the worker is to say so, and not to wait in silence.
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
                async with _answered(f"no producer was admitted for topic {self._topic!r}"):
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
                async with _answered("no record was acknowledged: has its partition a leader and enough replicas?"):
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


@contextlib.asynccontextmanager
async def _answered(failure: str) -> AsyncIterator[None]:
    """Bound how long the block waits for the brokers."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise KafkaTimeoutError(f"within {_ANSWER_SECONDS:.0f} s {failure}") from error


async def _stop(producer: AIOKafkaProducer) -> None:
    """End a producer and all its tasks, without waiting for a broker that is gone.

    Its own `stop` would first wait until its last record is delivered, and where that never happens leave the task
    behind that sends it again for ever.
    """
    producer._closed = True  # noqa: SLF001 - else it complains when it is collected
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            sender = producer._sender.sender_task  # noqa: SLF001
            while sender is not None and not sender.done():
                sender.cancel()  # once ends its loop; once more the request that it still waits for
                await asyncio.wait([sender], timeout=_CANCEL_SECONDS)
            await producer.client.close()
