from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import change, deletion
from worker.records import Change, Operation
from worker.stages.coalesce import coalesce
from worker.stages.ordering import is_refused

tenants = st.sampled_from(["a", "b", "c"])
NAMES = ("title", "content")


@st.composite
def changes(draw: st.DrawFn, version: st.SearchStrategy[int] | None = None) -> Change:
    """Any change of one row, whatever it claims to know."""
    tenant = draw(tenants)
    number = draw(version or st.integers(1, 6))
    left = draw(st.sets(tenants.filter(lambda other: other != tenant)))
    if draw(st.booleans()):
        return deletion(number, tenant=tenant, left=left)
    absent = draw(st.sets(st.sampled_from(NAMES)))
    fields = {name: draw(st.integers(0, 99)) for name in NAMES if name not in absent}
    return change(number, tenant=tenant, left=left, fields=fields, absent=absent, positioned=draw(st.booleans()))


sequences = st.lists(changes(), min_size=1, max_size=8)


def rising(given_changes: list[Change]) -> list[Change]:
    """A log whose versions rise, without what would be refused."""
    log: list[Change] = []
    for one in sorted(given_changes, key=lambda one: one.version):
        if not log or not is_refused(one, log[-1].version):
            log.append(one)
    return log


@given(sequences)
def test_of_the_newest_by_version_the_last_unpositioned_one_wins_or_else_the_first(given_changes: list[Change]) -> None:
    found = reduce(coalesce, given_changes)
    highest = max(one.version for one in given_changes)
    newest = [one for one in given_changes if one.version == highest]
    unpositioned = [one for one in newest if not one.positioned]
    newest_one = unpositioned[-1] if unpositioned else newest[0]
    assert found.record is newest_one.record
    check_values(found, newest_one)


@given(sequences, st.data())
def test_a_store_ends_up_with_the_same_change_however_they_fall_into_batches(
    given_changes: list[Change], data: st.DataObject
) -> None:
    """The rule by which changes meet while they wait is the one by which they meet what is stored."""
    stored: Change | None = None
    rest = given_changes
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batch, rest = reduce(coalesce, rest[:size]), rest[size:]
        if stored is None or not is_refused(batch, stored.version):
            stored = batch
    assert stored is not None
    assert stored.record is reduce(coalesce, given_changes).record


def check_values(found: Change, newest: Change) -> None:
    assert (found.version, found.operation, found.place) == (newest.version, newest.operation, newest.place)
    assert (found.positioned, found.key, found.source_ts_ms) == (newest.positioned, newest.key, newest.source_ts_ms)


@given(sequences)
def test_every_place_mentioned_is_either_the_winners_or_left(given_changes: list[Change]) -> None:
    found = reduce(coalesce, given_changes)
    mentioned = {one.place for one in given_changes}.union(*(one.left for one in given_changes))
    assert found.left == mentioned - {found.place}


@given(sequences)
def test_what_the_winner_says_itself_is_never_replaced(given_changes: list[Change]) -> None:
    found = reduce(coalesce, given_changes)
    newest = next(one for one in given_changes if one.record is found.record)
    assert newest.fields.items() <= found.fields.items()
    assert found.fields.keys().isdisjoint(found.absent)
    assert found.fields.keys() | found.absent == newest.fields.keys() | newest.absent


@given(sequences)
def test_a_value_filled_in_is_the_last_one_before_the_winner_since_the_row_was_last_deleted(
    given_changes: list[Change],
) -> None:
    """In the order of the log, with rising versions, as one row's changes come."""
    log = rising(given_changes)
    found = reduce(coalesce, log)
    expected: dict[str, object] = {}
    for one in log:
        expected = {} if one.operation is Operation.DELETE else {**expected, **one.fields}
    assert found.fields == expected


@given(sequences)
def test_a_filled_in_value_never_comes_from_a_change_after_the_winner_in_the_log(given_changes: list[Change]) -> None:
    found = reduce(coalesce, given_changes)
    index = next(number for number, one in enumerate(given_changes) if one.record is found.record)
    assert found.fields == reduce(coalesce, given_changes[: index + 1]).fields


@given(changes(), changes(), changes())
def test_winner_and_places_do_not_depend_on_what_is_joined_first(one: Change, two: Change, three: Change) -> None:
    left = coalesce(coalesce(one, two), three)
    right = coalesce(one, coalesce(two, three))
    assert (left.record, left.left) == (right.record, right.left)
    assert left.record is right.record


@given(
    st.lists(
        changes().filter(lambda one: one.operation is Operation.UPSERT),
        min_size=3,
        max_size=3,
        unique_by=lambda one: one.version,
    )
)
def test_nor_do_the_values_where_versions_rise_and_no_delete_lies_between(given_changes: list[Change]) -> None:
    one, two, three = rising(given_changes)
    assert coalesce(coalesce(one, two), three) == coalesce(one, coalesce(two, three))


@given(changes())
def test_a_repeated_change_changes_nothing(one: Change) -> None:
    assert coalesce(one, one) == one


@given(sequences)
def test_the_given_changes_stay_as_they_are(given_changes: list[Change]) -> None:
    before = [(dict(one.fields), one.left, one.absent) for one in given_changes]
    reduce(coalesce, given_changes)
    assert [(one.fields, one.left, one.absent) for one in given_changes] == before
