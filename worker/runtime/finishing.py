"""The end of every record: its verdict, and the dead-letter topic for those that can never be indexed."""

import logging

from worker.errors import Halt, HaltReason, SkipReason
from worker.metrics import Metrics
from worker.ports import DeadLetters
from worker.records import Position, Record, Rejection, Unit, Verdict
from worker.runtime.clock import Clock
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger

_log = logging.getLogger(__name__)


class Finishing:
    """Where each stage brings what it is done with."""

    def __init__(
        self, ledger: Ledger, intake: Intake, dead_letters: DeadLetters | None, metrics: Metrics, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._clock = clock

    def skip(self, position: Position, reason: SkipReason) -> None:
        """Count a record that needs nothing done."""
        self._ledger.resolve(position, Verdict.SKIPPED, reason.value)

    async def reject(self, record: Record, rejection: Rejection, stage: str) -> None:
        """Put a record aside; it counts only when the dead-letter topic has acknowledged it.

        Raises:
            Halt: there is no dead-letter topic, or it cannot be written to. The record stays uncommitted.
        """
        position = record.position
        where = f"{position.topic}[{position.partition}] offset {position.offset}"
        if self._dead_letters is None:
            raise Halt(
                HaltReason.RECORD_REJECTED,
                f"{where} cannot be indexed: {rejection.message}; nothing from there on is committed, and a restart "
                "stops here again: create a topic for such records, set kafka.dead_letter_topic to it and restart",
            )
        headers = {
            "syncline-reason": rejection.reason.value,
            "syncline-stage": stage,
            "syncline-message": rejection.message,
            "syncline-topic": position.topic,
            "syncline-partition": str(position.partition),
            "syncline-offset": str(position.offset),
            "syncline-timestamp": str(record.timestamp_ms),
        }
        await self._dead_letters.send(record, headers)
        _log.warning(
            "record rejected",
            extra={
                "action": "rejected",
                "record": where,
                "stage": stage,
                "reason": rejection.reason.value,
                "detail": rejection.message[:500],
            },
        )
        self._metrics.dead_letters.labels(rejection.reason.value).inc()
        self._ledger.resolve(position, Verdict.DEAD_LETTERED, rejection.reason.value)

    def finish(self, unit: Unit, verdict: Verdict) -> None:
        """End a unit: its newest record gets the verdict, those that it hid are superseded."""
        self._resolve_hidden(unit)
        self._ledger.resolve(unit.change.record.position, verdict)
        self._intake.release(unit.change.key)
        if verdict in {Verdict.INDEXED, Verdict.DELETED} and unit.change.source_ts_ms is not None:
            # Another machine's clock: a negative age is a skewed clock, not a document from the future.
            self._metrics.freshness.observe(max(0, self._clock.wall_ms() - unit.change.source_ts_ms) / 1000)

    async def finish_rejected(self, unit: Unit, rejection: Rejection, stage: str) -> None:
        """End a unit whose newest record can never be indexed. Raises like `reject`."""
        await self.reject(unit.change.record, rejection, stage)
        self._resolve_hidden(unit)
        self._intake.release(unit.change.key)

    def _resolve_hidden(self, unit: Unit) -> None:
        for position in unit.hidden:
            self._ledger.resolve(position, Verdict.SUPERSEDED)
