"""A stage: a topic, an index, and a worker between them, with a proxy before each server; and what must come of it.

The events are Debezium's, written by the test itself, so that it decides on versions, order and partitions. The index
must end as the fold of what was written: that is what `check` looks at after every fault.
"""

import asyncio
import itertools
import json
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests import builders
from tests.e2e import kafka_log
from tests.e2e.checks import check_tombstone, cosine
from tests.e2e.index import Document, Index
from tests.e2e.nursery import Nursery
from tests.e2e.process import Scrape, WorkerProcess, until
from tests.faults import model
from tests.servers import processes
from tests.servers.jvm.servers import JvmKind
from tests.servers.processes import LOOPBACK
from tests.servers.proxy import Proxy
from worker.app.index import apply_index
from worker.settings import load_settings

Result = TypeVar("Result")
Place = tuple[str, str]
"""Document id and routing."""

PARTITIONS: Final = 2
TENANTS: Final = ("acme", "globex", "initech")
_PATIENCE: Final = 60.0


class Background:
    """An event loop in a thread of its own: proxies and producers live there, beside tests that just wait."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result], within_s: float = _PATIENCE) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(within_s)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a row. Without a title it is gone; `left` is the tenant that it was of before."""

    id: int
    title: str | None
    tenant: str = TENANTS[0]
    version: int = 0
    """0: the next one."""
    left: str | None = None
    content: str = "content"
    published: str | None = None
    partition: int | None = None
    """By default all changes of a row go to one."""
    ts_ms: int | None = None
    spoilt: bool = False
    """Elasticsearch must refuse it."""

    @property
    def places(self) -> list[Place]:
        tenants = {self.tenant, self.left or self.tenant}
        return [(f"{tenant}/articles/{self.id}", tenant) for tenant in sorted(tenants)]

    @property
    def here(self) -> Place | None:
        return None if self.title is None else (f"{self.tenant}/articles/{self.id}", self.tenant)

    @property
    def text(self) -> str:
        return f"{self.title} {self.content}"

    def record(self) -> tuple[bytes, bytes, int]:
        """Key, value and partition, as Debezium writes them."""
        row = builders.row(self.id, self.tenant, title=self.title, content=self.content, published=self.published)
        before = builders.row(self.id, self.left) if self.left is not None else None
        now = self.ts_ms if self.ts_ms is not None else int(time() * 1000)
        if self.title is None:
            event = builders.event("d", None, builders.row(self.id, self.tenant), lsn=self.version, ts_ms=now)
        else:
            event = builders.event("u", row, before, lsn=self.version, ts_ms=now)
        key = {"tenant": self.tenant, "id": self.id}
        partition = self.id % PARTITIONS if self.partition is None else self.partition
        return json.dumps(key).encode(), json.dumps(event).encode(), partition


