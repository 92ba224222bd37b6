"""Which offsets a check reads."""

from hypothesis import given
from hypothesis import strategies as st

from worker.records import TopicPartition
from worker.stages.sampling import Extent, Span, chosen_spans

EXTENTS = st.dictionaries(
    st.builds(TopicPartition, st.just("t"), st.integers(0, 20)),
    st.builds(lambda first, size: Extent(first, first + size), st.integers(0, 10**6), st.integers(0, 300)),
    max_size=12,
)


def offsets(spans: list[Span]) -> list[tuple[TopicPartition, int]]:
    return [(partition, offset) for partition, start, stop in spans for offset in range(start, stop)]


@given(EXTENTS, st.integers(1, 500))
def test_the_budget_is_used_up_and_not_exceeded(extents: dict[TopicPartition, Extent], budget: int) -> None:
    read = offsets(chosen_spans(extents, budget))
    assert len(read) == len(set(read)) == min(budget, sum(extent.size for extent in extents.values()))


@given(EXTENTS, st.integers(1, 500))
def test_only_what_a_partition_holds_is_read(extents: dict[TopicPartition, Extent], budget: int) -> None:
    for partition, start, stop in chosen_spans(extents, budget):
        assert extents[partition].first <= start < stop <= extents[partition].end


@given(EXTENTS, st.integers(12, 500))
def test_the_newest_record_of_every_partition_is_read(extents: dict[TopicPartition, Extent], budget: int) -> None:
    read = set(offsets(chosen_spans(extents, budget)))
    assert all((partition, extent.end - 1) in read for partition, extent in extents.items() if extent.size)


@given(EXTENTS, st.integers(12 * 10, 500))
def test_so_is_the_oldest_where_there_is_room(extents: dict[TopicPartition, Extent], budget: int) -> None:
    read = set(offsets(chosen_spans(extents, budget)))
    assert all((partition, extent.first) in read for partition, extent in extents.items() if extent.size)


def test_a_long_partition_gives_a_fifth_from_its_beginning() -> None:
    partition = TopicPartition("t", 0)
    spans = chosen_spans({partition: Extent(1000, 9000)}, 200)
    assert spans == [Span(partition, 1000, 1040), Span(partition, 8840, 9000)]


def test_what_short_partitions_leave_goes_to_the_long_ones() -> None:
    short, long = TopicPartition("t", 0), TopicPartition("t", 1)
    spans = chosen_spans({short: Extent(0, 3), long: Extent(0, 1000)}, 20)
    assert spans == [Span(short, 0, 3), Span(long, 0, 3), Span(long, 986, 1000)]
