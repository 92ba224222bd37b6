"""The kind `jvm`: which real server is started when, and in which order they stop."""

from functools import cached_property
from pathlib import Path

from typing_extensions import override

from tests.servers.addresses import Kind, PostgresAddress
from tests.servers.jvm import artifacts, connect, elasticsearch, kafka, postgres
from tests.servers.jvm.connect import Connect
from tests.servers.jvm.kafka import Proxied
from tests.servers.processes import Server
from tests.servers.start import Servers

PASSWORD = "for-tests-only"


class JvmKind(Servers):
    kind = Kind.JVM

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._processes: dict[str, Server] = {}

    @cached_property
    @override
    def kafka(self) -> str:
        bootstrap, self._proxied, server = kafka.prepare(self._folder / "kafka")
        self._start("kafka", server)
        return bootstrap

    @property
    def kafka_proxied(self) -> Proxied:
        """The broker's listener for clients that come through a proxy; only one proxy can stand there at a time."""
        assert self.kafka
        return self._proxied

    @cached_property
    @override
    def elasticsearch(self) -> str:
        url, server = elasticsearch.prepare(self._folder / "elasticsearch")
        self._start("elasticsearch", server)
        return url

    @cached_property
    @override
    def elasticsearch_8(self) -> str:
        url, server = elasticsearch.prepare(self._folder / "elasticsearch_8", version=artifacts.ELASTICSEARCH_8)
        self._start("elasticsearch_8", server)
        return url

    @cached_property
    @override
    def elasticsearch_secured(self) -> str:
        url, server = elasticsearch.prepare(self._folder / "elasticsearch_secured", password=PASSWORD)
        self._start("elasticsearch_secured", server)
        return url.replace("://", f"://{elasticsearch.USER}:{PASSWORD}@")

    @cached_property
    @override
    def postgres(self) -> PostgresAddress:
        address, server = postgres.prepare(self._folder / "postgres")
        self._start("postgres", server)
        return address

    @cached_property
    @override
    def connect(self) -> Connect:
        url, server = connect.prepare(self._folder / "connect", self.kafka)
        self._start("connect", server)
        return Connect(url=url, postgres=self.postgres)

    @override
    def process(self, name: str) -> Server:
        getattr(self, name)
        return self._processes[name]

    @override
    def close(self) -> None:
        # Connect first: while it holds its slot, PostgreSQL would wait for it.
        for name in sorted(self._processes, key=lambda name: name != "connect"):
            self._processes[name].stop()

    def _start(self, name: str, server: Server) -> None:
        server.start()
        self._processes[name] = server
