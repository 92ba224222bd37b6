"""The pytest side of the image: option `--image`, without which its tests are left out, and it is said."""

import pytest

_NOT_RUN = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", help="test this container image, in the storage of tools/build_image.sh")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "image: runs the container image; needs --image, see `make image-test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--image"):
        return
    not_run = {item for item in items if item.get_closest_marker("image")}
    config.stash[_NOT_RUN] = len(not_run)
    if not_run:
        config.hook.pytest_deselected(items=list(not_run))
        items[:] = [item for item in items if item not in not_run]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not_run := config.stash.get(_NOT_RUN, 0):
        terminalreporter.write_line(f"{not_run} tests need the image, see `make image-test`: not run here", yellow=True)
