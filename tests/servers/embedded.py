"""The kind `embedded`: the demo's program, run as tests need it (killed, paused, started again)."""

from functools import cached_property
from pathlib import Path

from typing_extensions import override

from tests.servers import processes
from tests.servers.addresses import Kind
from tests.servers.processes import LOOPBACK, Server
from tests.servers.start import Servers
from worker.demo import embedded


class EmbeddedKind(Servers):
    """Kafka and Elasticsearch are one process here: `process("kafka")` and `process("elasticsearch")` are the same."""

    kind = Kind.EMBEDDED

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "noida-db"

    @cached_property
    @override
    def kafka(self) -> str:
        return f"{LOOPBACK}:{self._started[1]}"

    @cached_property
    @override
    def elasticsearch(self) -> str:
        return f"http://{LOOPBACK}:{self._started[2]}"

    @override
    def process(self, name: str) -> Server:
        if name not in {"kafka", "elasticsearch"}:
            raise self._not_offered(f"a process for {name}")
        return self._started[0]

    @override
    def close(self) -> None:
        if "_started" in self.__dict__:
            self._started[0].stop()

    @cached_property
    def _started(self) -> tuple[Server, int, int]:
        kafka, elasticsearch = processes.free_ports(2)
        server = Server(
            name="noida-db",
            command=embedded.command(self._folder / "data", kafka_port=kafka, elasticsearch_port=elasticsearch),
            log=self._folder / "noida-db.log",
            ready=lambda _: embedded.ready(kafka_port=kafka, elasticsearch_port=elasticsearch),
        )
        server.start()
        return server, kafka, elasticsearch
