"""Tests that need an optional extra: they run where it is installed, and where it is not the summary says so."""

import importlib.util

import pytest

# Marker -> the packages that its tests need, and the extra that brings them.
_EXTRAS = {"needs_openvino": (("openvino", "nncf"), "openvino")}
_NOT_RUN = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    for marker, (_, extra) in _EXTRAS.items():
        config.addinivalue_line("markers", f"{marker}: runs where the extra '{extra}' is installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_NOT_RUN] = {}
    for marker, (packages, extra) in _EXTRAS.items():
        if all(importlib.util.find_spec(package) is not None for package in packages):
            continue
        lacking = [item for item in items if item.get_closest_marker(marker) is not None]
        config.stash[_NOT_RUN][extra] = len(lacking)
        config.hook.pytest_deselected(items=lacking)
        items[:] = [item for item in items if item not in set(lacking)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for extra, count in config.stash.get(_NOT_RUN, {}).items():
        if count:
            tests = "1 test needs" if count == 1 else f"{count} tests need"
            terminalreporter.write_line(f"{tests} the extra '{extra}': not run here", yellow=True)
