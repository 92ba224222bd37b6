"""Which model an end-to-end test embeds with."""

from collections.abc import Mapping

import pytest

from tests.e2e import programs
from worker.demo.model import embedding_settings

# Before they are imported: so that an assertion in them says what it compared.
pytest.register_assert_rewrite("tests.e2e.checks", "tests.e2e.process", "tests.e2e.scene")


@pytest.fixture(scope="session")
def real_model() -> Mapping[str, str]:
    """Settings of the model that users have by default."""
    return embedding_settings()


@pytest.fixture(scope="session")
def tiny_model() -> Mapping[str, str]:
    """Settings of a model for tests in which only the amount and the order of the work matter."""
    return {"model": "tiny", "path": str(programs.tiny_model())}
