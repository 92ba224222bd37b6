"""Elasticsearch: the core distribution, with the analyzers that the product's index body names."""

import os
import shutil
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from tests.servers import processes
from tests.servers.jvm import artifacts
from tests.servers.processes import LOOPBACK, Server

USER = "elastic"


def prepare(
    folder: Path,
    *,
    version: str = artifacts.ELASTICSEARCH,
    password: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> tuple[str, Server]:
    """Configure a node under `folder`; its URL, and a server still to be started.

    With a `password` security is on: the user is `elastic`, and API keys work. That one also takes only small requests.
    `changes` are settings of the node that win over those here. Data is in `data` under the folder.
    """
    account = processes.unprivileged()
    home = artifacts.elasticsearch_home(version)
    port, transport_port = processes.free_ports(2)
    config = _configure(home, folder, port, transport_port, changes or {}, secured=password is not None)
    temporary = processes.give_to(account, folder / "tmp")
    env = {
        "ES_JAVA_HOME": str(artifacts.java_home()),
        "ES_JAVA_OPTS": "-Xms1g -Xmx1g",
        "ES_PATH_CONF": str(config),
        "ES_TMPDIR": str(temporary),
        # The launcher is a JVM of its own, and would leave a file in /tmp at each start.
        "CLI_JAVA_OPTS": f"-Djava.io.tmpdir={temporary}",
    }
    _give_all_to(account, folder)
    if password is not None:
        _set_password(home, env, account, password)
    url = f"http://{LOOPBACK}:{port}"
    server = Server(
        name=f"Elasticsearch {version}",
        command=[str(home / "bin" / "elasticsearch")],
        log=folder / "elasticsearch.log",
        ready=lambda _: processes.http_ok(f"{url}/_cluster/health?wait_for_status=yellow", _authorization(password)),
        env=env,
        account=account,
        # Several of them start on two processors that others use as well.
        start_within_s=180,
    )
    return url, server


def _configure(
    home: Path, folder: Path, port: int, transport_port: int, changes: Mapping[str, object], *, secured: bool
) -> Path:
    config = folder / "config"
    shutil.copytree(home / "config", config)
    _keep_logs_under(folder, config / "jvm.options")
    settings: dict[str, object] = {
        "cluster.name": "syncline-tests",
        "discovery.type": "single-node",
        "network.host": LOOPBACK,
        "http.port": port,
        "transport.port": transport_port,
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "xpack.security.enabled": str(secured).lower(),
        "xpack.security.http.ssl.enabled": "false",
        # As low as a proxy before it may be: to see what a worker does that sends more.
        **({"http.max_content_length": "600kb"} if secured else {}),
        "xpack.security.transport.ssl.enabled": "false",
        # A developer's disk may be fuller than a node accepts, and indices would become read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        **changes,
    }
    lines = [f"{name}: {value}\n" for name, value in settings.items()]
    (config / "elasticsearch.yml").write_text("".join(lines))
    return config


def _keep_logs_under(folder: Path, options: Path) -> None:
    """The JVM's own logs go by default into the distribution, which is shared and read-only."""
    kept = [line for line in options.read_text().splitlines() if "-Xlog:gc" not in line and "-XX:ErrorFile" not in line]
    options.write_text("\n".join([*kept, f"-XX:ErrorFile={folder}/hs_err.log", f"-XX:HeapDumpPath={folder}", ""]))


def _give_all_to(account: int | None, folder: Path) -> None:
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account, account)


def _set_password(home: Path, env: dict[str, str], account: int | None, password: str) -> None:
    keystore = str(home / "bin" / "elasticsearch-keystore")
    processes.run([keystore, "create", "-s"], account=account, env=env)
    add = [keystore, "add", "-x", "-s", "bootstrap.password"]
    processes.run(add, account=account, env=env, stdin=password)


def _authorization(password: str | None) -> dict[str, str]:
    if password is None:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{USER}:{password}".encode()).decode()}
