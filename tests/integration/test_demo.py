"""`syncline demo` is told to end: its servers, which are processes of their own, and their data must not stay."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_cli import ROOT, environment

SECONDS = 60
NEVER_LOADED = """
import os, time
from pathlib import Path
Path(os.environ["LOADING"]).touch()
time.sleep(300)
"""


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
    demo = start(tmp_path, "--keep")
    demo.send_signal(number)
    assert demo.wait(SECONDS) == 0
    assert servers_of(tmp_path) == []
    assert list(tmp_path.glob("syncline-demo-*")) == []


def test_a_demo_that_is_told_again_while_it_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    """A terminal that closes sends SIGHUP more than once: by its shell, and when that has ended by itself."""
    demo = start(tmp_path, "--keep")
    while demo.poll() is None:
        demo.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    assert demo.returncode == 0
    assert servers_of(tmp_path) == []
    assert list(tmp_path.glob("syncline-demo-*")) == []


def test_a_demo_under_nohup_goes_on(tmp_path: Path) -> None:
    demo = start(tmp_path, "--keep", hangups=signal.SIG_IGN)
    demo.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        demo.wait(1)
    servers = servers_of(tmp_path)
    assert servers != []
    demo.terminate()
    demo.wait(SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("more", "code"), [(["--keep"], 0), ([], 130)])
def test_a_demo_whose_model_is_being_loaded_ends_without_it(
    tmp_path: Path, number: signal.Signals, more: list[str], code: int
) -> None:
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / "torch.py").write_text(NEVER_LOADED)
    loading = tmp_path / "loading"
    demo = start(tmp_path, *more, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'libraries'}", LOADING=str(loading))
    waited_for(loading.exists, demo)
    demo.send_signal(number)
    assert demo.wait(SECONDS) == code
    assert servers_of(tmp_path) == []
    assert list(tmp_path.glob("syncline-demo-*")) == []


def start(
    folder: Path, *more: str, hangups: signal.Handlers = signal.SIG_DFL, **variables: str
) -> subprocess.Popen[bytes]:
    """Start a demo with its files there; return when its servers are up."""
    # It inherits these; the tests themselves may run under nohup, or behind others.
    wanted: dict[signal.Signals, Callable[..., object] | signal.Handlers] = {
        signal.SIGHUP: hangups,
        signal.SIGINT: signal.default_int_handler,
    }
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        demo = subprocess.Popen(
            [sys.executable, "-m", "worker", "demo", "--events", "100", *more],
            cwd=ROOT,
            env=environment(TMPDIR=str(folder), **variables),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    waited_for(lambda: list(folder.glob("*/syncline.yaml")), demo)  # is written next
    assert servers_of(folder) != []
    return demo


def waited_for(condition: Callable[[], object], demo: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert demo.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
