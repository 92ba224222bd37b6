import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import change, deletion, place
from worker.records import DocumentWrite, ItemResponse
from worker.stages.bulk import Again, Done, Refused, Stop, judge, split
from worker.stages.documents import document, tombstone

sizes = st.lists(st.integers(0, 20), max_size=30)
bounds = st.integers(1, 25)
WRITES = [document(change(), {}, None, "m", None), tombstone(deletion(), place(), 0)]


@given(sizes, bounds, bounds)
def test_nothing_is_lost_and_the_order_stays(given_sizes: list[int], max_bytes: int, max_count: int) -> None:
    ranges = list(split(given_sizes, max_bytes, max_count))
    assert [index for one in ranges for index in one] == list(range(len(given_sizes)))
    assert all(ranges)


@given(sizes, bounds, bounds)
def test_only_one_item_alone_may_exceed_the_bounds(given_sizes: list[int], max_bytes: int, max_count: int) -> None:
    for one in split(given_sizes, max_bytes, max_count):
        assert len(one) <= max_count
        assert len(one) == 1 or sum(given_sizes[index] for index in one) <= max_bytes


@given(sizes, bounds, bounds)
def test_no_range_ends_before_it_must(given_sizes: list[int], max_bytes: int, max_count: int) -> None:
    for one, following in itertools.pairwise(split(given_sizes, max_bytes, max_count)):
        total = sum(given_sizes[index] for index in (*one, following.start))
        assert total > max_bytes or len(one) == max_count


@given(st.sampled_from(WRITES), st.integers(100, 599), st.text(max_size=20), st.text(max_size=20))
def test_every_response_means_something_and_only_success_or_a_conflict_is_done(
    write: DocumentWrite, status: int, kind: str, reason: str
) -> None:
    judgement = judge(write, ItemResponse(status, kind, reason))
    assert isinstance(judgement, Done) is (status in {200, 201, 409})
    if not isinstance(judgement, Done):
        assert isinstance(judgement, (Again, Refused, Stop))
        assert judgement.message == f"{kind}: {reason}"
