"""What the proof on Kubernetes has around it: servers on loopback, the image, an overlay as its user would write it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from tests.e2e.index import call
from tests.image.container import BUILDAH
from tests.repo.promql import DEPLOY
from tests.servers import processes
from tests.servers.jvm import kafka
from tests.servers.kubernetes import programs
from tests.servers.kubernetes.cluster import GATEWAY, PAUSE, Cluster, check_machine, cluster
from tests.servers.processes import LOOPBACK
from tests.soak.rig import (
    ALIAS,
    GROUP,
    TOPIC,
    kafka_tools,
    key_of,
    log_curl_in,
    prepared_topics,
    secured_elasticsearch,
    write_programs,
)
from tests.soak.steady import SteadyLoad
from tools.manifest_schemas import CUSTOM, module_folder

IMAGE: Final = "localhost/syncline:test"
NAMESPACE: Final = "syncline"


@dataclass(frozen=True, slots=True)
class ClusterRig:
    """Running. `shell` is a working directory as the documentation wants it, `env` what its commands want set."""

    cluster: Cluster
    kafka: str
    elasticsearch: str
    load: SteadyLoad
    shell: Path
    env: Mapping[str, str]

    def pods(self) -> list[dict[str, Any]]:
        """The workers' pods, those that are about to end included."""
        workers = "app.kubernetes.io/component=worker"
        found: list[dict[str, Any]] = self.cluster.get("pods", "-n", NAMESPACE, "--selector", workers)["items"]
        return found

    def ready(self) -> int:
        """How many workers are ready and stay."""
        return sum(_is_ready(pod) for pod in self.pods())


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


@contextmanager
def cluster_rig(folder: Path, seed: int) -> Iterator[ClusterRig]:
    """Start Kafka, Elasticsearch and the cluster, and give the cluster what it cannot fetch. Nothing is applied."""
    check_machine()
    with ExitStack() as closing:
        names = f"IP:{LOOPBACK},IP:{GATEWAY}"
        plain, tls = secured_elasticsearch(closing, folder, None, {}, names=names)
        bootstrap, beyond, broker = kafka.prepare(folder / "kafka", gateway=GATEWAY)
        closing.callback(broker.stop)
        broker.start()
        load = prepared_topics(bootstrap, seed)
        built = closing.enter_context(cluster(folder))
        for archive in (_pause_image(folder), _archive(folder, IMAGE)):
            built.load(archive)
            archive.unlink()
        for custom in CUSTOM:
            for file in CUSTOM[custom]:
                built.kubectl("apply", "--server-side", "--filename", str(module_folder(custom) / file))
        shell = _shell(folder, plain, f"{GATEWAY}:{beyond.port}", f"https://{GATEWAY}:{urlsplit(tls).port}")
        write_programs(folder / "bin", kafka_tools(folder))
        env = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "KUBECONFIG": str(built.kubeconfig),
            "ES": tls,
            "CURL_HOME": str(shell),
            "KAFKA": bootstrap,
            "TOPIC": TOPIC,
            "GROUP": GROUP,
            "ALIAS": ALIAS,
        }
        yield ClusterRig(built, bootstrap, plain, load, shell, env)


def _pause_image(folder: Path) -> Path:
    container = processes.run([*BUILDAH, "from", "scratch"]).split()[-1]
    processes.run([*BUILDAH, "copy", container, str(programs.pause()), "/pause"])
    processes.run([*BUILDAH, "config", "--entrypoint", '["/pause"]', container])
    processes.run([*BUILDAH, "commit", "--rm", container, PAUSE])
    return _archive(folder, PAUSE)


def _archive(folder: Path, image: str) -> Path:
    path = folder / f"{image.rpartition('/')[2].partition(':')[0]}.tar"
    processes.run([*BUILDAH, "push", image, f"docker-archive:{path}:{image}"])
    return path


def _shell(folder: Path, plain: str, kafka_address: str, elasticsearch_address: str) -> Path:
    """A copy of `deploy`, with an overlay of the user's own; keys and authorities by the names of the documentation."""
    shell = folder / "shell"
    shell.mkdir()
    copytree(DEPLOY, shell / "deploy")
    _overlay(shell / "deploy" / "kustomize", kafka_address, elasticsearch_address)
    for role in ("worker", "purge", "admin"):
        made = call("POST", f"{plain}/_security/api_key", key_of(role))
        (shell / f"{role}.key").write_text(made["encoded"])
    authority = (folder / "admin" / "authority.pem").read_text()
    for name in ("elasticsearch-ca.pem", "kafka-ca.pem"):
        (shell / name).write_text(authority)
    (shell / "kafka-password").write_text("not asked for")
    log_curl_in(shell, shell / "elasticsearch-ca.pem")
    return shell


def _overlay(kustomize: Path, kafka_address: str, elasticsearch_address: str) -> None:
    """Change of production-cpu what step 3 of the installation says, and make it small."""
    settings = kustomize / "base" / "syncline.yaml"
    content = yaml.safe_load(settings.read_text())
    content["kafka"]["bootstrap_servers"] = [kafka_address]
    del content["kafka"]["security"]
    del content["sources"][0]["fields"]["tags"]  # as little as `SteadyLoad` writes
    content["elasticsearch"]["hosts"] = [elasticsearch_address]
    settings.write_text(yaml.safe_dump(content, sort_keys=False))
    overlay = kustomize / "overlays" / "production-cpu" / "kustomization.yaml"
    text = yaml.safe_load(overlay.read_text())
    text["images"] = [{"name": "syncline", "newName": IMAGE.rpartition(":")[0], "newTag": IMAGE.rpartition(":")[2]}]
    size = {"requests": {"cpu": "200m", "memory": "1536Mi"}, "limits": {"cpu": "1", "memory": "1536Mi"}}
    place = "/spec/template/spec/containers/0/resources"
    small = json.dumps([{"op": "replace", "path": place, "value": size}])
    text["patches"] = [{"target": {"kind": "Deployment", "name": "syncline"}, "patch": small}]
    overlay.write_text(yaml.safe_dump(text, sort_keys=False))


def typed(built: ClusterRig, line: str, within_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Execute a command as somebody types it; one that asks for a terminal gets one."""
    shell = f"set -o pipefail; {line}"
    terminal = ["script", "--quiet", "--return", "--command", shell, "/dev/null"]
    return subprocess.run(
        terminal if "--tty" in line else ["bash", "-c", shell],
        check=False,
        capture_output=True,
        text=True,
        cwd=built.shell,
        env={**os.environ, **built.env},
        timeout=within_s,
        stdin=subprocess.DEVNULL,
    )
