"""Takes up partitions: looks up what Kafka knows of them, and seeks to where `stages.start_offsets` says."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as ClientPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, KafkaTimeoutError

from worker.adapters.kafka_commits import group_commits
from worker.errors import Halt, HaltReason
from worker.ports import Commit
from worker.records import TopicPartition
from worker.settings import KafkaSettings
from worker.stages.start_offsets import (
    Found,
    PartitionLog,
    Start,
    after_loss,
    has_passed,
    name_of,
    older_partitions,
    start_of,
)

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0
# Where one partition has no leader the client itself asks for all for 40 s, and meanwhile sends no heartbeats.
_LOGS_SECONDS: Final = 10.0


class AssignmentGoneError(Exception):
    """The client has begun another assignment meanwhile, and will come with it."""


class StartPositions:
    """Seeks, and holds added partitions back. The admin client reads commits: the consumer hides their metadata."""

    def __init__(self, settings: KafkaSettings, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin
        self._first_topics: frozenset[str] = frozenset()
        self._waits_for: dict[TopicPartition, Mapping[TopicPartition, int]] = {}
        self._looked_at = 0.0

    async def start(self) -> Collection[str]:
        """Connect the admin client; return the topics there are, and remember them: others appear later."""
        await self._admin.start()
        # Asks for all topics: to ask for one by name would create it on brokers that create topics by themselves.
        self._first_topics = frozenset(await self._consumer.topics())
        return self._first_topics

    async def close(self) -> None:
        """Close the admin client."""
        await self._admin.close()

    @property
    def held(self) -> frozenset[TopicPartition]:
        """Added partitions that wait until the group has read what lay in the older ones when they were found."""
        return frozenset(self._waits_for)

    async def take_up(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Start]:
        """Seek every partition to where it starts; return the starts.

        Raises:
            Halt: a policy is `fail`.
            KafkaError: the brokers do not tell.
            AssignmentGoneError: the partitions are not this client's any more.
        """
        self._waits_for = {}
        if not partitions:
            return {}
        commits = await self._commits(partitions)
        offsets = {partition: commit.offset for partition, commit in commits.items()}
        waits_for = {
            partition: await self._ends(older)
            for partition in partitions
            if (older := older_partitions(partition, offsets))
        }
        starts = {}
        for partition, log in (await self._logs_of(partitions, commits)).items():
            starts[partition] = start_of(
                partition,
                log,
                added=partition in waits_for or partition.topic not in self._first_topics,
                start_from=self._settings.start_from,
                on_lost=self._settings.on_lost_offsets,
            )
        # Nothing is awaited from here on: whoever asks for the epoch sees all partitions at their starts.
        if not self._consumer.assignment().issuperset(ClientPartition(*one) for one in starts):
            raise AssignmentGoneError
        for partition, start in starts.items():
            self._consumer.seek(ClientPartition(*partition), start.offset)
            _tell(partition, start)
        self._waits_for = {one: ends for one, ends in waits_for.items() if not has_passed(offsets, ends)}
        self._hold()
        return starts

    async def recover_lost(self, lost: Mapping[TopicPartition, int], is_current: Callable[[], bool]) -> None:
        """Seek partitions whose next offset is not in the log, unless their assignment is over.

        Raises:
            Halt: `kafka.on_lost_offsets` is `fail`; or the log is shorter than what was read of it: then the records in
                hand have offsets that come again, and only a new assignment tells them apart.
            KafkaError: the brokers do not tell.
        """
        logs = await self._logs(list(lost))
        still = self._consumer.assignment() if is_current() else frozenset()
        for partition, log in logs.items():
            if ClientPartition(*partition) not in still:  # another worker's meanwhile: it finds out by itself
                continue
            start = after_loss(partition, log, lost[partition], self._settings.on_lost_offsets)
            if start < lost[partition]:
                raise _shorter(partition, log, lost[partition])
            self._consumer.seek(ClientPartition(*partition), start)
            _tell(partition, Start(start, Found.LOST))

    async def release(self) -> frozenset[TopicPartition]:
        """Look every two seconds whether what added partitions wait for has been read; return those that may go on."""
        now = asyncio.get_running_loop().time()
        if not self._waits_for or now - self._looked_at < _LOOK_SECONDS:
            return frozenset()
        self._looked_at = now
        waiting = self._waits_for
        try:
            commits = await self._commits(waiting)
        except KafkaError as error:
            _log.warning("cannot read the group's commits", extra={"action": "release_failed", "error": repr(error)})
            return frozenset()
        if waiting is not self._waits_for:  # a rebalance came in between
            return frozenset()
        offsets = {partition: commit.offset for partition, commit in commits.items()}
        free = frozenset(one for one, ends in waiting.items() if has_passed(offsets, ends))
        for partition in free:
            del self._waits_for[partition]
            _log.info(
                "older partitions are read, the added one goes on",
                extra={"action": "partition_released", "partition": name_of(partition)},
            )
        return free

    def _hold(self) -> None:
        for partition, ends in self._waits_for.items():
            self._consumer.pause(ClientPartition(*partition))
            _log.warning(
                "a partition was added while older ones held unread records: it waits until they are read, but between "
                "them changes of a row may overtake each other; see 'What it does not survive' in docs/reliability.md",
                extra={
                    "action": "partition_held",
                    "partition": name_of(partition),
                    "older": {name_of(one): end for one, end in sorted(ends.items())},
                },
            )

    async def _commits(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Commit]:
        """Return the group's commits for these and for all other partitions of their topics that the client knows."""
        topics = {partition.topic for partition in partitions}
        known = {
            TopicPartition(one, number) for one in topics for number in self._consumer.partitions_for_topic(one) or ()
        }
        return await group_commits(self._admin, self._settings.group_id, known.union(partitions))

    async def _ends(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        ends = await self._consumer.end_offsets([ClientPartition(*one) for one in sorted(partitions)])
        return {TopicPartition(one.topic, one.partition): end for one, end in ends.items()}

    async def _logs_of(
        self, partitions: Sequence[TopicPartition], commits: Mapping[TopicPartition, Commit]
    ) -> Mapping[TopicPartition, PartitionLog]:
        """Return logs with the group's commits. Where no broker answers a commit is believed: a fetch finds it lost."""
        try:
            async with asyncio.timeout(_LOGS_SECONDS):
                logs = await self._logs(partitions)
        except (TimeoutError, KafkaTimeoutError):
            others = [one for one in partitions if one not in commits]
            if len(others) == len(partitions):
                raise KafkaTimeoutError from None
            believed = {
                one: PartitionLog(commits[one].offset, commits[one].offset) for one in partitions if one in commits
            }
            _log.warning(
                "the brokers do not tell what partitions hold: going on from their commits",
                extra={"action": "logs_unknown", "partitions": sorted(map(name_of, believed))},
            )
            logs = believed | (await self._logs(others) if others else {})
        return {
            one: replace(log, committed=commits[one].offset, metadata=commits[one].metadata) if one in commits else log
            for one, log in logs.items()
        }

    async def _logs(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, PartitionLog]:
        theirs = [ClientPartition(*partition) for partition in partitions]
        first = await self._consumer.beginning_offsets(theirs)
        end = await self._consumer.end_offsets(theirs)
        return {ours: PartitionLog(first[theirs], end[theirs]) for ours, theirs in zip(partitions, theirs, strict=True)}


def _shorter(partition: TopicPartition, log: PartitionLog, offset: int) -> Halt:
    return Halt(
        HaltReason.OFFSETS_LOST,
        f"the log of {name_of(partition)} ends at {log.end}, though it was read up to {offset}: it was cut or made "
        "anew, and is taken up again as kafka.on_lost_offsets says",
    )


def _tell(partition: TopicPartition, start: Start) -> None:
    details = {"partition": name_of(partition), "offset": start.offset}
    if start.found is Found.LOST:
        _log.warning(
            "offset lost, going on by policy: changes may be missing", extra={"action": "offset_lost"} | details
        )
    elif start.found is not Found.COMMIT:
        why = "this partition is new to the group" if start.found is Found.ADDED else "starting by policy"
        _log.info(f"no committed offset, {why}", extra={"action": "start_position", "found": start.found} | details)
