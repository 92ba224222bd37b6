"""Records that can never be indexed, kept in a topic of their own."""

from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, start_up_faults
from worker.errors import Halt, HaltReason
from worker.ports import DeadLetters
from worker.records import Record
from worker.settings import KafkaSettings


class KafkaDeadLetters(DeadLetters):
    """`ports.DeadLetters` on a topic. Acknowledged by all replicas before the record's offset may advance."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._producer = AIOKafkaProducer(**connection_options(settings), acks="all", enable_idempotence=True)

    async def start(self) -> None:
        """Connect."""
        with start_up_faults(self._settings):
            await self._producer.start()

    @override
    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        """Send key, value and headers as they came, with `headers` added."""
        added = [(name, value.encode()) for name, value in headers.items()]
        try:
            await self._producer.send_and_wait(
                self._topic, key=record.key, value=record.value, headers=[*record.headers, *added]
            )
        except KafkaError as error:
            raise Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, f"dead-letter topic {self._topic!r}: {error!r}") from error

    @override
    async def close(self) -> None:
        """Close the connection; nothing is buffered, since every send waits."""
        await self._producer.stop()
