"""Documents to Elasticsearch: items are matched by position, and only those that may succeed later are sent again."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from worker.errors import Halt, RejectReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import RequestTooLargeError, Sink
from worker.records import Change, DocumentWrite, ItemResponse, Position, Rejection, Unit, Verdict, VersionType
from worker.runtime.clock import Clock
from worker.runtime.permits import Permits
from worker.runtime.retrying import Retrying
from worker.stages.bulk import Again, Done, Refused, Stop, item_bytes, judge, worst
from worker.stages.documents import older

_TOO_MANY_REQUESTS: Final = 429
_NOT_APPLIED: Final = frozenset({RetryReason.REJECTED, RetryReason.NEW_CREDENTIALS})
"""What tells that a request, or an item, has done nothing; after all else nobody knows."""
_OVERLOADED: Final = frozenset({RetryReason.REJECTED, RetryReason.TIMEOUT})


@dataclass(slots=True)
class Work:
    """One unit on its way to Elasticsearch, with all its writes; it ends when the last of them has."""

    unit: Unit
    writes: Sequence[DocumentWrite]
    verdicts: list[Verdict] = field(default_factory=list)
    rejection: Rejection | None = None
    stage: str = "bulk"
    """The stage that rejected it, if one did."""

    @property
    def ended(self) -> bool:
        """Whether every write has a verdict."""
        return len(self.verdicts) == len(self.writes)

    @property
    def verdict(self) -> Verdict:
        """The unit's verdict, from those of its writes."""
        return worst(self.verdicts)


class Item(NamedTuple):
    """One write, serialised, and the work that it belongs to.

    It is `in_doubt` once it was sent and nobody knows what became of it: sent again, it may conflict with itself.
    """

    work: Work
    write: DocumentWrite
    data: bytes
    in_doubt: bool = False


def items_of(work: Work, target: str, *, late: bool = False) -> list[Item]:
    """Return a work's writes as bulk items for the write alias `target`: the `late` ones, or all the others.

    Late is a tombstone that must not be taken while its document is refused for the moment. It has the document's id:
    on one shard both are one, and the document would be found too old. Or it replaces what the document's values are
    taken from: after a crash in between they would be lost.

    If the document has been refused for good, a tombstone of its id goes without it: see `_without_document`.
    """
    writes = (write for write in work.writes if _is_late(work, write) is late)
    if work.rejection is not None:
        change = work.unit.change
        own = (work.rejection.place or change.place).document_id
        writes = (
            _without_document(one, change) if one.tombstone and one.place.document_id == own else one for one in writes
        )
    return [Item(work, write, item_bytes(write, target)) for write in writes]


def _without_document(tombstone: DocumentWrite, change: Change) -> DocumentWrite:
    """Return the tombstone of a refused document's own id.

    One version older: else it would hide that very change from whoever reads it again, before it is a dead letter, or
    as one; or the positioned change whose version it has because it waited with it. Of other changes without a
    position at its own version, whatever is there: nothing has come to replace it.
    """
    if change.positioned or tombstone.version == change.hides:
        return older(tombstone)
    return tombstone._replace(version_type=VersionType.EXTERNAL_GTE)


def _is_late(work: Work, write: DocumentWrite) -> bool:
    if not write.tombstone or len(work.writes) == 1:
        return False
    change = work.unit.change
    takes_values = bool(change.absent or change.inherited)
    return any(
        not one.tombstone and (takes_values or one.place.document_id == write.place.document_id) for one in work.writes
    )


