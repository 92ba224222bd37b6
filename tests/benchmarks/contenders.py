"""Who is measured: the worker and its baselines, each as its user starts it, a process of its own."""

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from typing_extensions import override

from tests.benchmarks import target
from tests.benchmarks.baselines.model import FIXED
from tests.benchmarks.truth import Found, RowKey
from tests.e2e import programs
from tests.e2e.index import Document
from tests.e2e.process import Scrape, scraped
from tests.servers import processes
from tests.servers.processes import LOOPBACK, Server
from worker.demo.model import DEFAULT_MODEL

QUIX_ENVIRONMENT: Final = "BENCH_QUIX_PYTHON"
"""Names the Python of the environment that holds Quix Streams."""
OPENVINO_ENVIRONMENT: Final = "BENCH_OPENVINO_PYTHON"
"""Names the Python of an environment with the worker and its extra `openvino`."""
FIELDS: Final = ("title", "content", "tags", "url", "published")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a table's events are in; `keyed_by_tenant`: its primary key begins with the tenant."""

    name: str
    table: str
    keyed_by_tenant: bool = True
    full: bool = False
    fields: Sequence[str] = FIELDS


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a contender works: `name` is its own, for group and indices; `model` is a folder, or `fixed`."""

    name: str
    kafka: str
    elasticsearch: str
    topics: Sequence[Topic]
    model: str
    folder: Path
    replica: int = 0
    """Which process of the group."""

    @property
    def file(self) -> Path:
        """Where its files are, but for their endings."""
        return self.folder / (f"{self.name}-{self.replica}" if self.replica else self.name)


class Contender(ABC):
    """One program in one setting."""

    name: str
    routed = True
    """Whether it divides its index by tenants."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.server = Server(
            name=self.name,
            command=self.command,
            log=setting.file.with_suffix(".log"),
            ready=lambda _: True,
            env={**programs.environment(), **self.environment},
        )

    @property
    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    @abstractmethod
    def prepare(self) -> None:
        """Create what it writes to."""

    @abstractmethod
    def index_of(self, table: str) -> str:
        """The index, or alias for readers, that holds a table's rows."""

    @abstractmethod
    def place(self, key: RowKey, tenant: str) -> tuple[str, str | None]:
        """Id and routing of a row's document."""

    @abstractmethod
    def fill(self, table: str, documents: Iterable[Document]) -> None:
        """Put what the worker's index held into its own, in its own form."""

    @abstractmethod
    def found(self) -> Iterable[Found]:
        """All documents that readers see."""

    def scrape(self) -> Scrape | None:
        return None


class Worker(Contender):
    """Ours, with its defaults."""

    name = "syncline"
    python = sys.executable
    embedding: Mapping[str, Any] = {}

    @cached_property
    def _port(self) -> int:
        return processes.free_ports(1)[0]

    @property
    def _config(self) -> Path:
        return self.setting.file.with_suffix(".yaml")

    @property
    @override
    def command(self) -> Sequence[str]:
        module = "tests.benchmarks.worker" if self.setting.model == FIXED else "worker"
        return [self.python, "-m", module, "run", "--config", str(self._config)]

    @override
    def prepare(self) -> None:
        setting = self.setting
        settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [setting.kafka], "group_id": setting.name},
            "elasticsearch": {"hosts": [setting.elasticsearch]},
            "index": {"alias": setting.name},
            "sources": [_source(topic) for topic in setting.topics],
            "embedding": {"model": DEFAULT_MODEL}
            if setting.model == FIXED
            else {"model": DEFAULT_MODEL, "path": setting.model, **self.embedding},
            "server": {"port": self._port},
        }
        self._config.parent.mkdir(parents=True, exist_ok=True)
        self._config.write_text(yaml.safe_dump(settings, sort_keys=False))
        programs.syncline("apply", config=self._config)

    @override
    def index_of(self, table: str) -> str:
        return f"{self.setting.name}-v000001"

    @override
    def place(self, key: RowKey, tenant: str) -> tuple[str, str | None]:
        return f"{tenant}/{key[0]}/{key[-1]}", tenant

    @override
    def fill(self, table: str, documents: Iterable[Document]) -> None:
        target.put(self.setting.elasticsearch, self.index_of(table), documents, versions=True)

    @override
    def found(self) -> Iterable[Found]:
        keyed = {topic.table: topic.keyed_by_tenant for topic in self.setting.topics}
        for one in target.visible_documents(self.setting.elasticsearch, self.setting.name):
            tenant, table, id_ = one.id.split("/")
            key = (table, tenant, id_) if keyed[table] else (table, id_)
            yield Found(key, one.body.get("tenant"), one.routing, one.body)

    @override
    def scrape(self) -> Scrape:
        return scraped(f"http://{LOOPBACK}:{self._port}")


