"""Workers are killed, frozen, asked to stop, doubled, starved: what the operating system and the orchestrator do."""

import contextlib
import itertools
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import until
from tests.faults.conftest import NewStage
from tests.faults.stage import Stage
from tests.servers.processes import LOOPBACK
from tests.servers.proxy import Way
from tests.threads import beside

pytestmark = pytest.mark.needs_jvm

BULK = b"/_bulk"


@contextlib.contextmanager
def watching(stage: Stage) -> Iterator[None]:
    """Read the index again and again while the block runs: no document's version may ever fall."""
    falls: list[str] = []

    def watch(stopping: threading.Event) -> None:
        seen: dict[str, int] = {}
        while not stopping.wait(0.1):
            for found in stage.index.all():
                if found.version < seen.get(found.id, 0):
                    falls.append(f"{found.id}: {seen[found.id]} -> {found.version}")
                seen[found.id] = found.version

    with beside(watch, "reader"):
        yield
    assert not falls


def held(stage: Stage) -> None:
    """Wait until a bulk request is under way and held."""
    until(lambda: stage.elasticsearch.holding > 0, lambda: stage.worker.told("no request is under way"))


def versions(stage: Stage) -> dict[str, int]:
    return {found.id: found.version for found in stage.index.all()}


@pytest.mark.parametrize("moment", ["before the write", "before the answer", "after the commit"])
def test_killed_at_an_exact_moment_the_next_start_does_what_was_left(new_stage: NewStage, moment: str) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(6))
    stage.settle()
    committed = stage.committed()
    if moment != "after the commit":
        stage.elasticsearch.hold(Way.UP if moment == "before the write" else Way.DOWN, about=BULK)
    changed = stage.send_rows(range(3, 9), "changed", partition=0)
    if moment == "after the commit":
        stage.settle()
    else:
        held(stage)
    if moment == "before the answer":
        until(lambda: versions(stage).get("acme/articles/8") == changed[-1].version, "not written")
    stage.worker.kill()
    assert (stage.committed() == committed) is (moment != "after the commit")
    # What was on its way arrives now: its sender is dead.
    stage.elasticsearch.heal()
    if moment != "after the commit":
        until(lambda: versions(stage).get("acme/articles/8") == changed[-1].version, "the request did not arrive")
    stage.worker.start()
    stage.quiesce()
    if moment == "after the commit":
        assert stage.scrape().consumed == 0


def test_a_zombie_that_wakes_up_harms_nothing(new_stage: NewStage) -> None:
    """Frozen in a request for longer than the session: its late write loses, its late commit is refused or dropped."""
    stage = new_stage()
    zombie, heir = stage.worker, stage.add_worker()
    zombie.start()
    stage.send_rows(range(6))
    stage.settle()
    with watching(stage):
        stage.elasticsearch.hold(Way.UP, about=BULK, once=True)
        stage.send_rows(range(6), "second", partition=0)
        held(stage)
        zombie.signal(signal.SIGSTOP)
        heir.start()
        stage.send_rows(range(6), "third", partition=0)
        until(lambda: heir.scrape().resolved >= 12, lambda: heir.told("it does not take over"))
        newest = versions(stage)
        stage.elasticsearch.heal()
        time.sleep(0.5)
        zombie.signal(signal.SIGCONT)
        until(lambda: zombie.scrape().total("syncline_rebalances_total") >= 2, lambda: zombie.told("does not rejoin"))
        assert versions(stage) == newest
        stage.send_rows(range(3), "fourth")
        stage.quiesce()


def test_frozen_for_less_than_the_session_nothing_moves(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(20))
    stage.worker.signal(signal.SIGSTOP)
    time.sleep(3)
    stage.worker.signal(signal.SIGCONT)
    stage.quiesce()
    assert stage.total("syncline_rebalances_total") == 1


@pytest.mark.parametrize("moment", ["idle", "in the model", "in a bulk request", "in a rebalance"])
def test_asked_to_stop_at_any_moment_it_ends_in_time_with_0(new_stage: NewStage, moment: str) -> None:
    stage = new_stage()
    stage.worker.start()
    match moment:
        case "in the model":
            stage.model.set("slow", 1.5)
        case "in a bulk request" | "in a rebalance":
            stage.elasticsearch.hold(Way.DOWN, about=BULK)
        case _:
            pass
    if moment != "idle":
        stage.send_rows(range(4), partition=0)
    match moment:
        case "in the model":
            stage.until(lambda now: now.consumed == 4, "consumed")
        case "in a bulk request":
            held(stage)
        case "in a rebalance":
            held(stage)
            stage.add_worker().launch()
            until(lambda: stage.worker.logged("partitions revoked"), "no rebalance", 30)
        case _:
            pass
    stage.worker.signal(signal.SIGTERM)
    time.sleep(0.3)
    stage.elasticsearch.heal()
    assert stage.worker.wait(within_s=10) == 0
    if moment in {"in the model", "in a bulk request"}:
        # What was in flight was finished and committed, not thrown away.
        assert sum(stage.committed().values()) == 4
    stage.model.set("")
    if moment != "in a rebalance":
        stage.worker.start()
    stage.quiesce()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain_at_once_and_commits_nothing_unfinished(
    new_stage: NewStage, second: signal.Signals
) -> None:
    stage = new_stage(delivery={"drain_timeout": "9s"})
    stage.worker.start()
    stage.elasticsearch.hold(Way.UP, about=BULK)
    stage.send_rows(range(4))
    held(stage)
    stage.worker.signal(signal.SIGTERM)
    # Two of a kind that wait together are one to the process.
    until(lambda: stage.worker.logged("signal received"), "no signal is received")
    stage.worker.signal(second)
    assert stage.worker.wait(within_s=7) == 130
    assert stage.committed() == {}
    stage.elasticsearch.heal()
    stage.worker.start()
    stage.quiesce()


