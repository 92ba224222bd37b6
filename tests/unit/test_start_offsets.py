import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import Halt, HaltReason
from worker.records import TopicPartition
from worker.stages.start_offsets import (
    Found,
    OffsetPolicy,
    PartitionLog,
    Start,
    after_loss,
    has_passed,
    name_of,
    older_partitions,
    start_of,
)

ZERO, ONE, TWO = (TopicPartition("articles", number) for number in range(3))
OTHER = TopicPartition("people", 0)
EARLIEST, LATEST, FAIL = OffsetPolicy.EARLIEST, OffsetPolicy.LATEST, OffsetPolicy.FAIL


@pytest.mark.parametrize(
    ("committed", "added", "start_from", "on_lost", "wanted"),
    [
        (15, False, FAIL, FAIL, Start(15, Found.COMMIT, "w")),
        (10, False, FAIL, FAIL, Start(10, Found.COMMIT, "w")),
        (20, False, FAIL, FAIL, Start(20, Found.COMMIT, "w")),
        (9, False, FAIL, EARLIEST, Start(10, Found.LOST)),
        (21, False, FAIL, LATEST, Start(20, Found.LOST)),
        (None, False, EARLIEST, FAIL, Start(10, Found.NO_COMMIT)),
        (None, False, LATEST, FAIL, Start(20, Found.NO_COMMIT)),
        (None, True, LATEST, FAIL, Start(10, Found.ADDED)),
        (None, True, FAIL, FAIL, Start(10, Found.ADDED)),
    ],
)
def test_where_a_partition_starts(
    committed: int | None, *, added: bool, start_from: OffsetPolicy, on_lost: OffsetPolicy, wanted: Start
) -> None:
    log = PartitionLog(10, 20, committed, "w")
    assert start_of(ZERO, log, added=added, start_from=start_from, on_lost=on_lost) == wanted


@pytest.mark.parametrize(
    ("committed", "reason", "told"),
    [
        (None, HaltReason.NO_COMMITTED_OFFSET, "kafka.start_from"),
        (9, HaltReason.OFFSETS_LOST, "new snapshot of the table, then set the group's offsets to the earliest"),
    ],
)
def test_a_policy_of_fail_halts_and_says_what_to_do(committed: int | None, reason: HaltReason, told: str) -> None:
    with pytest.raises(Halt, match=told) as halt:
        start_of(ZERO, PartitionLog(10, 20, committed), added=False, start_from=FAIL, on_lost=FAIL)
    assert halt.value.reason is reason
    assert name_of(ZERO) in str(halt.value)
    # The runbook forbids it: the worker would go on with holes in the index.
    assert "on_lost_offsets" not in str(halt.value)


def test_after_a_loss_reading_goes_on_at_an_end_of_what_is_left() -> None:
    log = PartitionLog(10, 20)
    assert after_loss(ZERO, log, 5, EARLIEST) == 10
    assert after_loss(ZERO, log, 5, LATEST) == 20


@given(
    committed=st.one_of(st.none(), st.integers(0, 30)),
    added=st.booleans(),
    start_from=st.sampled_from([EARLIEST, LATEST]),
    on_lost=st.sampled_from([EARLIEST, LATEST]),
)
def test_a_start_lies_in_the_log(
    committed: int | None, *, added: bool, start_from: OffsetPolicy, on_lost: OffsetPolicy
) -> None:
    log = PartitionLog(10, 20, committed)
    assert 10 <= start_of(ZERO, log, added=added, start_from=start_from, on_lost=on_lost).offset <= 20


def test_a_partition_is_added_if_its_topic_was_read_before_it() -> None:
    assert older_partitions(TWO, {ZERO: 5, ONE: 0, OTHER: 7}) == {ZERO, ONE}
    assert older_partitions(ZERO, {ZERO: 5, ONE: 0}) == frozenset(), "it has a commit of its own"
    assert older_partitions(OTHER, {ZERO: 5}) == frozenset(), "a whole topic is new"


def test_it_waits_for_every_older_partition() -> None:
    ends = {ZERO: 5, ONE: 0}
    assert not has_passed({ZERO: 4, ONE: 0}, ends)
    assert not has_passed({ZERO: 5}, ends), "no commit is no sign of having read"
    assert has_passed({ZERO: 5, ONE: 3, TWO: 0}, ends)
