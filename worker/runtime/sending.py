"""Documents to Elasticsearch: items are matched by position, and only those that may succeed later are sent again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.errors import Halt, RejectReason, RetryLater
from worker.metrics import Metrics
from worker.ports import RequestTooLargeError, Sink
from worker.records import DocumentWrite, Rejection, Unit, Verdict
from worker.runtime.clock import Clock
from worker.runtime.retrying import Retrying
from worker.stages.bulk import Again, Done, Refused, Stop, item_bytes, judge, worst


@dataclass(slots=True)
class Work:
    """One unit on its way to Elasticsearch, with all its writes; it ends when the last of them has."""

    unit: Unit
    writes: Sequence[DocumentWrite]
    verdicts: list[Verdict] = field(default_factory=list)
    rejection: Rejection | None = None

    @property
    def ended(self) -> bool:
        """Whether every write has a verdict."""
        return len(self.verdicts) == len(self.writes)

    @property
    def verdict(self) -> Verdict:
        """The unit's verdict, from those of its writes."""
        return worst(self.verdicts)


@dataclass(frozen=True, slots=True)
class Item:
    """One write, serialised, and the work that it belongs to."""

    work: Work
    write: DocumentWrite
    data: bytes


def items_of(work: Work, target: str) -> list[Item]:
    """Return a work's writes as bulk items for the write alias `target`."""
    return [Item(work, write, item_bytes(write, target)) for write in work.writes]


class Sender:
    """Sends batches of items until each has a verdict."""

    def __init__(self, sink: Sink, retrying: Retrying, metrics: Metrics, clock: Clock) -> None:
        self._sink = sink
        self._retrying = retrying
        self._metrics = metrics
        self._clock = clock

    async def send(self, items: Sequence[Item]) -> None:
        """Give every item its verdict.

        Raises:
            Halt: the fault is not the documents'; items that had their verdict before keep it.
        """
        attempt = 0
        while items:
            try:
                again = await self._once(items)
            except RetryLater as fault:
                again = [(item, Again(fault.reason, str(fault))) for item in items]
            except RequestTooLargeError as fault:
                await self._apart(items, str(fault))
                return
            items = [item for item, _ in again]
            if again:
                attempt += 1
                why = again[0][1]
                await self._retrying.wait("bulk", attempt, why.reason, why.message)
            else:
                self._retrying.recovered("bulk")

    async def _once(self, items: Sequence[Item]) -> list[tuple[Item, Again]]:
        """Send once; return what to send again."""
        body = b"".join(item.data for item in items)
        if any(item.write.hard for item in items):
            # Elasticsearch heeds no `require_alias` for deletes: one would create an index in a missing alias' place.
            await self._sink.probe()
        started = self._clock.monotonic()
        try:
            responses = await self._sink.bulk(body, len(items))
        finally:
            self._metrics.bulk_bytes.inc(len(body))
            self._metrics.stage.labels("bulk").observe(self._clock.monotonic() - started)
        again = []
        stop: Stop | None = None
        for item, response in zip(items, responses, strict=True):
            self._metrics.bulk_items.labels(f"{response.status // 100}xx").inc()
            match judge(item.write, response):
                case Done(verdict):
                    item.work.verdicts.append(verdict)
                case Refused(reason, message):
                    _refuse(item, Rejection(reason, message))
                case Again() as judgement:
                    again.append((item, judgement))
                case Stop() as judgement:
                    stop = stop or judgement
        if stop is not None:
            raise Halt(stop.reason, stop.message)
        return again

    async def _apart(self, items: Sequence[Item], message: str) -> None:
        """Send halves of what was too large; a single document that is too large can never be stored."""
        if len(items) == 1:
            _refuse(items[0], Rejection(RejectReason.DOCUMENT_TOO_LARGE, message))
            return
        middle = len(items) // 2
        await self.send(items[:middle])
        await self.send(items[middle:])


def _refuse(item: Item, rejection: Rejection) -> None:
    item.work.verdicts.append(Verdict.DEAD_LETTERED)
    item.work.rejection = rejection
