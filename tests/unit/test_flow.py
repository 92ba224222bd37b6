from unittest.mock import AsyncMock

import pytest

from tests.builders import TOPIC, record
from tests.fakes.source import FakeSource, Log
from worker.errors import Halt, HaltReason
from worker.metrics import Metrics
from worker.records import Record, TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.flow import Flow
from worker.runtime.halting import Halting
from worker.runtime.ledger import Ledger
from worker.settings import DeliverySettings

pytestmark = pytest.mark.virtual_time
COST = record(offset=0).cost


class Parts:
    def __init__(self) -> None:
        self.log = Log({TOPIC: 1})
        self.source = FakeSource(self.log, [TOPIC], fetch_max_records=1)
        self.ledger = Ledger(Metrics(), Clock())
        self.ledger.begin(0, {TopicPartition(TOPIC, 0): ""})
        self.halting = Halting(DeliverySettings(), Metrics())
        self.flow = Flow(self.source, self.ledger, self.halting, 10 * COST, Metrics())
        self._offset = 0
        self._open: list[Record] = []

    def in_flight(self, records: int) -> bool:
        """Bring the records in flight to so many; tell whether fetching is paused then."""
        while len(self._open) < records:
            one = record(offset=self._offset)
            self._offset += 1
            self.ledger.admit(one)
            self._open.append(one)
        while len(self._open) > records:
            self.ledger.resolve(self._open.pop(0).position, Verdict.INDEXED)
        self.flow.adjust()
        return self.source.paused


async def test_fetching_pauses_above_the_mark_and_resumes_at_half_of_it() -> None:
    parts = Parts()
    assert [parts.in_flight(records) for records in (10, 11, 9, 6)] == [False, True, True, True]
    assert not parts.in_flight(5)
    assert not parts.in_flight(10)


async def test_what_is_resolved_behind_a_stuck_record_counts_a_little() -> None:
    parts = Parts()
    records = [record(offset=offset) for offset in range(10 * COST)]
    for one in records:
        parts.ledger.admit(one)
    for one in records[1:]:
        parts.ledger.resolve(one.position, Verdict.INDEXED)
    parts.flow.adjust()
    assert parts.source.paused
    parts.ledger.resolve(records[0].position, Verdict.INDEXED)
    parts.flow.adjust()
    assert not parts.source.paused


async def test_while_halted_nothing_is_fetched_however_little_is_in_flight() -> None:
    parts = Parts()
    parts.halting.on_change = parts.flow.adjust
    parts.halting.declare("bulk", Halt(HaltReason.FORBIDDEN, "no"))
    assert parts.source.paused
    assert parts.in_flight(11)
    parts.halting.lift("bulk")
    assert parts.source.paused, "there is too much in flight besides"
    assert not parts.in_flight(5)


async def test_room_is_lacking_while_memory_is_full_and_not_while_a_halt_keeps_from_reading() -> None:
    parts = Parts()
    parts.halting.on_change = parts.flow.adjust
    parts.halting.declare("bulk", Halt(HaltReason.FORBIDDEN, "no"))
    lacking = []
    for records in (0, 11):  # what keeps it full may end with the halt
        parts.in_flight(records)
        lacking.append(parts.flow.lacks_room)
    parts.halting.lift("bulk")
    lacking.append(parts.flow.lacks_room)
    parts.in_flight(5)
    lacking.append(parts.flow.lacks_room)
    assert lacking == [False, False, True, False]


async def test_a_new_assignment_starts_with_nothing_in_flight() -> None:
    parts = Parts()
    assert parts.in_flight(11)
    parts.ledger.begin(1, {TopicPartition(TOPIC, 0): ""})
    parts.flow.adjust()
    assert not parts.source.paused


async def test_others_are_to_run_whenever_much_has_been_decoded() -> None:
    flow = Parts().flow
    assert not any(flow.is_out_of_breath(100) for _ in range(10)), "a few bytes are no reason to switch"
    assert sum(flow.is_out_of_breath(100 * 1024) for _ in range(10)) == 5


async def test_what_stands_right_behind_a_record_is_unread_until_it_was_fetched_or_there_is_nothing() -> None:
    """A key change is two records, with a tombstone between them, or without."""
    parts = Parts()
    log, topic = parts.log, TopicPartition(TOPIC, 0)
    await parts.source.start(AsyncMock())
    for _ in range(4):
        log.append(topic, b"key", b"value")
    half = record(offset=0).position
    unread = []
    for _ in range(4):
        assert len(await parts.source.fetch()) == 1
        unread.append(parts.flow.is_next_unread(half))
    assert unread == [True, True, False, False]
    assert not parts.flow.is_next_unread(record(offset=3).position), "it is the last one"
    assert not parts.flow.is_next_unread(record(topic="another").position)
