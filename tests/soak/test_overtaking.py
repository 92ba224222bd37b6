"""Changes that arrive twice, in the wrong order, or late from a worker that was thought dead: nothing regresses.

Two workers, real servers, and a reader who samples all tenants' views all the while (`tests.soak.reader`).
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer

from tests.e2e.nursery import Nursery
from tests.servers.start import Servers
from tests.soak.direct import Direct, Event, direct, producer
from tests.soak.fleet import Fleet
from tests.soak.pages import every_document
from tests.soak.reader import Reader, add_tenant_aliases
from tests.soak.report import Report
from tests.soak.surroundings import tiny_model

pytestmark = [pytest.mark.needs_jvm, pytest.mark.timeout(600)]

PARTITIONS: Final = 3
TENANTS: Final = tuple(f"tenant-{number}" for number in range(6))
ROWS: Final = 60
EVENTS: Final = 2000
SECONDS: Final = 20
SESSION_S: Final = 6
Delivery = tuple[Event, int]
"""A change, and the partition that it is written to."""


Deliver = Callable[[Sequence[Event], random.Random], list[Delivery]]
DELIVERY: Final = {"drain_timeout": "4s", "retry_max": "1s"}


def history(chance: random.Random) -> Iterator[Event]:
    """Rows that are inserted, changed, moved, deleted and inserted again, often."""
    where: dict[int, str | None] = {}
    for revision in range(1, EVENTS + 1):
        id_ = chance.randint(1, ROWS)
        left = where.get(id_)
        gone = left is not None and chance.random() < 0.15
        tenant = left if left is not None and (gone or chance.random() < 0.7) else chance.choice(TENANTS)
        where[id_] = None if gone else tenant
        yield Event(id_, tenant, revision, None if gone else f"change {revision}", "some text", left)


def in_order(events: Sequence[Event], _: random.Random) -> list[Delivery]:
    return [(event, event.id % PARTITIONS) for event in events]


def duplicated(events: Sequence[Event], chance: random.Random) -> list[Delivery]:
    """As a connector does that starts again: whole stretches come a second time, and a third."""
    delivered: list[Delivery] = []
    for number, event in enumerate(events):
        delivered.append((event, event.id % PARTITIONS))
        if chance.random() < 0.02:
            delivered += [(again, again.id % PARTITIONS) for again in events[max(0, number - 60) : number + 1]]
    return delivered


def reordered(events: Sequence[Event], chance: random.Random) -> list[Delivery]:
    """Any partition for any change, and in each an order that is wrong by up to a hundred places."""
    places = sorted(range(len(events)), key=lambda number: number + chance.uniform(0, 100))
    return [(events[number], chance.randrange(PARTITIONS)) for number in places]


@pytest.mark.parametrize("deliver", [duplicated, reordered, in_order], ids=["duplicated", "reordered", "zombie"])
def test_nothing_regresses(deliver: Deliver, servers: Servers, nursery: Nursery, tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    report = Report(f"Overtaking, SOAK_SEED={seed}", tmp_path / "report")
    report.log(f"SOAK_SEED={seed}")
    chance = random.Random(seed)
    events = list(history(chance))
    deliveries = deliver(events, chance)
    built = direct(servers, tmp_path / "direct", partitions=PARTITIONS, model=tiny_model(), delivery=DELIVERY)
    add_tenant_aliases(built.index.url, built.index.alias, TENANTS)
    fleet = Fleet(built.config, 2, nursery, report, servers.kafka, [built.topic])
    reader = Reader(built.index.url, built.index.alias, TENANTS, report, seed)
    try:
        for number in range(2):
            fleet.start(number)
        with fleet.watched(), reader.running(0.1):
            writing = threading.Thread(target=lambda: asyncio.run(write(servers.kafka, built, deliveries)))
            writing.start()
            if deliver is in_order:
                freeze_in_turn(fleet, report)
            writing.join()
            fleet.settle(120)
        reader.sample()
        fleet.account(len(deliveries))
    finally:
        fleet.kill_all()
    assert not report.violations
    assert left(built) == folded(events)
    # It was hard: rows did leave tenants before the reader's eyes, and changes did come late.
    assert reader.disappeared > 10
    assert any(life.verdicts["superseded"] for life in fleet.lives)


async def write(bootstrap: str, built: Direct, deliveries: Sequence[Delivery]) -> None:
    """Write them in this order, over some seconds."""
    async with producer(bootstrap) as sender:
        begin = time.monotonic()
        for number, (event, partition) in enumerate(deliveries):
            await _send(sender, built.topic, event, partition)
            await asyncio.sleep(max(0, begin + number * SECONDS / len(deliveries) - time.monotonic()))


async def _send(sender: AIOKafkaProducer, topic: str, event: Event, partition: int) -> None:
    key, value = event.record()
    await sender.send(topic, key=key, value=value, partition=partition)


def freeze_in_turn(fleet: Fleet, report: Report) -> None:
    """Each worker once, for longer than its session: others take over, and it wakes up with work in its hands."""
    for number, worker in enumerate(fleet.workers):
        time.sleep(2)
        pid = worker.pid
        report.log(f"worker {number} is frozen")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(SESSION_S + 3)
        finally:
            os.kill(pid, signal.SIGCONT)
        report.log(f"worker {number} is awake")


def folded(events: Sequence[Event]) -> dict[str, tuple[int, str]]:
    """Revision and title of every row that is left, by document id."""
    newest = {event.id: event for event in events}
    return {event.document_id: (event.revision, event.title) for event in newest.values() if event.title is not None}


def left(built: Direct) -> dict[str, tuple[int, str]]:
    """What the index has, tombstones left out."""
    found = every_document(built.index.url, f"{built.name}-v000001", ["title", "sync.deleted"])
    return {one.id: (one.version, one.body["title"]) for one in found if not one.body["sync"].get("deleted")}
