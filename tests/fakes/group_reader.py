"""A consumer group in memory, seen from outside."""

from collections.abc import Collection, Mapping

from typing_extensions import override

from tests.fakes.source import Log
from worker.ports import Commit, GroupReader
from worker.records import TopicPartition
from worker.stages.progress import GroupState, Member


class FakeGroupReader(GroupReader):
    """Reads the group of a log that outlives it. `state` in place of what its members would make of it."""

    def __init__(self, log: Log, group_id: str = "syncline", *, state: str | None = None, allowed: bool = True) -> None:
        self._log = log
        self._group_id = group_id
        self._state = state
        self._allowed = allowed

    @override
    async def group(self) -> GroupState:
        members = tuple(
            Member("syncline", "10.0.0.1", frozenset(member.lag()))
            for member in self._log.group(self._group_id).members
        )
        known = any(group == self._group_id for group, _ in self._log.commits)
        return GroupState(self._state or ("Stable" if members else "Empty" if known else "Dead"), members)

    @override
    async def commits(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, Commit]:
        return {
            one: commit
            for (group, one), commit in self._log.commits.items()
            if group == self._group_id and one in partitions
        }

    @override
    async def may_join(self) -> bool | None:
        return self._allowed

    @override
    async def close(self) -> None:
        return
