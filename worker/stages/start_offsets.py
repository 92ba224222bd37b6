"""Where reading a partition begins: at its commit, else where the operator's declared policy says; never a silent jump.

A partition without a commit is not always a first start. One that was added to a topic that the group reads already
begins at its first record, whatever the policy: with `latest` the records before its discovery would be lost. And it
waits: a key may go on in the new partition while older changes of it are unread in an old one. Versions keep full
documents in order, but a change that leaves values out takes them from what is stored, and must not find that too old.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.errors import Halt, HaltReason
from worker.records import TopicPartition


class OffsetPolicy(StrEnum):
    """Where to read on when Kafka has no usable offset for this group."""

    EARLIEST = "earliest"
    LATEST = "latest"
    FAIL = "fail"


class Found(StrEnum):
    """What was found when a partition was taken up."""

    COMMIT = "commit"
    NO_COMMIT = "no_commit"
    ADDED = "added"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """What the brokers say of one partition: its first offset, the next to be written, and the group's commit."""

    first: int
    end: int
    committed: int | None = None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """The first offset to read, the metadata of the commit it comes from, and why it is this one."""

    offset: int
    found: Found
    metadata: str = ""


def start_of(
    partition: TopicPartition, log: PartitionLog, *, added: bool, start_from: OffsetPolicy, on_lost: OffsetPolicy
) -> Start:
    """Return where to start. `added` says that the topic or the partition appeared after the group began to read.

    Raises:
        Halt: there is no usable commit, and the policy for it is `fail`.
    """
    if log.committed is None:
        if added:
            return Start(log.first, Found.ADDED)
        if start_from is OffsetPolicy.FAIL:
            raise Halt(
                HaltReason.NO_COMMITTED_OFFSET,
                f"the group has no committed offset for {name_of(partition)} and kafka.start_from is fail: correct "
                "kafka.group_id, or set start_from to earliest",
            )
        return Start(_by_policy(log, start_from), Found.NO_COMMIT)
    if log.first <= log.committed <= log.end:
        return Start(log.committed, Found.COMMIT, log.metadata)
    return Start(after_loss(partition, log, log.committed, on_lost), Found.LOST)


def after_loss(partition: TopicPartition, log: PartitionLog, offset: int, on_lost: OffsetPolicy) -> int:
    """Return where to read on, now that `offset` is not in the log.

    Raises:
        Halt: the policy is `fail`.
    """
    if on_lost is OffsetPolicy.FAIL:
        raise Halt(
            HaltReason.OFFSETS_LOST,
            f"offset {offset} of {name_of(partition)} is no longer in the log ({log.first} to {log.end}): changes may "
            "be lost; take a new snapshot of the table, then set the group's offsets to the earliest (see 'Halt "
            "offsets_lost' in deploy/README.md)",
        )
    return _by_policy(log, on_lost)


def older_partitions(partition: TopicPartition, commits: Mapping[TopicPartition, int]) -> frozenset[TopicPartition]:
    """Return the partitions of the same topic that the group read before this one was added.

    `commits` are those of the group; empty if the partition has one itself, or if the whole topic is new.
    """
    if partition in commits:
        return frozenset()
    return frozenset(other for other in commits if other.topic == partition.topic)


def has_passed(commits: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> bool:
    """Whether the group has committed everything before `ends`."""
    return all(commits.get(partition, -1) >= end for partition, end in ends.items())


def name_of(partition: TopicPartition) -> str:
    """Return a partition's name as logs and messages have it: `articles[3]`."""
    return f"{partition.topic}[{partition.partition}]"


def _by_policy(log: PartitionLog, policy: OffsetPolicy) -> int:
    return log.first if policy is OffsetPolicy.EARLIEST else log.end
