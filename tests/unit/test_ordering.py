from dataclasses import replace

import pytest

from tests.builders import change, deletion, record, stored
from worker.records import Change, LogPlace, Stored
from worker.stages.ordering import comes_too_late, is_undecided, version_of_unpositioned

EPOCH = 1 << 56


def at(offset: int, version: int, *, watermark: int = 0, positioned: bool = True, partition: int = 0) -> Change:
    of = record(offset=offset)
    of = replace(of, position=of.position._replace(partition=partition))
    return replace(change(version, positioned=positioned, of=of), watermark=watermark)


def snapshot(offset: int, watermark: int, *, partition: int = 0) -> Change:
    return at(offset, watermark, watermark=watermark, positioned=False, partition=partition)


def held(version: int, offset: int, watermark: int, *, partition: int = 0) -> Stored:
    """A document that was written by a late commit, or by a row of a snapshot."""
    topic = record().position.topic
    return replace(stored(version), log_place=LogPlace(topic, partition, offset, watermark))


@pytest.mark.parametrize(("version", "late"), [(4, True), (5, True), (6, False)])
def test_a_positioned_change_must_be_newer(version: int, *, late: bool) -> None:
    assert comes_too_late(change(version), stored(5)) is late


@pytest.mark.parametrize(("watermark", "late"), [(4, True), (5, False), (6, False)])
def test_a_row_of_a_snapshot_comes_too_late_if_its_partition_had_not_got_so_far(watermark: int, *, late: bool) -> None:
    assert comes_too_late(snapshot(9, watermark), stored(5)) is late


def test_what_commits_behind_a_snapshot_is_newer_though_its_position_is_lower_than_the_watermark() -> None:
    row = held(5, offset=7, watermark=9)
    assert not comes_too_late(at(8, 6, watermark=9), row)
    assert not comes_too_late(at(8, 20, watermark=9), row)


def test_what_is_sent_again_behind_a_snapshot_stays_older() -> None:
    assert comes_too_late(at(8, 5, watermark=9), held(5, offset=7, watermark=9))


def test_what_stood_before_a_snapshot_is_older_though_the_row_was_not_known_to_have_its_position() -> None:
    assert comes_too_late(at(6, 8), held(5, offset=7, watermark=9))
    assert comes_too_late(at(6, 8, watermark=9), held(5, offset=7, watermark=9))


def test_a_snapshot_that_is_read_again_comes_too_late_for_what_committed_behind_it() -> None:
    late_commit = held(6, offset=8, watermark=9)
    assert comes_too_late(snapshot(7, 9), late_commit)
    assert comes_too_late(snapshot(8, 9), late_commit), "it is this very record"
    assert not comes_too_late(snapshot(9, 9), late_commit), "a later snapshot"


def test_offsets_of_other_partitions_say_nothing() -> None:
    row = held(5, offset=7, watermark=9, partition=1)
    assert not comes_too_late(at(6, 8), row)
    assert not comes_too_late(snapshot(6, 9), row)
    assert comes_too_late(snapshot(8, 8), row)


def test_in_a_log_that_was_begun_anew_a_low_offset_does_not_make_a_change_older() -> None:
    assert not comes_too_late(at(0, 12), held(5, offset=7, watermark=9))
    assert not comes_too_late(snapshot(0, 12), held(5, offset=7, watermark=9))


def test_a_watermark_that_was_lost_does_not_make_a_positioned_change_older() -> None:
    assert not comes_too_late(at(8, 6, watermark=0), held(5, offset=7, watermark=9))


def test_below_a_snapshots_watermark_only_what_is_stored_tells_what_is_newer() -> None:
    row = snapshot(7, 9)
    assert is_undecided(row, at(8, 6))
    assert is_undecided(row, at(8, 9))
    assert not is_undecided(row, at(8, 10))
    assert not is_undecided(row, snapshot(8, 9))
    assert not is_undecided(at(7, 9), at(8, 6))
    assert not is_undecided(at(7, 6), row)


def test_a_row_of_a_snapshot_takes_the_highest_version_that_it_is_known_to_have_had() -> None:
    row = replace(snapshot(7, 9), hides=6)
    assert version_of_unpositioned(row, [stored(5), stored(4, deleted=True)]) == 6
    assert version_of_unpositioned(row, [stored(7), stored(4)]) == 7


def test_where_nothing_is_known_of_the_row_everything_of_its_epoch_is_newer() -> None:
    assert version_of_unpositioned(snapshot(7, 9), []) == 0
    assert version_of_unpositioned(snapshot(7, 3 * EPOCH + 9), []) == 3 * EPOCH


def test_a_delete_without_a_position_is_ordered_as_a_row_of_a_snapshot() -> None:
    gone = replace(deletion(9, positioned=False), record=record(offset=7))
    assert comes_too_late(gone, held(6, offset=8, watermark=9))
    assert not comes_too_late(gone, stored(9))
