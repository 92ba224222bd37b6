"""The log of change events: an aiokafka consumer with manual commits, raw bytes and no silent offset jumps.

Partitions come and go in the client's own task while `fetch` runs in another. Every record carries the epoch of the
assignment it was fetched under; the epoch rises at each revocation and each assignment, so what was fetched in
between belongs to nobody.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata
from aiokafka import TopicPartition as ClientPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, ended, record_of, sentence_of, start_up_faults
from worker.adapters.kafka_offsets import AssignmentGoneError, StartPositions
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.ports import AssignmentListener, Commit, CommitRefusedError, Source
from worker.records import Record, TopicPartition
from worker.settings import KafkaSettings
from worker.stages.start_offsets import Start

_log = logging.getLogger(__name__)
# How long one call of getmany may wait: bounds how late the caller sees that it may resume, or a listener's fault.
_WAIT_MS: Final = 500
_PAUSE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 4.0
_LEFT_SECONDS: Final = 1.0
# A member learns from the answer to its heartbeat that partitions are to be shared anew, and meanwhile those of whoever
# has left, or knows already, stand still. The client's own 3 s would also be too few in the shortest session (6 s).
_HEARTBEAT_MS: Final = 1000
_FRESH_MS: Final = 30_000
_TAKE_UP_SECONDS: Final = 1.0


class KafkaSource(Source):
    """`ports.Source` on a consumer group."""

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], pattern: str | None = None) -> None:
        """Read `topics`, or every topic that matches `pattern` as a whole."""
        self._settings = settings
        self._topics = tuple(topics)
        self._pattern = pattern
        options = connection_options(settings)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            metadata_max_age_ms=_milliseconds(settings.metadata_max_age),
            enable_auto_commit=False,
            # A jump to either end would be a silent loss or replay: `start_from` and `on_lost_offsets` decide.
            auto_offset_reset="none",
            isolation_level="read_committed",
            # One assignor: the client joins once for each that is listed.
            partition_assignment_strategy=(RoundRobinPartitionAssignor,),
            session_timeout_ms=_milliseconds(settings.session_timeout),
            heartbeat_interval_ms=_HEARTBEAT_MS,
            rebalance_timeout_ms=_milliseconds(settings.rebalance_timeout),
            max_poll_interval_ms=300_000,
            fetch_max_bytes=int(settings.fetch_max_bytes),
            max_partition_fetch_bytes=int(settings.fetch_max_bytes),
        )
        self._positions = StartPositions(settings, self._consumer, AIOKafkaAdminClient(**options))
        self._epoch = 0
        self._paused = False
        self._ends: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._fault: Exception | None = None
        self._closing = False

    @override
    async def start(self, listener: AssignmentListener) -> None:
        """Connect, check that the topics exist, and join the group."""
        with start_up_faults(self._settings):
            await self._consumer.start()
            self._refuse_missing_topics(await self._positions.start())
        rebalances = _Rebalances(self, listener)
        if self._pattern is not None:
            self._consumer.subscribe(pattern=f"^(?:{self._pattern})$", listener=rebalances)
        else:
            self._consumer.subscribe(topics=list(self._topics), listener=rebalances)

    def _refuse_missing_topics(self, existing: Collection[str]) -> None:
        if missing := [topic for topic in self._topics if topic not in existing]:
            raise OperatorError(
                f"sources: topic {missing[0]!r} does not exist on {', '.join(self._settings.bootstrap_servers)}: "
                "correct its name, or create it first"
            )

    @override
    async def fetch(self) -> Sequence[Record]:
        """Wait up to half a second for records; at most `kafka.fetch_max_records` of them."""
        if self._fault is not None:
            raise self._fault
        if (freed := await self._positions.release()) and not self._paused:
            self._consumer.resume(*(one for one in self._consumer.assignment() if _ours(one) in freed))
        before, epoch = self._all_positions(), self._epoch
        try:
            return await self._fetched()
        except NoOffsetForPartitionError:
            # Seen between an assignment and the seek that follows it.
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        except KafkaError as error:
            # The client reports a coordinator's or broker's trouble once here and goes on by itself.
            _log.warning("fetch failed, trying again", extra={"action": "fetch_failed", "error": repr(error)})
            if epoch == self._epoch:
                self._go_back(before)
            await asyncio.sleep(_PAUSE_SECONDS)
            return []

    def _go_back(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read again what a failed call has passed: for one broken partition the client drops the records of all."""
        for partition, position in self._all_positions().items():
            if position > positions.get(partition, position):
                self._consumer.seek(ClientPartition(*partition), positions[partition])

    async def _fetched(self) -> Sequence[Record]:
        epoch = self._epoch
        try:
            batches = await self._consumer.getmany(timeout_ms=_WAIT_MS, max_records=self._settings.fetch_max_records)
        except OffsetOutOfRangeError as error:
            lost = {_ours(partition): offset for partition, offset in error.args[0].items()}
            await self._positions.recover_lost(lost, lambda: self._epoch == epoch)
            return []
        return [record_of(message, self._epoch) for messages in batches.values() for message in messages]

    @override
    def pause(self) -> None:
        """Fetch nothing more until `resume`; the client goes on with its heartbeats."""
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    @override
    def resume(self) -> None:
        """Fetch again."""
        self._paused = False
        held = self._positions.held
        self._consumer.resume(*(one for one in self._consumer.assignment() if _ours(one) not in held))

    @override
    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Commit offsets with their metadata."""
        offsets = {
            ClientPartition(*partition): OffsetAndMetadata(commit.offset, commit.metadata)
            for partition, commit in commits.items()
        }
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            raise CommitRefusedError(str(error)) from error
        except KafkaError as error:
            raise RetryLater(RetryReason.CONNECTION, f"the commit failed: {error!r}") from error

    @override
    def positions(self) -> Mapping[TopicPartition, int]:
        """Return the client's own positions: they pass markers and aborted records, which no record shows."""
        held = self._positions.held
        return {ours: offset for ours, offset in self._all_positions().items() if ours not in held}

    def _all_positions(self) -> Mapping[TopicPartition, int]:
        # The client's own method waits for a position; what has none yet is not asked.
        subscription = self._consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        if assignment is None or not assignment.active:
            return {}
        states = {partition: assignment.state_value(partition) for partition in assignment.tps}
        return {_ours(one): state.position for one, state in states.items() if state.has_valid_position}

    @override
    async def ends(self) -> Mapping[TopicPartition, int]:
        """Ask the brokers: also while nothing is fetched, and when fetching is stuck."""
        try:
            assigned = list(self._consumer.assignment())
            ends = await self._consumer.end_offsets(assigned) if assigned else {}
            starts = await self._consumer.beginning_offsets(assigned) if assigned else {}
            if not assigned:
                await self._consumer.topics()  # only to see that a broker answers
        except KafkaError as error:
            raise RetryLater(RetryReason.CONNECTION, f"the brokers do not answer: {error!r}") from error
        self._ends = {_ours(partition): end for partition, end in ends.items()}
        self._starts = {_ours(partition): start for partition, start in starts.items()}
        # While the brokers answered partitions may have gone to another worker; the client asserts that they are ours.
        still = self._consumer.assignment()
        return {_ours(one): min(end, self._decided(one, end)) for one, end in ends.items() if one in still}

    def _decided(self, partition: ClientPartition, end: int) -> int:
        # What lies behind an open transaction may not be read yet. A client that is stuck knows no news of it. Where
        # the last answer ended is no bound by itself: a transaction is open there only if the log went on behind it.
        polled_at = self._consumer.last_poll_timestamp(partition)
        fresh = polled_at is not None and time.time() * 1000 - polled_at < _FRESH_MS
        stable, highest = self._consumer.last_stable_offset(partition), self._consumer.highwater(partition)
        held = fresh and stable is not None and highest is not None and 0 <= stable < highest
        return stable if held else end

    @override
    def lag(self) -> Mapping[TopicPartition, int]:
        """Records between the last fetched one and the end of the log, where the end is known."""
        lags = {}
        for partition, position in self._all_positions().items():
            # Whichever is seen later; while nothing is fetched only `ends` sees the log grow.
            seen = (self._consumer.highwater(ClientPartition(*partition)), self._ends.get(partition))
            if known := [end for end in seen if end is not None]:
                # What retention has deleted waits for nobody.
                lags[partition] = max(0, max(known) - max(position, self._starts.get(partition, 0)))
        return lags

    @override
    async def close(self) -> None:
        """Leave the group and close all connections."""
        self._closing = True
        # stop() was seen to hang when its brokers are gone, or when the group is just being shared out, and it raises
        # the cancellation of its own tasks. The group notices our absence by itself; but nothing may go on fetching.
        await ended(self._consumer.stop(), _CLOSE_SECONDS)
        fetcher, client = self._consumer._fetcher, self._consumer._client  # noqa: SLF001 - after a stop that has failed
        left = [client.close(), self._positions.close()] + ([] if fetcher is None else [fetcher.close()])
        await asyncio.gather(*(ended(one, _LEFT_SECONDS) for one in left))

    @property
    def epoch(self) -> int:
        """The epoch that records fetched now carry."""
        return self._epoch

    def revoked(self) -> None:
        """Begin an epoch that nobody owns."""
        self._epoch += 1
        self._ends = {}
        self._starts = {}

    async def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, str]:
        """Begin an epoch with these partitions; return the metadata of their last commits."""
        # Until the seek the client fetches by itself, and after the seek the same records again: what it brings before
        # belongs to an epoch that nobody owns, or the later part of it would be taken in ahead of the earlier.
        self._epoch += 1
        starts = await self._take_up(partitions)
        self._epoch += 1
        if self._paused:
            self._consumer.pause(*self._consumer.assignment())
        return {partition: start.metadata for partition, start in starts.items()}

    async def _take_up(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Start]:
        # A broker that goes away in the middle of a rebalance comes back. Longer than the group waits nobody need try.
        deadline = time.monotonic() + self._settings.rebalance_timeout
        while True:
            try:
                return await self._positions.take_up(partitions)
            except KafkaError as error:
                passing = error.retriable or isinstance(error, KafkaTimeoutError)
                if not passing or self._closing or time.monotonic() > deadline:
                    raise
                _log.warning(
                    "cannot look up where to begin, trying again",
                    extra={"action": "take_up_failed", "error": repr(error)},
                )
                await asyncio.sleep(_TAKE_UP_SECONDS)

    def fail(self, fault: Exception) -> None:
        """Let the next `fetch` raise this: the client swallows what a rebalance listener raises."""
        if isinstance(fault, KafkaError):
            # Brokers that are gone for longer than a rebalance, or refuse, end no worker: it leaves and joins anew.
            fault = Halt(HaltReason.MISCONFIGURED, sentence_of(fault, self._settings, "in a rebalance"))
        self._fault = fault


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """The client's callbacks. What they raise the client would swallow, so it is raised by the next fetch instead."""

    def __init__(self, source: KafkaSource, listener: AssignmentListener) -> None:
        self._source = source
        self._listener = listener

    @override
    async def on_partitions_revoked(self, revoked: frozenset[ClientPartition]) -> None:
        if not revoked:  # the first join has nothing to give back
            return
        try:
            await self._listener.revoked(frozenset(_ours(partition) for partition in revoked))
        except Exception as fault:  # noqa: BLE001 - see the class docstring
            self._source.fail(fault)
        finally:
            self._source.revoked()

    @override
    async def on_partitions_assigned(self, assigned: frozenset[ClientPartition]) -> None:
        try:
            metadata = await self._source.assigned([_ours(partition) for partition in assigned])
            await self._listener.assigned(self._source.epoch, metadata)
        except AssignmentGoneError:
            _log.info("another assignment has begun meanwhile", extra={"action": "assignment_gone"})
        except Exception as fault:  # noqa: BLE001 - see the class docstring
            self._source.fail(fault)


def _ours(partition: ClientPartition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
