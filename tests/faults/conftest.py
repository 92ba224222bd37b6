"""What every test of a fault has: real servers, a nursery of workers, and stages."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

pytest.register_assert_rewrite("tests.e2e.checks", "tests.e2e.process", "tests.e2e.scene", "tests.faults.stage")

from tests.e2e.nursery import Nursery  # noqa: E402 - behind the line that makes its assertions speak
from tests.faults.stage import Background, Stage, stage  # noqa: E402
from tests.servers.jvm.servers import JvmKind  # noqa: E402
from tests.servers.start import Servers  # noqa: E402


class NewStage(Protocol):
    def __call__(self, **options: Any) -> Stage:  # noqa: ANN401 - options and groups of settings
        """Open a stage whose worker is not started: see `stage`."""


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    opened = Background()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Workers with a model that has no weights: nothing heavy to load."""
    opened = Nursery(tmp_path_factory.mktemp("nursery") / "nursery.log", "worker.app.worker", "tests.faults.model")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def real_servers(servers: Servers) -> JvmKind:
    assert isinstance(servers, JvmKind)
    return servers


@pytest.fixture
def new_stage(real_servers: JvmKind, background: Background, nursery: Nursery, tmp_path: Path) -> Iterator[NewStage]:
    with ExitStack() as closing:

        def open_stage(**options: Any) -> Stage:  # noqa: ANN401
            return closing.enter_context(stage(real_servers, background, nursery, tmp_path, **options))

        yield open_stage


@pytest.fixture(scope="module")
def running(
    real_servers: JvmKind, background: Background, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A stage whose one worker is at work from the module's first test to its last, in the same process."""
    folder = tmp_path_factory.mktemp("running")
    with stage(real_servers, background, nursery, folder) as opened:
        opened.worker.start()
        pid = opened.worker.pid
        yield opened
        opened.worker.check_running()
        assert opened.worker.pid == pid


@pytest.fixture
def healthy(running: Stage) -> Iterator[Stage]:
    """The running stage; after a test it is healed, and index and log must agree."""
    running.settle()
    yield running
    running.elasticsearch.heal()
    running.quiesce()
