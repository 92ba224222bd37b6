"""The worker is killed again and again, at whatever it is doing, while the tables go on changing."""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.checks import check_index
from tests.e2e.nursery import Nursery
from tests.e2e.process import WorkerProcess, until
from tests.e2e.scene import Scene, Table, scene
from tests.e2e.workload import TENANTS, Workload
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm

KILLS = 20
Moment = Callable[[WorkerProcess, random.Random], None]


def starting(_: WorkerProcess, chance: random.Random) -> None:
    """Settings, model, connections, joining the group."""
    time.sleep(chance.uniform(0, 1.5))


def ready(worker: WorkerProcess, chance: random.Random) -> None:
    """The group has just been joined."""
    worker.wait_ready()
    time.sleep(chance.uniform(0, 0.05))


def first_batch(worker: WorkerProcess, chance: random.Random) -> None:
    """Records have come, and little has happened to them."""
    wait_for(worker, "syncline_records_consumed_total")
    time.sleep(chance.uniform(0, 0.1))


def embedding(worker: WorkerProcess, chance: random.Random) -> None:
    """The model is at work."""
    wait_for(worker, "syncline_embedded_texts_total")
    time.sleep(chance.uniform(0, 0.1))


def sending(worker: WorkerProcess, chance: random.Random) -> None:
    """Bulk requests are on their way, or have arrived and nobody knows."""
    wait_for(worker, "syncline_bulk_bytes_total")
    time.sleep(chance.uniform(0, 0.03))


def committing(worker: WorkerProcess, chance: random.Random) -> None:
    """Around the first commit, or one of those that follow."""
    wait_for(worker, "syncline_commits_total")
    time.sleep(chance.choice((0, chance.uniform(0, 0.02), chance.uniform(0.95, 1.05))))


MOMENTS: tuple[Moment, ...] = (starting, first_batch, embedding, sending, committing, ready)


def wait_for(worker: WorkerProcess, counter: str) -> None:
    """Wait until a counter of this run is above zero."""
    worker.wait_ready()
    until(lambda: worker.scrape().total(counter) > 0, lambda: worker.told(f"{counter} stays at 0"), 30, every_s=0.005)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    opened = Nursery(tmp_path / "nursery.log")
    yield opened
    opened.close()


@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_ends_with_the_index_as_the_tables_are(
    servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path, nursery: Nursery
) -> None:
    seed = int(os.environ.get("E2E_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"E2E_SEED={seed}")  # noqa: T201
    chance = random.Random(seed)
    tables = (Table("articles"), Table("notes", full=True))
    with scene(servers, tmp_path / "kill", *tables, model=tiny_model, nursery=nursery) as killed:
        for table in killed.tables:
            killed.insert(TENANTS[0], 1001 if table.full else 1, "first", table=table)
        killed.connect()
        workload = Workload(killed, seed, a_second=30)
        with workload.running():
            unfinished = [kill(killed.worker, MOMENTS[number % len(MOMENTS)], chance) for number in range(KILLS)]
        print(f"{workload.transactions} transactions, open records at the kills: {unfinished}")  # noqa: T201
        killed.worker.start()
        killed.settle(120)
        check_index(killed)
        check_it_was_hard(killed, unfinished)


def kill(worker: WorkerProcess, moment: Moment, chance: random.Random) -> float:
    """Start the worker, wait for the moment and kill it; how many records it had open shortly before."""
    worker.launch()
    moment(worker, chance)
    try:
        scrape = worker.scrape()
        return scrape.consumed - scrape.resolved
    except OSError:
        return 0  # not listening yet
    finally:
        worker.kill()


def check_it_was_hard(killed: Scene, unfinished: list[float]) -> None:
    """A test of crashes proves nothing if nothing was ever under way."""
    assert sum(open_records > 0 for open_records in unfinished) >= KILLS // 4
    # More than the rows that are left: deletes and moves have left tombstones.
    assert len(killed.index.all()) > len(killed.index.visible()) > 0
