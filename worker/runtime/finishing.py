"""The end of every record: its verdict, and the dead-letter topic for those that can never be indexed."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker import __version__
from worker.errors import Halt, HaltReason, SkipReason
from worker.metrics import Metrics
from worker.ports import DeadLetters, LetterTooLargeError
from worker.records import Change, Place, Position, Record, Rejection, Unit, Verdict
from worker.runtime.clock import Clock
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.sources import SourceReaders
from worker.runtime.tenant_counters import TenantCounters
from worker.stages.dead_letters import PREFIX, Letter, forms, letter

_log = logging.getLogger(__name__)
_SUPERSEDED: Final = Verdict.SUPERSEDED
_IN_THE_INDEX: Final = frozenset({Verdict.INDEXED, Verdict.DELETED})


class Finishing:
    """Where each stage brings what it is done with."""

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        dead_letters: DeadLetters | None,
        readers: SourceReaders,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._readers = readers
        self._ledger = ledger
        self._intake = intake
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._clock = clock
        self._tenants = TenantCounters(metrics)

    def skip(self, position: Position, reason: SkipReason) -> None:
        """Count a record that needs nothing done."""
        self._ledger.resolve(position, Verdict.SKIPPED, reason.value)

    async def reject(
        self,
        record: Record,
        rejection: Rejection,
        stage: str,
        *,
        place: Place | None = None,
        version: int | None = None,
    ) -> None:
        """Put a record aside; it counts only when the dead-letter topic has acknowledged it.

        `version` is the record's own, where it has one and it could be read.

        Raises:
            Halt: there is no dead-letter topic, or it cannot be written to. The record stays uncommitted.
        """
        position = record.position
        watermark = self._ledger.watermark_before(position)
        if watermark is None:  # whoever has its partition now reads it again, and puts it aside
            return
        where = f"{position.topic}[{position.partition}] offset {position.offset}"
        if self._dead_letters is None:
            raise Halt(
                HaltReason.RECORD_REJECTED,
                f"{where} cannot be indexed: {rejection.message}; nothing from there on is committed, and a restart "
                "stops here again: create a topic for such records, set kafka.dead_letter_topic to it and restart",
            )
        rules = self._readers.of_topic(position.topic).rules
        put_aside = replace(
            letter(record, rejection.reason.value, stage, rejection.message),
            source=rules.name,
            place=place or rejection.place,
            version=version,
            version_epoch=rules.version_epoch,
            watermark=watermark,
            worker_version=__version__,
        )
        started = self._clock.monotonic()
        omitted = await self._send(self._dead_letters, put_aside)
        self._metrics.stage.labels("dead_letter").observe(self._clock.monotonic() - started)
        _log.warning(
            "record rejected",
            extra={
                "action": "rejected",
                "record": where,
                "stage": stage,
                "reason": rejection.reason.value,
                "detail": put_aside.message,
                **({} if omitted is None else {"omitted": omitted}),
            },
        )
        self._metrics.dead_letters.labels(rejection.reason.value).inc()
        self._ledger.resolve(position, Verdict.DEAD_LETTERED, rejection.reason.value)

    async def _send(self, dead_letters: DeadLetters, put_aside: Letter) -> str | None:
        """Send as much of it as the topic takes; return what is left out, if anything is."""
        refused = ""
        for record, headers in forms(put_aside):
            try:
                await dead_letters.send(record, headers)
            except LetterTooLargeError as error:
                refused = str(error)
            else:
                return headers.get(f"{PREFIX}omitted")
        raise Halt(
            HaltReason.DEAD_LETTERS_UNAVAILABLE,
            f"the dead-letter topic takes not even the headers of a record ({refused}): raise its max.message.bytes",
        )

    def finish(self, ended: Sequence[tuple[Unit, Verdict]]) -> None:
        """End units: of each its newest record gets the verdict, those that it hid are superseded."""
        self._count(ended)
        self._ledger.resolve_all([one for unit, _ in ended for one in unit.hidden], _SUPERSEDED)
        for verdict in dict.fromkeys(verdict for _, verdict in ended):
            self._ledger.resolve_all([unit.change.record.position for unit, one in ended if one is verdict], verdict)
        self._intake.release_all([unit.change.key for unit, _ in ended])
        self._observe_freshness([unit.change for unit, verdict in ended if verdict in _IN_THE_INDEX])

    def _observe_freshness(self, changes: Sequence[Change]) -> None:
        now_ms, promised = self._clock.wall_ms(), self._metrics.settings.freshness_slo
        missed: Counter[str] = Counter()
        for change in changes:
            if change.source_ts_ms is not None:
                # Another machine's clock: a negative age is a skewed clock, not a document from the future.
                seconds = max(0, now_ms - change.source_ts_ms) / 1000
                self._metrics.freshness.observe(seconds)
                if seconds > promised:
                    self._metrics.freshness_missed.inc()
                    if _tells_tenant(change):
                        missed[change.place.tenant] += 1
        for tenant, records in missed.items():
            self._tenants.missed(tenant, records)

    async def finish_rejected(self, unit: Unit, rejection: Rejection, stage: str) -> None:
        """End a unit whose newest record can never be indexed. Raises like `reject`."""
        change = unit.change
        version = change.version if change.positioned else None
        # Neither the place of a key, nor one that the row has left, nor one whose tenant is doubted tells whose it is.
        is_known = _tells_tenant(change) and change.doubt is None and change.rejection is None
        place = change.place if is_known else None
        await self.reject(change.record, rejection, stage, place=place, version=version)
        if change.doubt is None:
            self._count([(unit, Verdict.DEAD_LETTERED)])
        self._ledger.resolve_all(unit.hidden, _SUPERSEDED)
        self._intake.release(unit.change.key)

    def _count(self, ended: Sequence[tuple[Unit, Verdict]]) -> None:
        """Count by tenant; finding a counter takes longer than all the rest, so once for many records."""
        records: Counter[tuple[str, Verdict]] = Counter()
        for unit, verdict in ended:
            change = unit.change
            if _tells_tenant(change) and self._ledger.holds(change.record.position):
                records[change.place.tenant, verdict] += 1
                if unit.hidden:
                    records[change.place.tenant, _SUPERSEDED] += len(unit.hidden)
        for (tenant, verdict), count in records.items():
            self._tenants.count(tenant, verdict, count)


def _tells_tenant(change: Change) -> bool:
    """Whether a change's place is a tenant's; that of a key bears the key for a name."""
    return change.place not in change.key_places