@dataclass(slots=True)
class Stage:
    name: str
    servers: JvmKind
    background: Background
    nursery: Nursery
    folder: Path
    settings: dict[str, Any]
    index: Index
    elasticsearch: Proxy
    kafka: Proxy | None
    producer: AIOKafkaProducer
    workers: list[WorkerProcess] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    # -- what is written

    @property
    def topic(self) -> str:
        return f"{self.name}.public.articles"

    @property
    def dead_letter_topic(self) -> str:
        return f"{self.name}.dead"

    def send(self, *changes: Change) -> list[Change]:
        """Write changes to Kafka, in this order; return them with their versions."""
        numbered = [
            change if change.version else Change(**{**_as_dict(change), "version": next(self._versions)})
            for change in changes
        ]
        self.send_raw(*(change.record() for change in numbered))
        self.changes += [change for change in numbered if not change.spoilt]
        return numbered

    def send_rows(self, ids: Sequence[int], title: str = "title", **of_all: Any) -> list[Change]:  # noqa: ANN401 - of Change
        """Write one change a row."""
        return self.send(*(Change(id_, f"{title} {id_}", **of_all) for id_ in ids))

    def send_raw(self, *records: tuple[bytes | None, bytes | None, int]) -> None:
        """Write records as they are: key, value, partition."""
        self.background.run(_send(self.producer, self.topic, records))

    # -- the worker

    @property
    def worker(self) -> WorkerProcess:
        return self.workers[0]

    @property
    def model(self) -> model.Faults:
        return model.Faults(self.folder)

    def add_worker(self, **changes: Mapping[str, Any]) -> WorkerProcess:
        """One more worker, which is not started; `changes` are groups of its settings."""
        (port,) = processes.free_ports(1)
        number = len(self.workers)
        content = {**self.settings, "server": {"port": port}}
        for group, values in changes.items():
            content[group] = {**content.get(group, {}), **values}
        config = self.folder / f"worker-{number}.yaml"
        config.write_text(yaml.safe_dump(content, sort_keys=False))
        before = ("tests.faults.model:install", str(self.folder))
        worker = WorkerProcess(config, port, self.folder / f"worker-{number}.log", self.nursery, before)
        self.workers.append(worker)
        return worker

    def scrape(self) -> Scrape:
        return self.worker.scrape()

    def total(self, name: str, **labels: str) -> float:
        """A counter or gauge of the first worker."""
        return self.scrape().total(name, **labels)

    def until(
        self, condition: Callable[[Scrape], bool], what: str, within_s: float = 30, every_s: float = 0.05
    ) -> None:
        """Wait until something is true of the first worker's metrics."""
        until(lambda: condition(self.scrape()), lambda: self.worker.told(f"not so: {what}"), within_s, every_s)

    def until_halted(self, reason: str, within_s: float = 30) -> None:
        """Wait for a halt: the worker is alive, not ready, and says why."""
        self.until(lambda now: now.total("syncline_halted", reason=reason) == 1, f"halted, {reason}", within_s)
        assert self.worker.is_live(), "a restart would mend nothing"
        assert not self.worker.is_ready()
        assert reason in probe(self.worker, "readyz")

    def until_going_on(self, within_s: float = 30) -> None:
        """Wait for the end of all halts and backoffs."""
        until(self.worker.is_ready, lambda: self.worker.told("it does not go on"), within_s)
        assert self.total("syncline_halted") == 0

    def end(self) -> None:
        """Kill all workers."""
        for worker in self.workers:
            worker.kill()

    def use_elasticsearch_directly(self) -> None:
        """Without the proxy."""
        self.settings["elasticsearch"]["hosts"] = [self.servers.elasticsearch]
        self.worker.kill()
        self.workers.clear()
        self.add_worker()

    # -- what must come of it

    def settle(self, within_s: float = 60) -> None:
        """Wait until everything written is resolved and committed."""
        ends = kafka_log.ends(self.servers.kafka, [self.topic])
        for worker in self.running:
            worker.check_running()
        told = lambda: "\n".join(one.told(f"behind: {self.committed()} of {ends}") for one in self.running)  # noqa: E731
        until(lambda: self.committed() == ends, told, within_s)
        until(self._nothing_open, lambda: self.worker.told("records are open"), within_s)

    @property
    def running(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.started and worker.running]

    def committed(self) -> dict[TopicPartition, int]:
        return kafka_log.committed(self.servers.kafka, self.name)

    def _nothing_open(self) -> bool:
        scrapes = [worker.scrape() for worker in self.running]
        return all(one.consumed == one.resolved and one.total("syncline_lag_records") == 0 for one in scrapes)

    def quiesce(self, within_s: float = 60) -> None:
        """Settle, and compare."""
        self.settle(within_s)
        self.check()

    def check(self) -> None:
        """Every row once, at its newest version, with its text and the vector of its text; tombstones; nothing else."""
        everything = self.index.all()
        found = {(one.id, one.routing): one for one in everything}
        assert len(found) == len(everything), "a document is there twice"
        wanted = self.fold()
        assert found.keys() == wanted.keys(), "places that no event names, or that nothing was written to"
        # A tombstone may be newer than the last event about its place: it has the version of the unit that wrote it.
        wrong = {
            where: (found[where].version, change.version)
            for where, change in wanted.items()
            if (
                found[where].version != change.version
                if change.here == where
                else found[where].version < change.version
            )
        }
        assert not wrong, "versions stored and wanted"
        rows = {where for where, change in wanted.items() if change.here == where}
        assert {(one.id, one.routing) for one in self.index.visible()} == rows
        for where, change in wanted.items():
            if where in rows:
                check_document(found[where], change)
            else:
                check_tombstone(found[where])

    def fold(self) -> dict[Place, Change]:
        """The newest change of every place."""
        newest: dict[Place, Change] = {}
        for change in self.changes:
            for where in change.places:
                if where not in newest or newest[where].version <= change.version:
                    newest[where] = change
        return newest

    def dead_letters(self) -> list[dict[str, str]]:
        """The headers that the worker added to each record put aside, in order."""
        return self.background.run(_read_headers(self.servers.kafka, self.dead_letter_topic))

    # -- servers

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask Elasticsearch directly."""
        return self.index.call(method, path, body)

    @property
    def physical(self) -> str:
        return f"{self.name}-v000001"

    def block(self, **settings: object) -> None:
        """Settings of the index; None takes one back."""
        self.call("PUT", f"/{self.physical}/_settings", settings)

    def of_cluster(self, **settings: object) -> None:
        """Transient settings of the cluster, `__` for a dot; None takes one back."""
        named = {name.replace("__", "."): value for name, value in settings.items()}
        self.call("PUT", "/_cluster/settings", {"transient": named})


def _as_dict(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in change.__slots__}


def check_document(found: Document, change: Change) -> None:
    body = found.body
    assert (body["tenant"], body["title"], body["content"]) == (change.tenant, change.title, change.content), found.id
    assert body["sync"]["version"] == change.version
    assert cosine(body["embedding"], model.vector(change.text).tolist()) > 0.9999, f"{found.id}: another text's vector"


def probe(worker: WorkerProcess, name: str) -> str:
    """What a probe says, whatever its status."""
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    try:
        with urllib.request.urlopen(f"{worker.url}/{name}", timeout=5) as response:
            text: str = response.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    return text


@contextmanager
def stage(
    servers: JvmKind,
    background: Background,
    nursery: Nursery,
    folder: Path,
    *,
    through_proxy: bool = False,
    secured: bool = False,
    tls: ssl.SSLContext | None = None,
    **settings: Mapping[str, Any],
) -> Iterator[Stage]:
    """A topic, an index and one worker, not yet started; `through_proxy` puts a proxy before Kafka as well.

    With `tls` the proxies speak it.
    """
    name = f"f{uuid4().hex[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    url = servers.elasticsearch_secured if secured else servers.elasticsearch
    address = urlsplit(url)
    with ExitStack() as closing:
        elasticsearch = _opened(closing, background, Proxy((LOOPBACK, address.port or 0), tls=tls))
        kafka = None
        if through_proxy:
            behind = servers.kafka_proxied
            kafka = _opened(closing, background, Proxy((LOOPBACK, behind.port), port=behind.proxy_port, tls=tls))
        bootstrap = servers.kafka if kafka is None else f"{LOOPBACK}:{kafka.port}"
        content = _settings(name, bootstrap, f"{'https' if tls else 'http'}://{LOOPBACK}:{elasticsearch.port}")
        for group, values in settings.items():
            content[group] = {**content.get(group, {}), **values}
        producer = background.run(_prepared(servers.kafka, name))
        closing.callback(lambda: background.run(producer.stop()))
        built = Stage(
            name, servers, background, nursery, folder, content, Index(url, name), elasticsearch, kafka, producer
        )
        closing.callback(built.end)
        built.add_worker()
        _apply(built, url)
        yield built


def _opened(closing: ExitStack, background: Background, proxy: Proxy) -> Proxy:
    background.run(proxy.start())
    closing.callback(lambda: background.run(proxy.close()))
    return proxy


def _apply(built: Stage, url: str) -> None:
    """By the server's own user, directly."""
    settings = load_settings(built.worker.config)
    parts = urlsplit(url)
    direct: dict[str, Any] = {"hosts": [f"http://{parts.hostname}:{parts.port}"]}
    if parts.username is not None:
        direct |= {"username": parts.username, "password": parts.password}
    elasticsearch = type(settings.elasticsearch).model_validate(direct)
    built.background.run(apply_index(settings.model_copy(update={"elasticsearch": elasticsearch}), dry_run=False))


