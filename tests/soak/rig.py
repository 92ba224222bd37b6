"""A small cluster for somebody to be on call for: secured Elasticsearch behind TLS, Kafka, workers, Prometheus.

What an operator of a real cluster has lies in the rig's folder, and nothing else that would help: the settings, the
workers' logs and Secret, an administrator's credentials, Kafka's tools, and `rollout` for `kubectl rollout`.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from tests.e2e import programs
from tests.e2e.index import call
from tests.faults.stage import Background
from tests.repo.promql import DEPLOY, RULE_FILES
from tests.servers.certificates import Authority
from tests.servers.jvm import elasticsearch
from tests.servers.jvm.kafka import java
from tests.servers.jvm.servers import PASSWORD
from tests.servers.processes import LOOPBACK
from tests.servers.prometheus.programs import promtool
from tests.servers.prometheus.rules import faster
from tests.servers.prometheus.server import Prometheus, prepare
from tests.servers.proxy import Proxy
from tests.servers.start import Servers
from tests.soak import disk
from tests.soak.deployment import Deployment
from tests.soak.rollout import Desired
from tests.soak.steady import COLUMNS, SOURCE, SteadyLoad
from tests.soak.surroundings import create_topic, tiny_model
from tests.threads import beside

ALIAS: Final = "articles"
FORMER_INDEX: Final = f"{ALIAS}-v000001"
LIVE_INDEX: Final = f"{ALIAS}-v000002"
TOPIC: Final = "shop.public.articles"
DEAD_LETTERS: Final = "syncline.dead-letters"
GROUP: Final = "syncline-articles"
FASTER: Final = 10
"""An hour of the alert rules takes six minutes."""
_PARTITIONS: Final = 4
_A_SECOND: Final = 12
_TOOLS: Final = {
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}


@dataclass(frozen=True, slots=True)
class Rig:
    """Running; `folder` is the operator's, `elasticsearch` the address for us, plain and with the superuser in it."""

    folder: Path
    kafka: str
    elasticsearch: str
    elasticsearch_tls: str
    prometheus: Prometheus
    deployment: Deployment
    load: SteadyLoad

    @property
    def key_file(self) -> Path:
        return self.folder / "secrets" / "elasticsearch-api-key"

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask Elasticsearch as its superuser."""
        return call(method, f"{self.elasticsearch}{path}", body)


@contextmanager
def rig(
    servers: Servers,
    folder: Path,
    *,
    disk_bytes: int | None,
    seed: int,
    node: Mapping[str, object] = MappingProxyType({}),
    settings: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    times: int = FASTER,
) -> Iterator[Rig]:
    """Start everything and make the index; with `disk_bytes` Elasticsearch's data is on a disk of that size.

    `node` and `settings` are more settings, of Elasticsearch and of the workers; the alerts are `times` faster.
    """
    with ExitStack() as closing:
        plain, tls = secured_elasticsearch(closing, folder, disk_bytes, node)
        load = prepared_topics(servers.kafka, seed)
        content = _settings(servers.kafka, tls, folder)
        for group, values in settings.items():
            content[group] = {**content.get(group, {}), **values}
        deployment = Deployment(folder, folder / "logs", [sys.executable, "-m", "worker"])
        (folder / "logs").mkdir()
        # A release that everybody has forgotten, and today's.
        for level in ("debug", "info"):
            deployment.files.settings.write_text(yaml.safe_dump({**content, "log": {"level": level}}, sort_keys=False))
            deployment.files.apply()
        targets = [f"{LOOPBACK}:{urlsplit(pod.url).port}" for pod in deployment.pods[:2]]
        prometheus = prepare(folder / ".prometheus", targets, faster(RULE_FILES, times))
        closing.callback(prometheus.server.stop)
        prometheus.server.start()
        built = Rig(folder, servers.kafka, plain, tls, prometheus, deployment, load)
        _credentials(built)
        _tools(built)
        _index(built)
        deployment.files.ask(Desired(deployment.files.desired.revision, 0, 2))
        closing.enter_context(beside(deployment.run, "deployment"))
        yield built


def prepared_topics(bootstrap: str, seed: int) -> SteadyLoad:
    """Create the topics; the load for them, which is not yet running."""
    create_topic(bootstrap, TOPIC, _PARTITIONS)
    create_topic(bootstrap, DEAD_LETTERS)
    return SteadyLoad(bootstrap, TOPIC, _A_SECOND, seed)


def secured_elasticsearch(
    closing: ExitStack,
    folder: Path,
    disk_bytes: int | None,
    node: Mapping[str, object],
    *,
    names: str = f"IP:{LOOPBACK}",
) -> tuple[str, str]:
    """Start a node; its plain address with the superuser in it, and that of its TLS, whose certificate has `names`."""
    home = closing.enter_context(disk.folder_on_disk(disk_bytes))
    changes = {"http.max_content_length": "100mb", "cluster.info.update.interval": "10s", **node}
    if disk_bytes is not None:
        changes["cluster.routing.allocation.disk.threshold_enabled"] = "true"
    url, server = elasticsearch.prepare(home / "elasticsearch", password=PASSWORD, changes=changes)
    closing.callback(server.stop)
    server.start()
    address = urlsplit(url)
    authority = Authority(folder / "admin")
    certificate = authority.issue("server", address=names)
    proxy = Proxy((LOOPBACK, address.port or 0), tls=certificate.server_context())
    background = Background()
    closing.callback(background.close)
    background.run(proxy.start())
    closing.callback(lambda: background.run(proxy.close()))
    for private in (folder / "admin").iterdir():
        private.chmod(0o600)
    return url.replace("://", f"://{elasticsearch.USER}:{PASSWORD}@"), f"https://{LOOPBACK}:{proxy.port}"


def _settings(kafka: str, tls: str, folder: Path) -> dict[str, Any]:
    return {
        "kafka": {"bootstrap_servers": [kafka], "group_id": GROUP, "dead_letter_topic": DEAD_LETTERS},
        "elasticsearch": {
            "hosts": [tls],
            "api_key_file": str(folder / "secrets" / "elasticsearch-api-key"),
            "ca_file": str(folder / "secrets" / "elasticsearch-ca.pem"),
        },
        "index": {"alias": ALIAS},
        "sources": [
            {
                "name": SOURCE,
                "topics": [TOPIC],
                "id": ["id"],
                "tenant": "tenant",
                "fields": {name: name for name in COLUMNS if name != "byline"},
                "embed": ["title", "content"],
            }
        ],
        # Under the name that the index is made for: nothing but the incident shall look odd.
        "embedding": {"path": tiny_model()["path"]},
    }


def key_of(role: str) -> dict[str, Any]:
    """What one of the keys of SECURITY.md may do."""
    body: dict[str, Any] = json.loads((DEPLOY / "elasticsearch" / f"{role}-key.json").read_text())
    return body


def new_key(built: Rig, role: str) -> dict[str, Any]:
    """Make one of the keys of SECURITY.md."""
    return built.call("POST", "/_security/api_key", key_of(role))


def _credentials(built: Rig) -> None:
    """The workers' Secret, and what an administrator has."""
    secrets, admin = built.folder / "secrets", built.folder / "admin"
    secrets.mkdir()
    authority = (admin / "authority.pem").read_text()
    (secrets / "elasticsearch-ca.pem").write_text(authority)
    built.key_file.write_text(new_key(built, "worker")["encoded"])
    (admin / "apply.key").write_text(new_key(built, "admin")["encoded"])
    log_curl_in(admin, admin / "authority.pem")


