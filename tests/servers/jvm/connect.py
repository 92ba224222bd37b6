"""Kafka Connect with Debezium: one standalone worker, driven over its REST interface."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import processes
from tests.servers.addresses import PostgresAddress
from tests.servers.jvm import kafka
from tests.servers.processes import LOOPBACK, Server, ServerFailedError

_JSON = "org.apache.kafka.connect.json.JsonConverter"


@dataclass(frozen=True, slots=True)
class PostgresConnector:
    """A Debezium PostgreSQL connector; a row of `public.products` arrives on the topic `<prefix>.public.products`.

    `options` are settings of the connector (or `transforms...`) that have no field here; they win over the fields.
    """

    prefix: str
    tables: Sequence[str]
    slot: str = ""
    snapshot_mode: str = "initial"
    schemas_enable: bool = False
    message_key_columns: str = ""
    partitions: int = 1
    heartbeat_ms: int = 0
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.prefix

    @property
    def slot_name(self) -> str:
        """The slot's name, by default the prefix; a slot outlives its connector, and two must never share one."""
        return self.slot or "".join(letter if letter.isalnum() else "_" for letter in self.prefix.lower())

    def settings(self, postgres: PostgresAddress) -> dict[str, str]:
        schemas = str(self.schemas_enable).lower()
        settings = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "plugin.name": "pgoutput",
            "database.hostname": postgres.host,
            "database.port": str(postgres.port),
            "database.user": postgres.user,
            "database.password": postgres.password,
            "database.dbname": postgres.database,
            "topic.prefix": self.prefix,
            "table.include.list": ",".join(self.tables),
            "slot.name": self.slot_name,
            "publication.name": self.slot_name,
            "publication.autocreate.mode": "filtered",
            "snapshot.mode": self.snapshot_mode,
            "heartbeat.interval.ms": str(self.heartbeat_ms),
            "key.converter": _JSON,
            "key.converter.schemas.enable": schemas,
            "value.converter": _JSON,
            "value.converter.schemas.enable": schemas,
            # The broker creates no topic by itself.
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": str(self.partitions),
        }
        if self.message_key_columns:
            settings["message.key.columns"] = self.message_key_columns
        return {**settings, **self.options}


@dataclass(frozen=True, slots=True)
class Connect:
    """The REST interface of a worker at `url`; tables and the `postgres` they are in must be reachable from it."""

    url: str
    postgres: PostgresAddress

    def add(self, connector: PostgresConnector, *, within_s: float = 60) -> str:
        """Create the connector, or give it new settings; return its name when its task is running."""
        self._call("PUT", f"/connectors/{connector.name}/config", connector.settings(self.postgres))
        self.wait_running(connector.name, within_s=within_s)
        return connector.name

    def delete(self, name: str) -> None:
        """Remove the connector; its slot and its topics stay, and so do its offsets in this worker."""
        self._call("DELETE", f"/connectors/{name}")

    def restart(self, name: str, *, within_s: float = 60) -> None:
        self._call("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=false")
        self.wait_running(name, within_s=within_s)

    def pause(self, name: str) -> None:
        self._call("PUT", f"/connectors/{name}/pause")

    def resume(self, name: str, *, within_s: float = 60) -> None:
        self._call("PUT", f"/connectors/{name}/resume")
        self.wait_running(name, within_s=within_s)

    def status(self, name: str) -> dict[str, Any]:
        found = self._call("GET", f"/connectors/{name}/status")
        assert isinstance(found, dict)
        return found

    def wait_running(self, name: str, *, within_s: float) -> None:
        """Return when connector and task run; fail at once when either failed, with its trace."""
        deadline = time.monotonic() + within_s
        while not self._runs(name):
            if time.monotonic() > deadline:
                raise ServerFailedError(f"connector {name} is not running after {within_s:g} s: {self._state(name)}")
            time.sleep(0.1)

    def _runs(self, name: str) -> bool:
        state = self._state(name)
        if state is None:
            return False
        parts = [state["connector"], *state["tasks"]]
        for part in parts:
            if part["state"] == "FAILED":
                raise ServerFailedError(f"connector {name} failed: {part.get('trace', part)}")
        return bool(state["tasks"]) and all(part["state"] == "RUNNING" for part in parts)

    def _state(self, name: str) -> dict[str, Any] | None:
        try:
            return self.status(name)
        except urllib.error.HTTPError as error:
            # A connector just created has no status yet; a restart in progress answers with a conflict.
            if error.code in {404, 409}:
                return None
            raise

    def _call(self, method: str, path: str, body: object | None = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=90) as response:
            content = response.read()
        return json.loads(content) if content else None


def prepare(folder: Path, kafka_bootstrap: str) -> tuple[str, Server]:
    """Configure a worker under `folder`; its REST address, and a server still to be started."""
    folder.mkdir(parents=True)
    (port,) = processes.free_ports(1)
    url = f"http://{LOOPBACK}:{port}"
    settings = folder / "connect.properties"
    settings.write_text(_settings(folder, kafka_bootstrap, url))
    server = Server(
        name="Kafka Connect",
        command=[*kafka.java(folder, "-Xmx512m"), "org.apache.kafka.connect.cli.ConnectStandalone", str(settings)],
        log=folder / "connect.log",
        ready=lambda _: processes.http_ok(f"{url}/connectors"),
    )
    return url, server


def _settings(folder: Path, kafka_bootstrap: str, url: str) -> str:
    settings = {
        "bootstrap.servers": kafka_bootstrap,
        "listeners": url,
        "rest.advertised.host.name": LOOPBACK,
        "plugin.discovery": "service_load",
        "key.converter": _JSON,
        "value.converter": _JSON,
        "offset.storage.file.filename": str(folder / "connect.offsets"),
        # Offsets are kept often, so that a restarted worker repeats little.
        "offset.flush.interval.ms": "1000",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
