"""`syncline demo` is told to end: its servers, which are processes of their own, and their data must not stay."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.test_cli import ROOT, environment

# A signal may find it loading its model, which nothing can stop.
SECONDS = 120


def servers_of(folder: Path) -> list[int]:
    """Processes that name something in the folder on their command lines, as the servers do their data."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if f"{folder}/" in command_of(process)]


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = start(tmp_path)
    demo.send_signal(number)
    assert demo.wait(SECONDS) == 0
    assert servers_of(tmp_path) == []
    assert list(tmp_path.glob("syncline-demo-*")) == []


def test_a_demo_that_is_told_again_while_it_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    """A terminal that closes sends SIGHUP more than once: by its shell, and when that has ended by itself."""
    demo = start(tmp_path)
    while demo.poll() is None:
        demo.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    assert demo.returncode == 0
    assert servers_of(tmp_path) == []
    assert list(tmp_path.glob("syncline-demo-*")) == []


def test_a_demo_under_nohup_goes_on(tmp_path: Path) -> None:
    demo = start(tmp_path, hangups=signal.SIG_IGN)
    demo.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        demo.wait(1)
    servers = servers_of(tmp_path)
    assert servers != []
    for process in (demo.pid, *servers):  # to end it in order would take until its model is loaded
        os.kill(process, signal.SIGKILL)
    demo.wait(SECONDS)


def start(folder: Path, hangups: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[bytes]:
    """Start a demo with its files there; return when its servers are up."""
    before = signal.signal(signal.SIGHUP, hangups)  # it inherits that; these tests themselves may run under nohup
    try:
        demo = subprocess.Popen(
            [sys.executable, "-m", "worker", "demo", "--events", "100", "--keep"],
            cwd=ROOT,
            env=environment(TMPDIR=str(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    deadline = time.monotonic() + SECONDS
    while not list(folder.glob("*/syncline.yaml")):  # is written next
        assert demo.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert servers_of(folder) != []
    return demo
