"""The pytest side of the image: option `--image`, without which its tests are left out, and it is said."""

import pytest

from tests.left_out import leave_out


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--image", help="test this container image, in the storage of tools/build_image.sh")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "image: runs the container image; needs --image, see `make image-test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--image"):
        return
    leave_out(config, items, "image", "the image, see `make image-test`")
