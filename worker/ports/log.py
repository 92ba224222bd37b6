"""The log of change events and the topic of dead letters, as the pipeline and the commands see them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.records import Record, TopicPartition


@dataclass(frozen=True, slots=True)
class Commit:
    """What to commit for one partition: the next offset to read, and a short text kept beside it."""

    offset: int
    metadata: str


class CommitRefusedError(Exception):
    """The group has moved on: the partitions belong to somebody else, and so do their offsets."""


class AssignmentListener(Protocol):
    """Told when partitions come and go. Called from the client's own task: fetching goes on meanwhile."""

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish or drop what belongs to these partitions and commit; return within the rebalance timeout.

        Never raises: the client would swallow it.
        """

    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        """Take over these partitions: ALL that this worker now has. The text is the last commit's metadata.

        Records of this assignment carry `epoch`.
        """


class Source(Protocol):
    """The log of change events."""

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group. Raises `OperatorError` for a mistake in the settings (no such topic, no access)."""

    async def fetch(self) -> Sequence[Record]:
        """Wait a short while for records and return them, in order per partition; perhaps none. One task calls this.

        Partitions that were added to a topic bring nothing until the group has read what lay in the older ones when
        they were found. Positions carry the assignment's epoch. Cancelling loses nothing that was not committed.
        Raises `Halt` when offsets are missing or lost and the declared policy is `fail`, or when the brokers do not
        tell where to go on.
        """

    def pause(self) -> None:
        """Fetch nothing more from any partition until `resume`; stays in the group."""

    def resume(self) -> None:
        """Fetch again."""

    async def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Commit. Raises `CommitRefusedError` after a rebalance: the caller drops the commit, no harm done."""

    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset to read of each assigned partition that is read at present.

        Behind everything that `fetch` has returned, and behind what the log holds but shows to nobody: markers of
        transactions, records of aborted ones, gaps of compaction. Never behind a record that is still to come.
        """

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Ask up to where each assigned partition can be read: to its end, or to an open transaction.

        Raises `RetryLater` if no broker answers.
        """

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records between what was fetched last and the end of the log as last seen, per assigned partition.

        What the log has deleted does not count, once `ends` has seen that it is gone.
        """

    async def close(self) -> None:
        """Leave the group. Does not commit: the runtime has drained and committed before."""


class LetterTooLargeError(Exception):
    """The dead-letter topic takes no record of this size: less of it must be sent."""


class DeadLetters(Protocol):
    """Where records go that can never be indexed."""

    async def send(self, record: Record, headers: Mapping[str, str]) -> None:
        """Send the record, untouched but for added headers; return when it is durable.

        At least one of key and value is not None. Raises `Halt` when the topic cannot be written to, and
        `LetterTooLargeError`.
        """

    async def close(self) -> None:
        """Close the connection."""


class DeadLetterLog(Protocol):
    """The dead-letter topic, for those who look into it. Belongs to no group, commits nothing, changes nothing."""

    def read(self, since_ms: int | None = None) -> AsyncIterator[Record]:
        """Yield every record, partition by partition or mixed, up to the end that each had when this was called.

        Starts at the first record, or at the first that is not older than `since_ms`. Only a fetch of them is held in
        memory at a time. Raises `OperatorError` if the topic or a broker cannot be read.
        """

    async def record_at(self, partition: int, offset: int) -> Record | None:
        """Return one record; None if there is none at that place, or not any more."""

    async def close(self) -> None:
        """Close the connection."""
