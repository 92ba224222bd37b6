"""The commits of a consumer group, asked of its coordinator."""

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from worker.ports import Commit
from worker.records import TopicPartition

_NONE: Final = 0


async def group_commits(
    admin: AIOKafkaAdminClient, group_id: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Commit]:
    """Return the group's commits for these partitions; those without one, or that are not there, are missing.

    The client's own method takes an error for "no commits" where the coordinator tells it for the whole group: in
    answers of version 2 and later it stands beside an empty list (KIP-88). A coordinator that is loading would make a
    group look as if it had never read anything, and the policy for that would replay the log or pass over it.

    Raises:
        KafkaError: the coordinator cannot be found, is loading, or refuses.
    """
    if not partitions:
        return {}
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, number in sorted(partitions):
        topics[topic].append(number)
    coordinator = await admin.find_coordinator(group_id)
    request = OffsetFetchRequest(group_id, list(topics.items()))
    answer = await admin._send_request(request, coordinator)  # noqa: SLF001 - there is no public way
    _refuse(getattr(answer, "error_code", _NONE))
    found = {}
    for topic, answers in answer.topics:
        for number, offset, metadata, code in answers:
            if code == UnknownTopicOrPartitionError.errno:
                continue
            _refuse(code)
            if offset >= 0:
                found[TopicPartition(topic, number)] = Commit(offset, metadata or "")
    return found


def _refuse(code: int) -> None:
    if code != _NONE:
        raise for_code(code)
