"""Offsets to Kafka: the resolved prefix of each partition, every second or so, at a revocation and at the end."""

import asyncio
import logging
from typing import Final

from worker.errors import RetryLater
from worker.metrics import Metrics
from worker.ports import CommitRefusedError, Source
from worker.runtime.ledger import Ledger
from worker.settings import DeliverySettings

_log = logging.getLogger(__name__)
# The client retries a commit without end; a commit given up is made good by the next one.
_COMMIT_SECONDS: Final = 5.0


class Committer:
    """A commit that fails costs a repetition, never a loss, so no failure here is fatal."""

    def __init__(self, source: Source, ledger: Ledger, settings: DeliverySettings, metrics: Metrics) -> None:
        self._source = source
        self._ledger = ledger
        self._interval = settings.commit_interval
        self._metrics = metrics

    async def run(self) -> None:
        """Commit at every interval, for ever."""
        while True:
            await asyncio.sleep(self._interval)
            await self.commit()

    async def commit(self) -> None:
        """Commit what has become committable."""
        commits = self._ledger.commits()
        if not commits:
            return
        try:
            with self._metrics.stage.labels("commit").time():
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await self._source.commit(commits)
        except CommitRefusedError as refusal:
            self._failed("refused", str(refusal))
        except (RetryLater, TimeoutError) as fault:
            self._failed("failed", str(fault) or "timed out")
        else:
            self._ledger.committed(commits)
            self._metrics.commits.labels("ok").inc()

    def _failed(self, outcome: str, detail: str) -> None:
        self._metrics.commits.labels(outcome).inc()
        _log.warning("commit not accepted", extra={"action": "commit", "outcome": outcome, "detail": detail})
