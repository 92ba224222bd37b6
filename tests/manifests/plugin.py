"""The pytest side of manifests: marker `needs_kustomize`, for tests that look at what kustomize renders.

`make manifests` fetches kustomize and names it in the variable KUSTOMIZE: then it must be there. Without the variable
one on the path is taken, or kubectl, which carries it; where there is none those tests are left out, and it is said.
"""

import os
import shutil
from pathlib import Path

import pytest

_NOT_RUN = pytest.StashKey[int]()


def program() -> list[str] | None:
    """The command that renders a folder, or None."""
    if named := os.environ.get("KUSTOMIZE"):
        return [str(Path(named).resolve()), "build"]
    if found := shutil.which("kustomize"):
        return [found, "build"]
    if found := shutil.which("kubectl"):
        return [found, "kustomize"]
    return None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_kustomize: looks at rendered manifests; `make manifests` fetches it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if program() is not None:
        return
    not_run = {item for item in items if item.get_closest_marker("needs_kustomize")}
    config.stash[_NOT_RUN] = len(not_run)
    if not_run:
        config.hook.pytest_deselected(items=list(not_run))
        items[:] = [item for item in items if item not in not_run]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not_run := config.stash.get(_NOT_RUN, 0):
        terminalreporter.write_line(f"{not_run} tests need kustomize, see `make manifests`: not run here", yellow=True)
