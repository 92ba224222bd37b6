"""The pytest side: option `--servers`, fixture `servers`, and the marker of tests that need PostgreSQL and Debezium."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Never

import pytest

from tests.servers.addresses import Kind
from tests.servers.start import Servers, start

# Marker -> what it means, and the kinds of servers under which its tests run.
_MARKERS = {
    "needs_debezium": ("needs PostgreSQL and Debezium", frozenset({Kind.JVM, Kind.EXTERNAL})),
    "needs_jvm": ("needs a real server, or one that only --servers jvm has", frozenset({Kind.JVM})),
}
_DATA = pytest.StashKey[Path]()
_NOT_RUN = pytest.StashKey[int]()
_SLOW = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=[kind.value for kind in Kind],
        default=Kind.EMBEDDED.value,
        help="what integration tests run on (default: %(default)s)",
    )
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes each, and no others")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --slow, which runs nothing else")
    for marker, (meaning, kinds) in _MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}; runs under --servers {' or '.join(sorted(kinds))}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kind = kind_of(config)
    lacking = [marker for marker, (_, kinds) in _MARKERS.items() if kind not in kinds]
    other_pace = [item for item in items if (item.get_closest_marker("slow") is not None) != config.getoption("--slow")]
    config.stash[_SLOW] = 0 if config.getoption("--slow") else len(other_pace)
    if other_pace:
        config.hook.pytest_deselected(items=other_pace)
        items[:] = [item for item in items if item not in set(other_pace)]
    not_run = [item for item in items if any(item.get_closest_marker(marker) for marker in lacking)]
    config.stash[_NOT_RUN] = len(not_run)
    if not_run:
        config.hook.pytest_deselected(items=not_run)
        items[:] = [item for item in items if item not in set(not_run)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    not_run = config.stash.get(_NOT_RUN, 0)
    if not_run:
        tests = "1 test needs" if not_run == 1 else f"{not_run} tests need"
        terminalreporter.write_line(f"{tests} --servers jvm: not run here", yellow=True)
    if slow := config.stash.get(_SLOW, 0):
        terminalreporter.write_line(f"{slow} slow tests run with --slow: not run here", yellow=True)
    kept = config.stash.get(_DATA, None)
    if kept is not None and kept.exists():
        terminalreporter.write_line(f"the servers' logs are kept in {kept}")


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The servers that this run was given; one starts when a test first asks for its address."""
    # Not pytest's own temporary folder: only its owner can enter that, and some servers run on another account.
    folder = Path(tempfile.mkdtemp(prefix="syncline-servers-"))
    folder.chmod(0o755)
    request.config.stash[_DATA] = folder
    # A run that is asked to end must not leave its servers behind.
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with start(kind_of(request.config), data_dir=folder) as started:
            yield started
    finally:
        signal.signal(signal.SIGTERM, former)
        if request.session.testsfailed and any(folder.rglob("*.log")):
            _remove_all_but_logs(folder)
        else:
            shutil.rmtree(folder)


def kind_of(config: pytest.Config) -> Kind:
    return Kind(config.getoption("--servers"))


def _interrupt(_signal: int, _frame: FrameType | None) -> Never:
    # Once is enough: a second one would interrupt the stopping.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _remove_all_but_logs(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".log":
            path.unlink()