class Int8(Worker):
    """Ours, with the quantised model."""

    name = "syncline-int8"
    python = os.environ.get(OPENVINO_ENVIRONMENT, "")
    embedding = MappingProxyType({
        "backend": "openvino",
        "precision": "int8",
        "openvino": {"cache_dir": str(programs.ROOT / "build" / "openvino")},
    })  # fmt: skip


def _source(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.table,
        "topics": [topic.name],
        "replica_identity": "full" if topic.full else "default",
        "id": ["id"],
        "tenant": "tenant",
        "fields": {field: field for field in topic.fields},
        "embed": ["title", "content"],
    }


class Baseline(Contender):
    """A program of `baselines/`: an index for each table."""

    python = sys.executable

    @property
    @override
    def command(self) -> Sequence[str]:
        return [self.python, "-m", f"tests.benchmarks.baselines.{self.name}"]

    @property
    @override
    def environment(self) -> Mapping[str, str]:
        setting = self.setting
        return {
            "MODEL": setting.model,
            "KAFKA": setting.kafka,
            "TOPICS": ",".join(topic.name for topic in setting.topics),
            "GROUP": setting.name,
            "ELASTICSEARCH": setting.elasticsearch,
            "INDEX": setting.name,
        }

    @override
    def prepare(self) -> None:
        for topic in self.setting.topics:
            target.create_plain(self.setting.elasticsearch, self.index_of(topic.table))

    @override
    def index_of(self, table: str) -> str:
        return f"{self.setting.name}-{table}"

    @override
    def place(self, key: RowKey, tenant: str) -> tuple[str, str | None]:
        return "|".join(key[1:]), tenant

    @override
    def fill(self, table: str, documents: Iterable[Document]) -> None:
        url, index = self.setting.elasticsearch, self.index_of(table)
        live = (one for one in documents if not one.body["sync"].get("deleted"))
        target.put(url, index, map(self._plain, live), versions=False)

    def _plain(self, document: Document) -> Document:
        tenant, table, id_ = document.id.split("/")
        place, routing = self.place((table, tenant, id_), tenant)
        body = {name: value for name, value in document.body.items() if name != "sync"}
        return Document(place, routing or "", 1, body)

    @override
    def found(self) -> Iterable[Found]:
        for topic in self.setting.topics:
            for one in target.visible_documents(self.setting.elasticsearch, self.index_of(topic.table)):
                key = (topic.table, *target.key_of(one.id))
                yield Found(key, one.body.get("tenant"), one.routing, one.body)


class Stream(Baseline):
    name = "stream"


class Loop(Baseline):
    name = "loop"


class Quix(Baseline):
    name = "quix"
    routed = False
    python = os.environ.get(QUIX_ENVIRONMENT, "")

    @override
    def place(self, key: RowKey, tenant: str) -> tuple[str, str | None]:
        values = {"tenant": key[1], "id": int(key[2])} if len(key) > 2 else {"id": int(key[1])}
        return json.dumps(values, separators=(",", ":")), None


OURS: Final = Worker.name
OURS_INT8: Final = Int8.name
CONTENDERS: Final[Mapping[str, type[Contender]]] = {one.name: one for one in (Worker, Int8, Stream, Loop, Quix)}