def log_curl_in(folder: Path, authority: Path) -> None:
    """Write the files by which `curl` with this CURL_HOME is Elasticsearch's superuser."""
    (folder / "netrc").write_text(f"machine {LOOPBACK} login {elasticsearch.USER} password {PASSWORD}\n")
    files = f'cacert = "{authority}"\nnetrc-file = "{folder}/netrc"\n'
    (folder / ".curlrc").write_text(f"silent\nshow-error\nfail-with-body\n{files}")


def _tools(built: Rig) -> None:
    """Programs under `bin`, and `env`, which a shell sources."""
    folder = built.folder
    python = f"exec {shlex.quote(sys.executable)} -m"
    scripts = {"syncline": f'{python} worker "$@"', "rollout": f'{python} tests.soak.rollout {folder} "$@"'}
    scripts |= kafka_tools(folder / "bin")
    scripts["promtool"] = f'exec {promtool()} "$@"'
    environ = {name: value for name, value in programs.environment().items() if name.startswith(("PYTHON", "HF_"))}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environ.items())
    write_programs(folder / "bin", {name: f"{exports}{script}" for name, script in scripts.items()})
    variables = {
        "ES": built.elasticsearch_tls,
        "CURL_HOME": str(folder / "admin"),
        "KAFKA": built.kafka,
        "TOPIC": TOPIC,
        "GROUP": GROUP,
        "ALIAS": ALIAS,
        "PROMETHEUS": built.prometheus.url,
        "SYNCLINE_CONFIG": str(folder / "syncline.yaml"),
        "PATH": f"{folder}/bin:$PATH",
    }
    (folder / "env").write_text("".join(f'export {name}="{value}"\n' for name, value in variables.items()))


def kafka_tools(folder: Path) -> dict[str, str]:
    """Shell commands that stand for Kafka's own scripts, by name."""
    return {name: f'exec {shlex.join([*java(folder), program])} "$@"' for name, program in _TOOLS.items()}


def write_programs(folder: Path, scripts: Mapping[str, str]) -> None:
    """Make each a program of its name."""
    folder.mkdir()
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def _index(built: Rig) -> None:
    """Apply as the Job does; then move on to the next index, as after a rebuild: the former one was left behind."""
    environ = {
        **os.environ,
        **programs.environment(),
        "SYNCLINE_ELASTICSEARCH__API_KEY_FILE": str(built.folder / "admin" / "apply.key"),
    }
    command = [sys.executable, "-m", "worker", "apply", "--config", str(built.deployment.files.settings)]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL, timeout=120)
    built.call("PUT", f"/{LIVE_INDEX}")
    aliases = built.call("GET", f"/{FORMER_INDEX}/_alias")[FORMER_INDEX]["aliases"]
    move: list[dict[str, Any]] = [{"remove": {"index": FORMER_INDEX, "alias": alias}} for alias in aliases]
    move += [{"add": {"index": LIVE_INDEX, "alias": alias, **body}} for alias, body in aliases.items()]
    built.call("POST", "/_aliases", {"actions": move})