class Sender:
    """Sends batches of items until each has a verdict."""

    def __init__(
        self,
        sink: Sink,
        holds: Callable[[Position], bool],
        retrying: Retrying,
        metrics: Metrics,
        clock: Clock,
        concurrency: int = 1,
    ) -> None:
        """`holds` tells whether a record is still this worker's; at most `concurrency` requests are in flight."""
        self._sink = sink
        self._holds = holds
        self._retrying = retrying
        self._metrics = metrics
        self._clock = clock
        self._permits = Permits(concurrency, metrics.bulk_limit)

    async def send(self, items: Sequence[Item]) -> None:
        """Give every item its verdict. After a fault only those without one are sent again, with the same bytes.

        What another worker reads again by now is skipped: it would come late, and need not be older than what that one
        has written (`ordering`: rows without a position).
        """
        left = items

        async def send_what_is_left() -> None:
            nonlocal left
            async with self._permits.one():
                # Not before its turn: while it waits for that, partitions may go to another worker.
                left = self._held(left)
                left, fault = await self._once(left)
            if fault is not None:
                raise fault

        try:
            await self._retrying.call("bulk", send_what_is_left)
        except RequestTooLargeError as fault:
            await self._apart(left, str(fault))

    def _held(self, items: Sequence[Item]) -> list[Item]:
        held = []
        for item in items:
            if self._holds(item.work.unit.change.record.position):
                held.append(item)
            else:
                item.work.verdicts.append(Verdict.SKIPPED)
        return held

    async def _once(self, items: Sequence[Item]) -> tuple[list[Item], RetryLater | Halt | None]:
        """Send once; return the items to send again, and why."""
        if not items:
            return [], None
        try:
            responses = await self._answers(items)
        except RetryLater as fault:
            return _to_send_again(items, fault.reason), fault
        left: list[Item] = []
        again: Again | None = None
        stop: Stop | None = None
        for status, count in Counter(response.status // 100 for response in responses).items():
            self._metrics.bulk_items.labels(f"{status}xx").inc(count)
        for item, response in zip(items, responses, strict=True):
            match judge(item.write, response, in_doubt=item.in_doubt):
                case Done(verdict):
                    item.work.verdicts.append(verdict)
                case Refused(reason, message):
                    _refuse(item, Rejection(reason, message))
                case Again(reason) as judgement:
                    left += _to_send_again([item], reason)
                    again = again or judgement
                case Stop() as judgement:
                    left.append(item)
                    stop = stop or judgement
        if stop is not None:
            return left, Halt(stop.reason, stop.message)
        return left, None if again is None else RetryLater(again.reason, again.message)

    async def _answers(self, items: Sequence[Item]) -> Sequence[ItemResponse]:
        """Send once, and note what the answer tells of the pressure. Its caller holds a permit."""
        pressure = self._permits.pressure
        body = b"".join(item.data for item in items)
        if any(item.write.hard for item in items):
            # Elasticsearch heeds no `require_alias` for deletes: one would create an index in place of the alias.
            await self._sink.probe()
        began_in, started = pressure.round, self._clock.monotonic()
        try:
            responses = await self._sink.bulk(body, len(items))
        except RetryLater as fault:
            self._metrics.bulk_requests.labels(fault.reason.value).inc()
            if fault.reason in _OVERLOADED:
                pressure.overloaded(began_in)
            raise
        except Halt as fault:
            self._metrics.bulk_requests.labels(fault.reason.value).inc()
            raise
        except RequestTooLargeError:
            self._metrics.bulk_requests.labels("too_large").inc()
            raise
        finally:
            seconds = self._clock.monotonic() - started
            self._metrics.bulk_bytes.inc(len(body))
            self._metrics.stage.labels("bulk").observe(seconds)
        self._metrics.bulk_requests.labels("answered").inc()
        if any(response.status == _TOO_MANY_REQUESTS for response in responses):
            pressure.overloaded(began_in)
        else:
            pressure.answered(began_in, len(body), seconds)
        return responses

    async def _apart(self, items: Sequence[Item], message: str) -> None:
        """Send halves of what was too large; a single document that is too large can never be stored."""
        if len(items) == 1:
            _refuse(items[0], Rejection(RejectReason.DOCUMENT_TOO_LARGE, message))
            return
        middle = len(items) // 2
        await self.send(items[:middle])
        await self.send(items[middle:])


def _to_send_again(items: Sequence[Item], reason: RetryReason) -> list[Item]:
    return list(items) if reason in _NOT_APPLIED else [item._replace(in_doubt=True) for item in items]


def _refuse(item: Item, rejection: Rejection) -> None:
    item.work.verdicts.append(Verdict.DEAD_LETTERED)
    item.work.rejection = item.work.rejection or rejection