def _settings(name: str, bootstrap: str, elasticsearch: str) -> dict[str, Any]:
    return {
        "kafka": {
            "bootstrap_servers": [bootstrap],
            "group_id": name,
            "session_timeout": "6s",
            "rebalance_timeout": "10s",
            "metadata_max_age": "2s",
            "dead_letter_topic": f"{name}.dead",
        },
        "elasticsearch": {"hosts": [elasticsearch], "request_timeout": "3s"},
        "index": {"alias": name},
        "sources": [
            {
                "name": "articles",
                "topics": [f"{name}.public.articles"],
                "replica_identity": "full",
                "id": ["id"],
                "tenant": "tenant",
                "fields": {"title": "title", "content": "content", "published": "published"},
                "embed": ["title", "content"],
            }
        ],
        "embedding": {"model": "faulty"},
        "delivery": {
            "retry_initial": "0.1s",
            "retry_max": "0.5s",
            "drain_timeout": "5s",
            "commit_interval": "0.2s",
            "halt_probe_interval": "1s",
        },
    }


async def _prepared(bootstrap: str, name: str) -> AIOKafkaProducer:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(f"{name}.public.articles", num_partitions=PARTITIONS, replication_factor=1),
                NewTopic(f"{name}.dead", num_partitions=1, replication_factor=1),
            ]
        )
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    return producer


async def _send(
    producer: AIOKafkaProducer, topic: str, records: Sequence[tuple[bytes | None, bytes | None, int]]
) -> None:
    pending = [
        await producer.send(topic, key=key, value=value, partition=partition) for key, value, partition in records
    ]
    for acknowledgement in pending:
        await acknowledgement


async def _read_headers(bootstrap: str, topic: str) -> list[dict[str, str]]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found = []
        while await consumer.position(partition) < end:
            message = await consumer.getone()
            found.append({name: value.decode() for name, value in message.headers if name.startswith("syncline-")})
        return found
