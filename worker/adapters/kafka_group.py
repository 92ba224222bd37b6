"""A consumer group seen from outside: its members and its commits. Nothing is joined and nothing is committed."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest
from typing_extensions import override

from worker.adapters.kafka_client import connection_options, start_up_faults
from worker.adapters.kafka_commits import group_commits
from worker.errors import OperatorError
from worker.ports import Commit, GroupReader
from worker.records import TopicPartition
from worker.settings import KafkaSettings
from worker.stages.progress import GroupState, Member

_ANSWER_SECONDS: Final = 15.0


class KafkaGroupReader(GroupReader):
    """`ports.GroupReader` on an admin client."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = AIOKafkaAdminClient(**connection_options(settings))

    async def start(self) -> None:
        """Connect."""
        with start_up_faults(self._settings):
            await self._admin.start()

    @override
    async def group(self) -> GroupState:
        with self._explained("describe"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                try:
                    (answer,) = await self._admin.describe_consumer_groups([self._settings.group_id])
                except GroupCoordinatorNotAvailableError:  # a broker that has never had a group
                    return GroupState("Dead")
            (code, _, state, _, _, members, *_) = answer.groups[0]
            if code:
                raise for_code(code)
        return GroupState(state, tuple(_member(*member) for member in members))

    @override
    async def may_join(self) -> bool | None:
        # The sign of life of a member that nobody is: the broker looks at the privilege before it looks for the member.
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                coordinator = await self._admin.find_coordinator(self._settings.group_id)
                request = HeartbeatRequest(self._settings.group_id, -1, "")
                answer = await self._admin._send_request(request, coordinator)  # noqa: SLF001 - there is no public way
        except GroupAuthorizationFailedError:
            return False
        except (KafkaError, TimeoutError):
            return None
        return bool(answer.error_code != GroupAuthorizationFailedError.errno)

    @override
    async def commits(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Commit]:
        if not partitions:
            return {}
        with self._explained("give the commits of"):
            async with asyncio.timeout(_ANSWER_SECONDS):
                try:
                    return await group_commits(self._admin, self._settings.group_id, partitions)
                except GroupCoordinatorNotAvailableError:  # see above
                    return {}

    @override
    async def close(self) -> None:
        await self._admin.close()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        servers, group = ", ".join(self._settings.bootstrap_servers), self._settings.group_id
        try:
            yield
        except GroupAuthorizationFailedError as error:
            raise OperatorError(
                f"kafka.group_id: {servers} does not {what} group {group!r}: grant this user read on the group"
            ) from error
        except TimeoutError as error:
            raise OperatorError(
                f"kafka: {servers} did not {what} group {group!r} within {_ANSWER_SECONDS:g} s: look after the brokers"
            ) from error
        except KafkaError as error:
            raise OperatorError(f"kafka: {servers} does not {what} group {group!r}: {error!r}") from error


def _member(_id: str, client: str, host: str, _metadata: bytes, assignment: bytes) -> Member:
    return Member(client, host.lstrip("/"), _assigned(assignment))


def _assigned(assignment: bytes) -> frozenset[TopicPartition]:
    """Return the partitions of a member; none while it has none, or where the protocol is another."""
    try:
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
    except (ValueError, IndexError, TypeError):
        return frozenset()
    return frozenset(TopicPartition(one.topic, one.partition) for one in decoded.partitions())
