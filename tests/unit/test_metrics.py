"""What the metrics say of what a worker did."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from prometheus_client.exposition import generate_latest

from tests import builders
from tests.builders import TOPIC, record
from tests.fakes.source import FakeSource, Log
from tests.fakes.world import Gate, World
from worker.errors import HaltReason, RejectReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.records import TopicPartition, Verdict
from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger
from worker.runtime.monitor import Monitor
from worker.runtime.tenant_counters import TenantCounters
from worker.settings import MetricsSettings

pytestmark = pytest.mark.virtual_time
ZERO = TopicPartition(TOPIC, 0)
LABELS = {"topic": TOPIC, "partition": "0"}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_histogram_of_freshness_has_an_edge_at_the_promise() -> None:
    metrics = Metrics(MetricsSettings(freshness_slo=7.5))
    assert value(metrics, "syncline_freshness_seconds_bucket", le="7.5") == 0
    assert value(metrics, "syncline_freshness_slo_seconds") == 7.5


def test_what_is_yet_to_happen_has_its_series_already() -> None:
    metrics = Metrics()
    assert {value(metrics, "syncline_dead_letters_total", reason=reason) for reason in RejectReason} == {0}
    assert {value(metrics, "syncline_halts_total", reason=reason) for reason in HaltReason} == {0}


async def test_what_took_longer_than_promised_is_counted_with_its_tenant() -> None:
    world = World()
    now = Clock().wall_ms()
    for number, (tenant, age_ms) in enumerate(
        [("acme", 2_000), ("acme", 11_000), ("globex", 60_000), ("globex", 70_000)]
    ):
        event = builders.event("u", builders.row(number, tenant, url=None), lsn=1 + number, ts_ms=now - age_ms)
        world.append(event, number)
    await world.run_to_the_end()
    assert world.value("syncline_freshness_seconds_count") == 4
    assert world.value("syncline_freshness_missed_total") == 3
    assert world.value("syncline_tenant_freshness_missed_total", tenant="acme") == 1
    assert world.value("syncline_tenant_freshness_missed_total", tenant="globex") == 2


async def test_every_record_with_a_tenant_counts_under_its_tenant() -> None:
    world = World()
    world.upsert(1, "a", lsn=1)
    world.upsert(1, "b", lsn=2)
    world.upsert(2, "c", lsn=3, tenant="globex")
    world.append(b"{", 3)
    await world.run_to_the_end()
    counted = {
        verdict: world.value("syncline_tenant_records_total", tenant="acme", verdict=verdict) for verdict in Verdict
    }
    assert sum(counted.values()) == 2
    assert counted[Verdict.SUPERSEDED] == 1, "the older of two changes of one row"
    assert world.value("syncline_tenant_records_total", tenant="globex", verdict="indexed") == 1


async def test_a_delete_that_tells_no_tenant_counts_under_none() -> None:
    """The place of its key has the key for a tenant: the rows' keys would take the tenants' names from them."""
    world = World()
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    world.append(builders.event("d", None, lsn=2), 1)
    await (later := World(like=world)).run_to_the_end()
    assert later.verdicts == {"deleted": 1}
    assert later.value("syncline_freshness_missed_total") == 1
    for metric in (later.metrics.tenant_records, later.metrics.tenant_freshness_missed):
        assert [sample for family in metric.collect() for sample in family.samples] == []


async def test_a_delete_whose_tenant_is_doubted_counts_under_none() -> None:
    world = World()
    key, event = {"id": 1, "tenant": 0}, builders.event("d", None, lsn=2)
    world.log.append(TopicPartition(TOPIC, 0), orjson.dumps(key), orjson.dumps(event))
    await world.run_to_the_end()
    assert world.verdicts == {"tenant_unknown": 1}
    assert [sample for family in world.metrics.tenant_records.collect() for sample in family.samples] == []


def test_a_tenant_that_loses_its_name_loses_its_series_and_other_gets_nothing_of_it() -> None:
    metrics = Metrics(MetricsSettings(tenants=1))
    counters = TenantCounters(metrics)
    counters.count("first", Verdict.INDEXED, 100)
    counters.missed("first")
    counters.count("second", Verdict.INDEXED, 9_000)
    assert value(metrics, "syncline_tenant_records_total", tenant="other", verdict="indexed") == 9_000
    counters.count("second", Verdict.INDEXED, 900)
    assert value(metrics, "syncline_tenant_records_total", tenant="first", verdict="indexed") is None
    assert value(metrics, "syncline_tenant_freshness_missed_total", tenant="first") is None
    assert value(metrics, "syncline_tenant_records_total", tenant="second", verdict="indexed") == 900
    counters.count("first", Verdict.INDEXED)
    assert value(metrics, "syncline_tenant_records_total", tenant="other", verdict="indexed") == 9_001


def monitored() -> tuple[Log, FakeSource, Ledger, Monitor, Metrics]:
    log, metrics = Log({TOPIC: 1}), Metrics()
    source, ledger = FakeSource(log, [TOPIC]), Ledger(metrics, Clock())
    source._next = {ZERO: 0}
    ledger.begin(0, {ZERO: ""})
    return log, source, ledger, Monitor(source, ledger, metrics, Clock()), metrics


async def test_lag_in_seconds_is_the_age_of_the_oldest_record_in_hand() -> None:
    log, source, ledger, monitor, metrics = monitored()
    log.append(ZERO, b"", b"")
    source._next[ZERO] = 1
    old = Clock().wall_ms() - 90_000
    ledger.admit(record(offset=0, timestamp_ms=old))
    ledger.admit(record(offset=1, timestamp_ms=old + 50_000))
    monitor.update()
    assert value(metrics, "syncline_lag_seconds", **LABELS) == pytest.approx(90, abs=1)
    ledger.resolve(record(offset=0).position, Verdict.INDEXED)
    monitor.update()
    assert value(metrics, "syncline_lag_seconds", **LABELS) == pytest.approx(40, abs=1)
    ledger.resolve(record(offset=1).position, Verdict.INDEXED)
    monitor.update()
    assert value(metrics, "syncline_lag_seconds", **LABELS) == 0


async def test_lag_in_seconds_rises_while_nothing_can_be_fetched() -> None:
    log, _source, _ledger, monitor, metrics = monitored()
    monitor.update()
    await asyncio.sleep(10)
    monitor.update()
    assert value(metrics, "syncline_lag_seconds", **LABELS) == 0
    log.append(ZERO, b"", b"")
    await asyncio.sleep(30)
    monitor.update()
    assert value(metrics, "syncline_lag_seconds", **LABELS) == 30


async def test_a_partition_that_is_taken_away_leaves_nothing_behind() -> None:
    world = World(partitions=2)
    async with world.running():
        await asyncio.sleep(2)
        assert world.value("syncline_assigned_partitions") == 2
        other = World(like=world)
        async with other.running():
            await asyncio.sleep(2)
            assert world.value("syncline_assigned_partitions") == 1
            samples = [
                sample
                for family in world.metrics.registry.collect()
                for sample in family.samples
                if sample.name in {"syncline_lag_records", "syncline_lag_seconds"}
            ]
            assert len(samples) == 2


async def test_what_waits_for_the_lookup_is_measured() -> None:
    world = World()
    world.index.before_lookup = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        world.upsert(2, "x" * 1000, lsn=2)
        await asyncio.sleep(2)
        assert 1000 < world.value("syncline_stage_queue_bytes", stage="lookup") < 3000
        gate.open()
        await world.settle()
        assert world.value("syncline_stage_queue_bytes", stage="lookup") == 0


async def test_bulk_requests_are_counted_by_what_became_of_them() -> None:
    world = World()
    world.index.fail_request(RetryLater(RetryReason.TIMEOUT, "slow"))
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    assert world.value("syncline_bulk_requests_total", outcome="timeout") == 1
    assert world.value("syncline_bulk_requests_total", outcome="answered") == 1


def test_the_totals_at_the_end_are_those_of_the_counters() -> None:
    metrics = Metrics(MetricsSettings())
    for topic, count in (("a", 3), ("b", 2)):
        metrics.consumed.labels(topic).inc(count)
    metrics.records.labels("indexed", "").inc(4)
    metrics.records.labels("skipped", "lost_assignment").inc()
    assert metrics.totals() == {"consumed": 5, "verdicts": {"indexed": 4, "skipped: lost_assignment": 1}}


async def test_metrics_can_be_read_in_another_thread_while_the_worker_runs() -> None:
    """As they are served: what is asked for at that moment must not need the event loop."""
    world = World()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.settle()
        with ThreadPoolExecutor(1) as thread:
            shown = thread.submit(generate_latest, world.metrics.registry).result()
    assert b"syncline_last_progress_timestamp_seconds 1" in shown
    assert b'syncline_stage_queue_bytes{stage="lookup"} 0' in shown
