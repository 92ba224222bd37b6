import pytest

from worker.stages.offsets import Committable, PartitionProgress, parse_watermark, watermark_text


def fetched(*offsets: int, watermark: int = 0) -> PartitionProgress:
    progress = PartitionProgress(watermark)
    for offset in offsets:
        progress.fetched(offset, size=10, now=float(offset))
    return progress


def test_nothing_is_committable_before_the_first_record_is_resolved() -> None:
    assert fetched().committable is None
    assert fetched(5, 6).committable is None


def test_one_unresolved_record_is_a_wall() -> None:
    progress = fetched(5, 6, 7)
    progress.resolve(6)
    progress.resolve(7)
    assert progress.committable is None
    progress.resolve(5)
    assert progress.committable == Committable(8, 0)


def test_gaps_in_the_log_are_no_walls() -> None:
    """Compaction and transaction markers take offsets that no record has."""
    progress = fetched(5, 9, 100)
    progress.resolve(5)
    assert progress.committable == Committable(6, 0)
    progress.resolve(9)
    assert progress.committable == Committable(10, 0)


def test_resolving_gives_the_size_back_once() -> None:
    progress = fetched(5)
    assert progress.resolve(5) == 10
    assert progress.resolve(5) is None
    assert progress.resolve(4) is None


def test_the_watermark_beside_an_offset_is_that_of_the_records_before_it() -> None:
    progress = PartitionProgress(watermark=3)
    for offset, version in enumerate([5, 20, 10]):
        progress.fetched(offset, 1, 0.0)
        progress.saw_version(version)
    assert progress.watermark == 20
    progress.resolve(0)
    assert progress.committable == Committable(1, 5)  # not 20: a restart reads that record again
    progress.resolve(1)
    assert progress.committable == Committable(2, 20)
    progress.resolve(2)
    assert progress.committable == Committable(3, 20)


def test_a_restart_goes_on_with_the_same_watermark() -> None:
    progress = PartitionProgress(watermark=parse_watermark(watermark_text(7)))
    progress.fetched(5, 1, 0.0)
    assert progress.watermark == 7
    progress.resolve(5)
    assert progress.committable == Committable(6, 7)


def test_the_oldest_open_record_is_the_first_unresolved_one() -> None:
    progress = fetched(5, 6, 7)
    assert (progress.oldest_fetched_at, progress.open_records) == (5.0, 3)
    progress.resolve(6)
    assert (progress.oldest_fetched_at, progress.open_records) == (5.0, 2)
    progress.resolve(5)
    assert (progress.oldest_fetched_at, progress.open_records) == (7.0, 1)
    progress.resolve(7)
    assert (progress.oldest_fetched_at, progress.open_records) == (None, 0)


@pytest.mark.parametrize("watermark", [0, 1, 24316176, 127 << 56 | (1 << 56) - 1])
def test_a_watermark_survives_as_text(watermark: int) -> None:
    assert parse_watermark(watermark_text(watermark)) == watermark


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "watermark=",
        "watermark=-1",
        "watermark=+1",
        "watermark= 1",
        "watermark=1.5",
        "watermark=1_000",
        "watermark=٣",
        "watermark=²",
        "watermark=0x10",
        "watermark=None",
        "Watermark=1",
        "watermark=watermark=1",
        "1",
        "somebody else's note",
        "\x00",
        "watermark=9223372036854775808",  # more than Elasticsearch takes as a version
        "watermark=" + "9" * 5000,  # more than Python reads as a number
    ],
)
def test_metadata_that_is_no_watermark_is_0_which_errs_to_the_safe_side(metadata: str) -> None:
    assert parse_watermark(metadata) == 0


def test_where_reading_goes_on_counts_only_when_nothing_is_open() -> None:
    progress = PartitionProgress()
    progress.passed(4)
    assert progress.committable == Committable(4, 0), "a partition without records gets a commit as well"
    progress.fetched(4, 1, 0.0)
    progress.passed(7)
    assert progress.committable == Committable(4, 0), "the record is open"
    progress.resolve(4)
    assert progress.committable == Committable(5, 0)
    progress.passed(7)
    assert progress.committable == Committable(7, 0)


def test_reading_may_go_on_further_back() -> None:
    """A topic that was created anew: by policy it is read from its begin."""
    progress = PartitionProgress()
    progress.passed(100)
    progress.passed(0)
    assert progress.committable == Committable(0, 0)
