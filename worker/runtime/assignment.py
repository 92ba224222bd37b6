"""Partitions come and go: one way to drain, for a rebalance and for the end, with one deadline."""

import logging
from collections.abc import Mapping

from typing_extensions import override

from worker.metrics import Metrics
from worker.ports import AssignmentListener
from worker.records import TopicPartition
from worker.runtime.committer import Committer
from worker.runtime.draining import Draining
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger

_log = logging.getLogger(__name__)


class Assignment(AssignmentListener):
    """`ports.AssignmentListener`: every rebalance takes all partitions away and gives a new set."""

    def __init__(
        self, ledger: Ledger, intake: Intake, committer: Committer, draining: Draining, metrics: Metrics
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._committer = committer
        self._to_finish = draining
        self._metrics = metrics
        self._draining = False

    @override
    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Drop what waits, finish what is in flight within the deadline, commit, and give the account up."""
        _log.info("partitions revoked", extra={"action": "revoked", "partitions": _names(partitions)})
        # What a fetch in progress still brings must not start now, or the drain would have no end.
        self._intake.close()
        self._intake.clear()
        await self._finish()
        self._ledger.end()
        self._to_finish.drop()
        self._show(0)

    @override
    async def assigned(self, epoch: int, partitions: Mapping[TopicPartition, str]) -> None:
        """Open an account for the new partitions."""
        self._metrics.rebalances.inc()
        self._intake.clear()
        self._ledger.begin(epoch, partitions)
        self._show(len(partitions))
        self._to_finish.joined()
        if not self._draining:
            self._intake.reopen()
        _log.info("partitions assigned", extra={"action": "assigned", "partitions": _names(partitions)})

    async def drain(self) -> None:
        """At the end of the process: hand out nothing new, finish what is in flight within the deadline, commit."""
        self._draining = True
        self._intake.close()
        await self._finish()

    def _show(self, partitions: int) -> None:
        """Of partitions that are another's now, nothing is shown; what is still here comes back within a second."""
        self._metrics.partitions.set(partitions)
        self._metrics.lag.clear()
        self._metrics.lag_seconds.clear()

    async def _finish(self) -> None:
        await self._to_finish.finish()
        await self._committer.commit()


def _names(partitions: Mapping[TopicPartition, str] | frozenset[TopicPartition]) -> list[str]:
    return sorted(f"{topic}[{number}]" for topic, number in partitions)
