"""Mistakes that a worker could make, planted into the real code: each must be caught, or the simulation proves little.

Every mistake is a function that patches one place while it is entered. `tests/simulation/test_planted.py` performs the
seed that caught it last; where that one does not any more, it looks for another.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

import orjson

from tests.simulation import elasticsearch
from tests.simulation.elasticsearch import Connection
from worker.errors import Halt, RetryLater, SkipReason
from worker.records import (
    Change,
    DocumentWrite,
    ItemResponse,
    Place,
    Position,
    Record,
    Rejection,
    RowChange,
    Skip,
    Stored,
    Truncate,
    Unit,
    Verdict,
)
from worker.runtime import intake, ledger, looking_up, sending
from worker.runtime.assignment import Assignment
from worker.runtime.finishing import Finishing
from worker.runtime.intake import Intake
from worker.runtime.ledger import Ledger
from worker.runtime.sending import Item, Sender
from worker.runtime.sources import SourceReader
from worker.stages import coalesce, mapping, ordering, planning
from worker.stages.bulk import Done, Judgement, item_bytes, judge
from worker.stages.conversion.unavailable import UnavailableForms
from worker.stages.documents import tombstone
from worker.stages.offsets import Committable, PartitionProgress

Plant = Callable[[], "mock._patch[Any]"]
Read = tuple[Change | Truncate | Skip | Rejection, int | None]


def _patch(owner: object, name: str, instead: object) -> Plant:
    return lambda: mock.patch.object(owner, name, instead)


# Offsets.


def _end_of_what_was_fetched(self: PartitionProgress) -> Committable | None:
    last = self._entries[-1].offset + 1 if self._entries else self._next_offset
    return None if last is None else Committable(last, self.watermark)


def _commit_the_highest_resolved(self: PartitionProgress, offset: int) -> int | None:
    entry = self._open.pop(offset, None)
    if entry is None:
        return None
    entry.resolved = True
    self._next_offset = max(self._next_offset or 0, offset + 1)
    while self._entries and self._entries[0].offset < self._next_offset:
        self._entries.popleft()
    return entry.size


def _admit_any_epoch(self: Ledger, record: Record) -> PartitionProgress | None:
    progress = self._partitions.get(record.position.topic_partition)
    if progress is None:
        return None
    progress.fetched(record.position.offset, record.cost, self._clock.monotonic())
    self._metrics.consumed.labels(record.position.topic).inc()
    self.bytes_in_flight += record.cost
    return progress


def _close_any_epoch(self: Ledger, position: Position) -> bool:
    return _close(self, position._replace(epoch=self._epoch or 0))


_close: Final = Ledger._close


@contextmanager
def _ignore_epochs() -> Iterator[None]:
    with mock.patch.object(Ledger, "admit", _admit_any_epoch), mock.patch.object(Ledger, "_close", _close_any_epoch):
        yield


async def _resolve_before_the_dead_letter(
    self: Finishing,
    record: Record,
    rejection: Rejection,
    stage: str,
    **rest: Any,  # noqa: ANN401 - as it was
) -> None:
    if self._ledger.watermark_before(record.position) is not None:
        self._ledger.resolve(record.position, Verdict.DEAD_LETTERED, rejection.reason.value)
    await _reject(self, record, rejection, stage, **rest)


_reject: Final = Finishing.reject


def _resolve_what_is_cleared(self: Intake) -> None:
    for waiting in (*self._ready.values(), *self._held.values()):
        for position in waiting.unit().positions:
            _ledgers[-1].resolve(position, Verdict.SKIPPED, SkipReason.LOST_ASSIGNMENT.value)
    _clear(self)


_clear: Final = Intake.clear
_ledgers: list[Ledger] = []


@contextmanager
def _skip_what_is_revoked() -> Iterator[None]:
    original = Assignment.__init__

    def remember(self: Assignment, one: Ledger, *rest: Any) -> None:  # noqa: ANN401 - as it was
        _ledgers.append(one)
        original(self, one, *rest)

    with (
        mock.patch.object(Assignment, "__init__", remember),
        mock.patch.object(Intake, "clear", _resolve_what_is_cleared),
    ):
        yield
    _ledgers.clear()


# Versions and deletes.


def _item(write: DocumentWrite, target: str, **action: object) -> bytes:
    head, body = item_bytes(write, target).split(b"\n", 1)
    given = orjson.loads(head)
    index = given.pop("index")
    for name, value in action.items():
        index[name] = value
    return b"%b\n%b" % (orjson.dumps({"index": {k: v for k, v in index.items() if v is not None}}), body)


def _tombstone_without_version(write: DocumentWrite, target: str) -> bytes:
    return _item(write, target, version=None, version_type=None) if write.tombstone else item_bytes(write, target)


def _real_delete(write: DocumentWrite, target: str) -> bytes:
    if not write.tombstone:
        return item_bytes(write, target)
    head = orjson.loads(item_bytes(write, target).split(b"\n", 1)[0])
    return orjson.dumps({"delete": head["index"]}) + b"\n"


def _judge_deletes_too(write: DocumentWrite, response: ItemResponse, *, in_doubt: bool = False) -> Judgement:
    missing = write.tombstone and response.status == 404 and not response.error_type
    return Done(Verdict.DELETED) if missing else judge(write, response, in_doubt=in_doubt)


@contextmanager
def _delete_for_real() -> Iterator[None]:
    with (
        mock.patch.object(sending, "item_bytes", _real_delete),
        mock.patch.object(sending, "judge", _judge_deletes_too),
    ):
        yield


async def _once_more_without_versions(
    self: Sender, items: Sequence[Item]
) -> tuple[list[Item], RetryLater | Halt | None]:
    left, fault = await _once(self, items)
    if not left:
        return left, fault
    target = self._sink.target
    return [one._replace(data=_item(one.write, target, version=None, version_type=None)) for one in items], fault


_once: Final = Sender._once


def _version_from_offset(self: SourceReader, record: Record, watermark: int) -> Read:
    outcome, version = _read(self, record, watermark)
    if isinstance(outcome, Change) and outcome.positioned:
        outcome.version = record.position.offset + 1
    return outcome, version


_read: Final = SourceReader.read


# Tenants.


def _believe_before(self: SourceReader, record: Record, watermark: int) -> Read:
    trusting = replace(self.rules, trusts_before=True)
    decoded = self.decode(record, trusting)
    if not isinstance(decoded, RowChange):
        return decoded, None
    return mapping.RowMapper(trusting).map(record, decoded, watermark), decoded.version


def _only_the_winners(winner: Change, _loser: Change, _key_places: frozenset[Place]) -> frozenset[Place]:
    return winner.left


def _leave_nothing_behind(*_: object) -> frozenset[Place]:
    return frozenset()


def _tombstone_at_the_new_tenant(change: Change, place: Place, now_ms: int) -> DocumentWrite:
    written = _tombstone(change, place, now_ms)
    return written._replace(place=Place(place.document_id, change.place.tenant))


_tombstone: Final = tombstone


# Reading what is stored.


class _Cache:
    """What was read once is never read again."""

    def __init__(self) -> None:
        self._original = Connection.stored
        self._known: dict[tuple[int, Place], Stored | None] = {}

    def plant(self) -> "mock._patch[Any]":
        known, original = self._known, self._original
        known.clear()

        async def stored(
            connection: Connection, places: Sequence[Place], *_parts: Collection[Place]
        ) -> list[Stored | None]:
            missing = [place for place in places if known.get((id(connection), place)) is None]
            for place, found in zip(missing, await original(connection, missing, set(places)), strict=True):
                known[id(connection), place] = found
            return [known[id(connection), place] for place in places]

        return mock.patch.object(Connection, "stored", stored)


def _placeholders_are_text(_placeholder: str) -> UnavailableForms:
    return UnavailableForms(frozenset(), ())


def _reuse_any_vector(_text: str) -> str:
    return "the same hash for every text"


def _not_busy(self: Intake, change: Change) -> None:
    self._busy.pop(change.key, None)
    _add(self, change)


_add: Final = Intake.add


def _nothing_elsewhere(unit: Unit, _places: Iterable[Place]) -> Unit:
    return unit


def _no_watermark(_metadata: str) -> int:
    return 0


def _never_in_doubt(write: DocumentWrite, response: ItemResponse, **_: bool) -> Judgement:
    return judge(write, response)


def _as_it_is(write: DocumentWrite) -> DocumentWrite:
    return write


def _in_any_order(_self: Intake, _key: str, _waiting: object, _former: str) -> None:
    return


def _watermark_as_version(change: Change, _replaced: Iterable[Stored]) -> int:
    return change.version


def _only_what_is_stored(change: Change, replaced: Iterable[Stored]) -> int:
    return _version_of_unpositioned(replace(change, hides=0), replaced)


_version_of_unpositioned: Final = ordering.version_of_unpositioned


def _never_undecided(_waiting: Change, _incoming: Change) -> bool:
    return False


def _no_log_place(_sync: Mapping[str, object]) -> None:
    return None


PLANTED: Final[Mapping[str, Callable[[], Any]]] = {
    "commit what was fetched, resolved or not": _patch(
        PartitionProgress, "committable", property(_end_of_what_was_fetched)
    ),
    "commit behind the highest resolved record": _patch(PartitionProgress, "resolve", _commit_the_highest_resolved),
    "ignore which assignment a record belongs to": _ignore_epochs,
    "skip for good what a rebalance takes away": _skip_what_is_revoked,
    "resolve a record before its dead letter is durable": _patch(Finishing, "reject", _resolve_before_the_dead_letter),
    "forget the watermark in a commit": _patch(ledger, "parse_watermark", _no_watermark),
    "give a snapshot's row the watermark for its version": _patch(
        planning, "version_of_unpositioned", _watermark_as_version
    ),
    "forget the position of what a snapshot's row was joined with": _patch(
        planning, "version_of_unpositioned", _only_what_is_stored
    ),
    "join a late commit with a snapshot's row before it": _patch(intake, "is_undecided", _never_undecided),
    "forget a document's place in the log": _patch(elasticsearch, "log_place", _no_log_place),
    "delete without a version": _patch(sending, "item_bytes", _tombstone_without_version),
    "delete for real instead of a tombstone": _delete_for_real,
    "send all of a bulk again, as new": _patch(Sender, "_once", _once_more_without_versions),
    "count what was sent twice as superseded by itself": _patch(sending, "judge", _never_in_doubt),
    "hide a refused move behind its own tombstone": _patch(sending, "older", _as_it_is),
    "take the version from the offset": _patch(SourceReader, "read", _version_from_offset),
    "believe before.tenant without REPLICA IDENTITY FULL": _patch(SourceReader, "read", _believe_before),
    "forget former tenants when changes are joined": _patch(coalesce, "_left", _only_the_winners),
    "leave no tombstone where a row moves away": _patch(mapping, "_left", _leave_nothing_behind),
    "write the tombstone at the new tenant": _patch(planning, "tombstone", _tombstone_at_the_new_tenant),
    "leave a row where it was found": _patch(looking_up, "with_located", _nothing_elsewhere),
    "look up once and remember": lambda: _Cache().plant(),
    "two changes of a row in flight at once": _patch(Intake, "add", _not_busy),
    "delete a row's former key before its values are taken": _patch(Intake, "_follow", _in_any_order),
    "index the placeholder of an unchanged value": _patch(mapping, "unavailable_forms", _placeholders_are_text),
    "reuse a vector whatever its text": _patch(planning, "text_hash", _reuse_any_vector),
}
"""What is planted, in words; each is entered with `with`."""
