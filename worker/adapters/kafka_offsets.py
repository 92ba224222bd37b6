"""Where to start reading each partition, by the operator's declared policy; never a silent jump."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as ClientPartition
from aiokafka.admin import AIOKafkaAdminClient

from worker.errors import Halt, HaltReason
from worker.records import TopicPartition
from worker.settings import KafkaSettings, OffsetPolicy

_log = logging.getLogger(__name__)


class Start(NamedTuple):
    """The first offset to read, and the metadata of the commit it comes from."""

    offset: int
    metadata: str


class StartPositions:
    """Decides and seeks. The admin client reads commits because the consumer does not give their metadata."""

    def __init__(self, settings: KafkaSettings, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin

    async def start(self) -> None:
        """Connect the admin client."""
        await self._admin.start()

    async def close(self) -> None:
        """Close the admin client."""
        await self._admin.close()

    async def take_up(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Start]:
        """Seek every partition to its commit, or to where the policy says; return the starts.

        Raises:
            Halt: a policy is `fail`.
        """
        if not partitions:
            return {}
        theirs = [ClientPartition(*partition) for partition in partitions]
        committed = await self._admin.list_consumer_group_offsets(self._settings.group_id, partitions=theirs)
        first = await self._consumer.beginning_offsets(theirs)
        end = await self._consumer.end_offsets(theirs)
        starts = {}
        for partition in theirs:
            commit = committed.get(partition)
            if commit is None or commit.offset < 0:
                start = Start(self._without_commit(partition, first[partition], end[partition]), "")
            elif first[partition] <= commit.offset <= end[partition]:
                start = Start(commit.offset, commit.metadata or "")
            else:
                start = Start(self._lost(partition, commit.offset, first[partition], end[partition]), "")
            self._consumer.seek(partition, start.offset)
            starts[TopicPartition(partition.topic, partition.partition)] = start
        return starts

    async def recover_lost(self, lost: Mapping[TopicPartition, int]) -> None:
        """Seek partitions whose next offset has just been deleted from the log.

        Raises:
            Halt: `kafka.on_lost_offsets` is `fail`.
        """
        theirs = [ClientPartition(*partition) for partition in lost]
        first = await self._consumer.beginning_offsets(theirs)
        end = await self._consumer.end_offsets(theirs)
        for partition, offset in zip(theirs, lost.values(), strict=True):
            self._consumer.seek(partition, self._lost(partition, offset, first[partition], end[partition]))

    def _without_commit(self, partition: ClientPartition, first: int, end: int) -> int:
        policy = self._settings.start_from
        if policy is OffsetPolicy.FAIL:
            raise Halt(
                HaltReason.NO_COMMITTED_OFFSET,
                f"group {self._settings.group_id!r} has no committed offset for {_name(partition)} and "
                "kafka.start_from is fail: correct group_id, or set start_from to earliest",
            )
        start = first if policy is OffsetPolicy.EARLIEST else end
        _log.info(
            "no committed offset, starting by policy",
            extra={"action": "start_position", "partition": _name(partition), "policy": policy.value, "offset": start},
        )
        return start

    def _lost(self, partition: ClientPartition, offset: int, first: int, end: int) -> int:
        policy = self._settings.on_lost_offsets
        if policy is OffsetPolicy.FAIL:
            raise Halt(
                HaltReason.OFFSETS_LOST,
                f"offset {offset} of {_name(partition)} is no longer in the log ({first} to {end}): changes may be "
                "lost; snapshot the table again, then set kafka.on_lost_offsets to earliest",
            )
        start = first if policy is OffsetPolicy.EARLIEST else end
        _log.warning(
            "offset lost, going on by policy: changes may be missing",
            extra={
                "action": "offset_lost",
                "partition": _name(partition),
                "policy": policy.value,
                "lost": offset,
                "offset": start,
            },
        )
        return start


def _name(partition: ClientPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
