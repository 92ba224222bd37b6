"""Tests that need what is not here are left out, and the summary says so: none is skipped quietly."""

import pytest

_NOT_RUN = pytest.StashKey[dict[str, int]]()


def leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, what: str) -> None:
    """Deselect the tests that bear `marker`; `what` they need is told at the end."""
    lacking = {item for item in items if item.get_closest_marker(marker) is not None}
    config.stash.setdefault(_NOT_RUN, {})[what] = len(lacking)
    if lacking:
        config.hook.pytest_deselected(items=list(lacking))
        items[:] = [item for item in items if item not in lacking]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, count in config.stash.get(_NOT_RUN, {}).items():
        if count:
            tests = "1 test needs" if count == 1 else f"{count} tests need"
            terminalreporter.write_line(f"{tests} {what}: not run here", yellow=True)
