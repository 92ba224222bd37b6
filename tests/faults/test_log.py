"""What a log may hold and how it may come: garbage, repetitions, any order, changed keys, transactions left open."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests import builders
from tests.e2e.process import until
from tests.faults.conftest import NewStage
from tests.faults.stage import PARTITIONS, TENANTS, Change, Stage
from tests.threads import beside

pytestmark = pytest.mark.needs_jvm


def test_records_that_are_no_events_are_put_aside_and_committed(healthy: Stage) -> None:
    before = len(healthy.dead_letters())
    key = b'{"tenant":"acme","id":1}'
    truncated = builders.event("t", None, None)
    no_position = builders.event("c", builders.row(400, published=None), lsn="nowhere")
    poison = [b"\xff\xfe garbage", b'{"op":"c"', b"\x00\x00\x00\x00\x07avro of an unknown schema", b"[]", b'"text"']
    poison += [json.dumps(truncated).encode(), json.dumps(no_position).encode()]
    healthy.send_raw(*((key, value, number % PARTITIONS) for number, value in enumerate(poison)))
    healthy.send_rows(range(401, 405))
    healthy.quiesce()
    letters = healthy.dead_letters()[before:]
    assert len(letters) == len(poison)
    reasons = {one["syncline-reason"] for one in letters}
    assert reasons == {"invalid_json", "not_an_event", "unsupported_operation", "position_invalid"}


@contextlib.contextmanager
def reading(stage: Stage) -> Iterator[None]:
    """Read what all tenants can see while the block runs: always the same."""
    shown = seen(stage)
    others: list[set[tuple[str, int]]] = []

    def read(stopping: threading.Event) -> None:
        while not stopping.wait(0.05):
            if (now := seen(stage)) != shown:
                others.append(now ^ shown)

    with beside(read, "reader"):
        yield
    assert not others, "a deleted, moved or older row was seen"


def seen(stage: Stage) -> set[tuple[str, int]]:
    return {(found.id, found.version) for found in stage.index.visible()}


def history(chance: random.Random, rows: int, steps: int) -> list[Change]:
    """Rows are inserted, changed, moved, deleted and inserted again."""
    tenants: dict[int, str] = {}
    changes = []
    for step in range(steps):
        row, tenant = chance.randrange(rows), chance.choice(TENANTS)
        former = tenants.get(row)
        if former is None:
            changes.append(Change(row, f"inserted {step}", tenant))
            tenants[row] = tenant
        elif chance.random() < 0.2:
            changes.append(Change(row, None, former))
            del tenants[row]
        else:
            changes.append(Change(row, f"changed {step}", tenant, left=former if former != tenant else None))
            tenants[row] = tenant
    return changes


def test_a_replay_of_the_whole_topic_embeds_nothing_and_shows_nothing_old(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.block(**{"index.gc_deletes": "1s"})
    stage.worker.start()
    for change in history(random.Random(30), rows=40, steps=300):
        stage.send(change)
    stage.quiesce()
    assert stage.worker.terminate(within_s=10) == 0
    time.sleep(1.5)
    stage.background.run(commit(stage, 0))
    with reading(stage):
        stage.worker.start()
        stage.quiesce()
    again = stage.scrape()
    assert again.consumed == len(stage.changes)
    assert again.total("syncline_embedded_texts_total") == 0
    verdicts = again.by("syncline_records_total", "verdict")
    assert verdicts == {"superseded": len(stage.changes)}


def test_a_replay_without_moves_writes_nothing_at_all(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(100))
    stage.send_rows(range(50), "changed")
    stage.send(*(Change(number, None) for number in range(20)))
    stage.quiesce()
    assert stage.worker.terminate(within_s=10) == 0
    stage.background.run(commit(stage, 0))
    stage.worker.start()
    stage.quiesce()
    again = stage.scrape()
    assert again.consumed == again.total("syncline_records_total", verdict="superseded") == len(stage.changes)
    assert again.total("syncline_bulk_bytes_total") == again.total("syncline_embedded_texts_total") == 0


async def commit(stage: Stage, offset: int) -> None:
    """As a tool that resets a group does, while nobody is in it."""
    bootstrap = stage.servers.kafka
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=stage.name, enable_auto_commit=False) as consumer:
        partitions = [TopicPartition(stage.topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, offset))


def test_in_any_order_over_partitions_and_workers_the_newest_wins(new_stage: NewStage) -> None:
    stage = new_stage()
    second = stage.add_worker()
    stage.worker.start()
    second.start()
    chance = random.Random(31)
    changes = [
        Change(chance.randrange(20), f"version {version}" if chance.random() > 0.2 else None, version=version)
        for version in range(1, 301)
    ]
    chance.shuffle(changes)
    partitions = [chance.randrange(PARTITIONS) for _ in changes]
    for number in range(0, len(changes), 50):
        stage.send(
            *(
                Change(one.id, one.title, version=one.version, partition=partition)
                for one, partition in list(zip(changes, partitions, strict=True))[number : number + 50]
            )
        )
    stage.quiesce()
    assert stage.scrape().consumed > 0
    assert second.scrape().consumed > 0


def test_an_old_change_after_the_index_has_forgotten_the_delete_revives_nothing(healthy: Stage) -> None:
    healthy.block(**{"index.gc_deletes": "1s"})
    (inserted,) = healthy.send(Change(420, "alive"))
    healthy.send(Change(420, None))
    healthy.settle()
    time.sleep(2)
    healthy.send(Change(420, "a ghost", version=inserted.version))
    healthy.quiesce()
    assert healthy.index.visible({"ids": {"values": ["acme/articles/420"]}}) == []
    # With a higher version it is a row again, once.
    healthy.send(Change(420, "alive again"))
    healthy.quiesce()


@pytest.mark.parametrize("created_first", [True, False], ids=["created first", "deleted first"])
def test_a_changed_key_in_either_order_of_its_halves_leaves_the_new_row_alone(
    healthy: Stage,
    created_first: bool,  # noqa: FBT001
) -> None:
    old = 430 + 10 * created_first
    healthy.send(Change(old, "a row"))
    healthy.settle()
    (version,) = {change.version + 1 for change in healthy.changes if change.id == old}
    created = Change(old + 1, "a row", version=version, partition=0)
    deleted = Change(old, None, version=version, partition=1)
    for half in (created, deleted) if created_first else (deleted, created):
        healthy.send(half)
        healthy.settle()
    healthy.check()
    shown = healthy.index.visible({"ids": {"values": [f"acme/articles/{old + one}" for one in (0, 1)]}})
    assert [found.id for found in shown] == [f"acme/articles/{old + 1}"]


def test_what_a_transaction_aborts_is_never_indexed_and_what_it_holds_up_is_seen(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(2))
    stage.settle()
    producer = stage.background.run(begin(stage))
    try:
        unwritten = Change(10, "aborted", version=5)
        stage.background.run(send(producer, stage, unwritten))
        # Behind the open transaction in one partition, and beside it in the other.
        stage.send_rows(range(10, 14), "waits")
        until(
            lambda: {found.id for found in stage.index.visible()} >= {"acme/articles/11", "acme/articles/13"},
            "the other partition waits as well",
        )
        time.sleep(1)
        assert not stage.index.visible({"ids": {"values": ["acme/articles/10", "acme/articles/12"]}})
        stage.until(lambda now: now.total("syncline_lag_records", partition="0") >= 3, "the lag tells of it")
        assert stage.worker.is_live(), "a restart would mend nothing"
    finally:
        stage.background.run(producer.abort_transaction())
        stage.background.run(producer.stop())
    stage.quiesce()


async def begin(stage: Stage) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(bootstrap_servers=stage.servers.kafka, transactional_id=stage.name)
    await producer.start()
    await producer.begin_transaction()
    return producer


async def send(producer: AIOKafkaProducer, stage: Stage, change: Change) -> None:
    key, value, partition = change.record()
    await producer.send_and_wait(stage.topic, value, key=key, partition=partition)


def test_a_hot_tenant_in_one_partition_does_not_keep_the_others_waiting(new_stage: NewStage) -> None:
    """The client hands out all that it has fetched of one partition before the next: so much they may wait."""
    stage = new_stage(batch={"max_in_flight": "1MiB"}, kafka={"fetch_max_bytes": "64KiB"})
    stage.model.set("slow", 1.5)
    hot = [Change(2 * number, f"hot {number}") for number in range(1500)]
    stage.send(*hot)
    stage.worker.start()
    stage.until(lambda now: now.resolved > 50, "nothing is done")
    stage.send(*(Change(2 * number + 1, "cold", TENANTS[1]) for number in range(10)))
    cold = {"term": {"tenant": TENANTS[1]}}
    until(lambda: stage.index.count(cold) == 10, lambda: stage.worker.told("the others wait"))
    done = stage.index.count({"term": {"tenant": TENANTS[0]}})
    print(f"{done} of {len(hot)} of the hot tenant's rows were done by then")  # noqa: T201
    assert done < len(hot), "they had to wait for all of it"
    stage.model.set("")
    stage.quiesce()
