from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.image.container import Container, Image
from tests.servers.processes import LOOPBACK, free_ports
from tests.servers.start import Servers

CONFIG = "/etc/syncline/settings/syncline.yaml"
TOPIC = "image.public.articles"
DEAD_LETTERS = "image.dead-letters"
NewContainer = Callable[..., Container]


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    mounted = Image(request.config.getoption("--image"))
    try:
        yield mounted
    finally:
        mounted.remove()


@pytest.fixture(scope="session")
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def config(servers: Servers, port: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file as an operator would mount it; the model is not in it: it is the image's."""
    content = {
        "kafka": {
            "bootstrap_servers": [servers.kafka],
            "group_id": "syncline-image",
            "dead_letter_topic": DEAD_LETTERS,
        },
        "elasticsearch": {"hosts": [servers.elasticsearch]},
        "index": {"alias": "image"},
        "sources": [
            {
                "name": "articles",
                "topics": [TOPIC],
                "id": ["id"],
                "tenant": "tenant",
                "fields": {name: name for name in ("title", "content", "tags", "published", "url")},
                "embed": ["title", "content"],
            }
        ],
        "server": {"host": LOOPBACK, "port": port},
        "log": {"format": "json"},
    }
    folder = tmp_path_factory.mktemp("settings")
    file = folder / "syncline.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    # The container's user is nobody here: it must be able to read it, as it can a ConfigMap.
    for path in (file, folder, *list(folder.parents)[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    return file


@pytest.fixture
def new_container(image: Image, config: Path, port: int, tmp_path: Path) -> Iterator[NewContainer]:
    made: list[Container] = []

    def make(*arguments: str, environment: Mapping[str, str] | None = None) -> Container:
        variables = {"SYNCLINE_CONFIG": CONFIG, "SYNCLINE_SERVER__PORT": str(port), **(environment or {})}
        container = Container(image, tmp_path / f"container-{len(made)}", arguments, variables, {CONFIG: config})
        made.append(container)
        container.start()
        return container

    yield make
    for container in made:
        container.kill()


def run(new_container: NewContainer, arguments: Sequence[str], within_s: float = 120) -> tuple[int, str]:
    container = new_container(*arguments)
    code = container.wait(within_s)
    return code, container.text
