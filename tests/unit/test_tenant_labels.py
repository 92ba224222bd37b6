import random

from hypothesis import given
from hypothesis import strategies as st

from worker.stages.tenant_labels import OTHER, TenantLabels

_STREAMS = st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(1, 5)), max_size=300)


def test_the_first_tenants_have_names_and_the_rest_has_none() -> None:
    labels = TenantLabels(2)
    for tenant in ("acme", "globex", "initech"):
        labels.seen(tenant)
    assert [labels.label(tenant) for tenant in ("acme", "globex", "initech")] == ["acme", "globex", OTHER]


def test_a_tenant_with_more_than_twice_the_traffic_takes_a_name_at_the_end_of_a_window() -> None:
    labels = TenantLabels(2, window=100)
    lost = [*labels.seen("quiet", 10), *labels.seen("busy", 60), *labels.seen("late", 25)]
    assert lost == []
    assert labels.label("late") == OTHER
    assert labels.seen("busy", 5) == ["quiet"]
    assert [labels.label(tenant) for tenant in ("quiet", "busy", "late")] == [OTHER, "busy", "late"]


def test_a_little_more_traffic_changes_no_name() -> None:
    labels = TenantLabels(1, window=100)
    labels.seen("first", 40)
    assert labels.seen("second", 80) == []
    assert labels.label("first") == "first"


def test_former_traffic_is_forgotten_by_and_by() -> None:
    labels = TenantLabels(1, window=100)
    labels.seen("yesterday", 100)
    lost = [former for _ in range(6) for former in labels.seen("today", 100)]
    assert lost == ["yesterday"]


def test_the_busiest_of_very_many_tenants_are_found() -> None:
    labels, chance = TenantLabels(5, window=2_000), random.Random(1)
    busy = [f"busy-{number}" for number in range(5)]
    for number in range(40_000):
        labels.seen(chance.choice(busy) if number % 3 else f"small-{chance.randrange(10_000)}")
        assert len(labels._traffic) <= 50
    assert [labels.label(tenant) for tenant in busy] == busy


def test_a_tenant_called_other_is_one_of_the_others() -> None:
    labels = TenantLabels(1)
    labels.seen(OTHER)
    labels.seen("acme")
    assert (labels.label(OTHER), labels.label("acme")) == (OTHER, "acme")


@given(_STREAMS, st.integers(0, 4))
def test_names_are_bounded_and_each_that_is_lost_was_had(stream: list[tuple[str, int]], limit: int) -> None:
    labels = TenantLabels(limit, window=100)
    for tenant, records in stream:
        named = set(labels._named)
        lost = labels.seen(tenant, records)
        assert set(lost) <= named | {tenant}
        assert not set(lost) & labels._named
        assert (named | {tenant}) - set(lost) - {tenant} <= labels._named
        assert len(labels._named) <= limit
        assert len(labels._traffic) <= 10 * limit