def test_a_storm_of_rebalances_makes_progress_and_loses_nothing(new_stage: NewStage) -> None:
    stage = new_stage()
    workers = [stage.worker, stage.add_worker(), stage.add_worker()]
    chance = random.Random(24)
    stage.worker.start()
    numbers = itertools.count(1)
    with watching(stage):
        for _ in range(6):
            worker = chance.choice(workers)
            if worker.started and worker.running:
                worker.kill() if chance.random() < 0.5 else worker.signal(signal.SIGTERM)
            else:
                worker.launch()
            for _ in range(8):
                stage.send_rows(range(10), f"storm {next(numbers)}")
                time.sleep(0.2)
        for worker in workers:
            worker.kill()
        assert len(stage.index.all()) == 10, "there was no progress in the storm"
        stage.worker.start()
        stage.quiesce()


def test_twins_with_one_static_name_harm_no_data(new_stage: NewStage) -> None:
    """They throw each other out: seen in the rebalances, which go on and on. No document suffers."""
    stage = new_stage(kafka={"group_instance_id": "twin"})
    one, other = stage.worker, stage.add_worker()
    one.start()
    with watching(stage):
        other.launch()
        for number in range(20):
            stage.send_rows(range(10), f"twins {number}")
            time.sleep(0.3)
        other.kill()
        stage.quiesce()


def test_a_slow_model_costs_no_membership_and_liveness_tells_of_it(new_stage: NewStage) -> None:
    """A call of the model that lasts longer than the session, and than the limit of `/livez`."""
    stage = new_stage(delivery={"progress_limit": "2s"})
    stage.worker.start()
    stage.model.set("slow", 8)
    stage.send_rows(range(4))
    until(lambda: not stage.worker.is_live(), "alive without any progress", 7)
    stage.model.set("")
    until(stage.worker.is_live, lambda: stage.worker.told("it is not alive again"), 20)
    stage.quiesce()
    assert stage.total("syncline_rebalances_total") == 1


def test_a_blocked_event_loop_is_seen_and_outlived(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.model.set("block", 8)
    stage.send_rows(range(4))
    time.sleep(9)
    stage.send_rows(range(4), "afterwards")
    stage.quiesce()
    assert stage.total("syncline_event_loop_delay_max_seconds") > 7


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_changes_no_version_and_makes_nothing_younger_than_now(
    new_stage: NewStage, hours: int
) -> None:
    """The worker's clock against the database's: which of the two is wrong makes no difference."""
    stage = new_stage()
    stage.worker.start()
    skewed = int((time.time() + hours * 3600) * 1000)
    stage.send_rows(range(3), ts_ms=skewed)
    stage.settle()  # else the later ones might hide them
    stage.send_rows(range(3), "later")
    stage.quiesce()
    total = stage.total("syncline_freshness_seconds_sum")
    assert (total > 3000) if hours < 0 else (0 <= total < 60)


def test_without_file_descriptors_it_backs_off_and_goes_on_when_there_are_some(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(3))
    stage.settle()
    pid = stage.worker.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, limits[1]))
    stage.elasticsearch.reset()
    stage.send_rows(range(3), "without")
    until(lambda: stage.worker.logged("Too many open files"), "it does not say what is wrong", 20)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    stage.quiesce()


def test_a_full_disk_for_the_log_stops_nothing(new_stage: NewStage) -> None:
    """Logs are all that the worker writes to a disk."""
    stage = new_stage()
    stage.worker.log = Path("/dev/full")
    stage.worker.launch()
    until(stage.worker.is_ready, "the worker is not ready")
    stage.send_rows(range(10))
    stage.quiesce()
    opened = [link.readlink() for link in Path(f"/proc/{stage.worker.pid}/fd").iterdir() if link.is_symlink()]
    files = {path for path in opened if path.is_absolute() and not path.is_relative_to("/dev") and path.is_file()}
    assert not files, "files that a read-only file system would have refused"


def test_scrapers_that_never_read_hold_nothing_up(new_stage: NewStage) -> None:
    stage = new_stage()
    stage.worker.start()
    with contextlib.ExitStack() as opened:
        for _ in range(50):
            connection = opened.enter_context(socket.create_connection((LOOPBACK, stage.worker.port)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        stage.send_rows(range(50))
        stage.quiesce()
        assert stage.total("syncline_event_loop_delay_max_seconds") < 5
