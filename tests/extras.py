"""Tests that need an optional extra: they run where it is installed, and where it is not the summary says so."""

import importlib.util

import pytest

from tests.left_out import leave_out

# Marker -> the packages that its tests need, and the extra that brings them.
_EXTRAS = {"needs_openvino": (("openvino", "nncf"), "openvino")}


def pytest_configure(config: pytest.Config) -> None:
    for marker, (_, extra) in _EXTRAS.items():
        config.addinivalue_line("markers", f"{marker}: runs where the extra '{extra}' is installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker, (packages, extra) in _EXTRAS.items():
        if any(importlib.util.find_spec(package) is None for package in packages):
            leave_out(config, items, marker, f"the extra '{extra}'")
