"""The pytest side of manifests: marker `needs_kustomize`, for tests that look at what kustomize renders.

`make manifests` fetches kustomize and names it in the variable KUSTOMIZE: then it must be there. Without the variable
one on the path is taken, or kubectl, which carries it; where there is none those tests are left out, and it is said.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.left_out import leave_out


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
    leave_out(config, items, "needs_kustomize", "kustomize, see `make manifests`")
