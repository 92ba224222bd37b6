"""One Apache Kafka broker that is its own controller (KRaft)."""

import base64
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers import processes
from tests.servers.jvm import artifacts
from tests.servers.processes import LOOPBACK, Server


@dataclass(frozen=True, slots=True)
class Proxied:
    """A second listener of the broker: it tells its clients to come to another address, where a proxy is to stand.

    Without it a client would ask through the proxy for the brokers' addresses, and then go to them directly.
    """

    port: int
    proxy_port: int
    proxy_host: str = LOOPBACK


def prepare(folder: Path, *, gateway: str | None = None) -> tuple[str, Proxied, Server]:
    """Format the broker's storage under `folder`; its addresses, and a server still to be started.

    With a `gateway` the second listener is for clients that come through that host, to the port as it is.
    """
    folder.mkdir(parents=True)
    port, controller_port, behind, proxy = processes.free_ports(4)
    proxied = Proxied(behind, proxy) if gateway is None else Proxied(behind, behind, gateway)
    settings = folder / "server.properties"
    settings.write_text(_settings(folder / "data", port, controller_port, proxied))
    processes.run([*java(folder), "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(settings)])
    server = Server(
        name="Kafka",
        command=[*java(folder, "-Xmx512m"), "kafka.Kafka", str(settings)],
        log=folder / "kafka.log",
        # The port opens before the broker answers.
        ready=lambda server: server.logged("Kafka Server started"),
    )
    return f"{LOOPBACK}:{port}", proxied, server


def java(temporary: Path, *options: str) -> list[str]:
    """The start of a command that runs a class of Kafka, Connect or Debezium; their codecs unpack into `temporary`."""
    program = artifacts.java_home() / "bin" / "java"
    log = artifacts.HERE / "log4j2.properties"
    files = f"-Djava.io.tmpdir={temporary}"
    return [str(program), *options, files, f"-Dlog4j2.configurationFile={log}", "-cp", artifacts.kafka_classpath()]


def _cluster_id() -> str:
    # Kafka refuses an id with a leading dash: it would read as an option.
    return "s" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def _settings(data: Path, port: int, controller_port: int, proxied: Proxied) -> str:
    plain, behind, controller = f"PLAINTEXT://{LOOPBACK}:", f"PROXIED://{LOOPBACK}:", f"CONTROLLER://{LOOPBACK}:"
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"{plain}{port},{behind}{proxied.port},{controller}{controller_port}",
        "advertised.listeners": f"{plain}{port},PROXIED://{proxied.proxy_host}:{proxied.proxy_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "log.dirs": data,
        # As in production: a misspelt topic is an error. Connect creates its topics by name.
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
