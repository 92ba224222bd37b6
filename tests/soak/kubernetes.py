"""The manifests, and the commands of the documentation, on a real cluster with the real image.

    python -m tests.soak.kubernetes

Needs root, the image of `make image-test`, and what `tests/servers/kubernetes/cluster.py` names. Everything in
deploy/kubernetes.md and every `kubectl` of the runbook is typed in the order of the text, while changes come; at the
end every row must be in the index as it was written last.
"""

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.e2e.index import call
from tests.e2e.process import until
from tests.repo import runbook
from tests.repo.promql import DEPLOY
from tests.servers.processes import ServerFailedError
from tests.soak import verdict
from tests.soak.cluster_rig import NAMESPACE, ClusterRig, cluster_rig, typed
from tests.soak.direct import send_unreadable
from tests.soak.report import Report
from tests.soak.rig import TOPIC
from tests.soak.surroundings import report_folder, tidy_end
from tests.threads import beside

GUIDE: Final = (DEPLOY / "kubernetes.md").read_text(encoding="utf-8")
_KEY: Final = ('curl -X POST "$ES/_security/api_key"', "jq '{stringData")
"""How the runbook begins to make a new key for the Secret."""
_PATIENCE_S: Final = 300


@dataclass(slots=True)
class Proof:
    built: ClusterRig
    report: Report
    typed: int = 0

    def type(self, command: str) -> None:
        """Execute a command as it is written, with names for what is in capitals, and wait for what it begins."""
        line = command.replace("POD", self.pod()).replace("--bootstrap-server ...", '--bootstrap-server "$KAFKA"')
        line = line.replace("--to-datetime ...", "--to-datetime 2026-01-01T00:00:00.000")
        began = time.monotonic()
        ended = typed(self.built, line, _PATIENCE_S)
        self.typed += 1
        with (self.report.folder / "output.txt").open("a") as output:
            output.write(f"$ {line}\n{ended.stdout}{ended.stderr}[exit code {ended.returncode}]\n\n")
        self.report.log(f"{ended.returncode:3}  {time.monotonic() - began:4.0f} s  {line}")
        # kubectl goes on without a terminal, if it has none, and then shows nothing of what the command prints.
        if "couldn't attach" in ended.stdout + ended.stderr or (not ended.stdout and "debug" in line):
            self.report.violation(f"nothing is shown: {line}")
        if ended.returncode:
            self.report.violation(f"exit code {ended.returncode}: {line}: {(ended.stderr or ended.stdout)[-300:]}")
        self._follow(command)

    def _follow(self, command: str) -> None:
        if "--replicas=0" in command:
            self._gone()
        elif any(word in command for word in ("kubectl scale", "rollout restart", "rollout undo")):
            self.wait(" ".join(re.findall(r"scale|rollout \w+|--replicas=\d", command)))

    def _gone(self) -> None:
        until(lambda: not self.built.pods(), "pods are still there", _PATIENCE_S, every_s=1)

    def scale(self, workers: int, what: str) -> None:
        """Have so many workers, beside what is typed."""
        self.built.cluster.kubectl("scale", "deployment/syncline", "-n", NAMESPACE, f"--replicas={workers}")
        if workers:
            self.wait(what)
        else:
            self._gone()

    def pod(self) -> str:
        """The name of a worker's pod that stays."""
        pods = [pod["metadata"]["name"] for pod in self.built.pods() if "deletionTimestamp" not in pod["metadata"]]
        return pods[0] if pods else "POD"

    def wait(self, what: str, within_s: float = _PATIENCE_S) -> None:
        """Wait until as many workers are ready as are wanted, of the newest settings, and no other is there."""
        began = time.monotonic()
        until(self._settled, lambda: f"{what}: {self.built.cluster.kubectl('get', 'pods', '-A')}", within_s, every_s=1)
        self.report.figure(f"{what}: settled after", f"{time.monotonic() - began:.0f} s")

    def _settled(self) -> bool:
        deployment = self.built.cluster.get("deployment", "syncline", "-n", NAMESPACE)
        status, wanted = deployment["status"], deployment["spec"]["replicas"]
        ready, current = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
        is_seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return bool(is_seen and ready == current == wanted == len(self.built.pods()))

    @contextmanager
    def watched(self, least: int) -> Iterator[None]:
        """Never fewer workers than this are ready while the block runs."""
        seen: list[int] = []

        def look(stopping: threading.Event) -> None:
            while not stopping.wait(0.5):
                seen.append(self.built.ready())

        with beside(look, "ready pods"):
            yield
        if min(seen) < least:
            self.report.violation(f"only {min(seen)} workers were ready at a time, not {least}")


def install(one: Proof) -> list[str]:
    """Do what the guide says until workers run; return the guide's other commands."""
    commands = [line for line in runbook.commands(GUIDE) if line.startswith(("kubectl", "kafka-"))]
    applied = next(number for number, line in enumerate(commands) if line.startswith("kubectl apply -k"))
    for line in commands[: applied + 1]:
        one.type(line)
    one.wait("the overlay is applied")
    (job,) = one.built.cluster.get("jobs", "-n", NAMESPACE)["items"]
    if job["status"].get("succeeded") != 1:
        one.report.violation(f"the Job has not succeeded: {job['status']}")
    one.scale(2, "two workers")
    return commands[applied + 1 :]


def guide(one: Proof, commands: list[str]) -> None:
    """Type what comes after the installation."""
    for command in commands:
        if command.startswith("kafka-"):
            one.scale(0, "stopped")
            one.type(command)
            one.scale(2, "started again")
        elif "rollout restart" in command:
            with one.watched(least=1):
                one.type(command)
        else:
            one.type(command)
    one.type("kubectl apply -k deploy/kustomize/overlays/production-cpu")
    one.scale(2, "applied again")


def disruption(one: Proof) -> None:
    """A node is drained: one worker may go, the next only when the first is back."""
    before = [pod["metadata"]["name"] for pod in one.built.pods()]
    refused = [name for name in before if not _evicted(one, name)]
    if len(refused) != len(before) - 1:
        one.report.violation(f"of {len(before)} workers {len(refused)} could not be evicted at once")
    one.wait("evicted")


def _evicted(one: Proof, pod: str) -> bool:
    metadata = {"name": pod, "namespace": NAMESPACE}
    eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    try:
        one.built.cluster.kubectl("create", "--raw", path, "--filename=-", stdin=eviction)
    except ServerFailedError as refusal:
        if "disruption budget" not in str(refusal):
            raise
        return False
    return True


def on_call(one: Proof) -> None:
    """Type every `kubectl` of the runbook; a new key takes the two commands before it."""
    send_unreadable(one.built.kafka, TOPIC)
    for command in runbook.commands():
        if command.startswith(("kubectl", *_KEY)):
            one.type(command)
        if command.startswith("kubectl patch secret"):
            new_key(one)


def new_key(one: Proof) -> None:
    """The kubelet brings the new key; then the old one is of no more use, and nobody halts."""
    secret = json.loads((one.built.shell / "secret.json").read_text())["stringData"]["elasticsearch-api-key"]
    began = time.monotonic()
    show = ["exec", one.pod(), "-n", NAMESPACE, "--", "cat", "/etc/syncline/credentials/elasticsearch-api-key"]
    until(lambda: one.built.cluster.kubectl(*show).strip() == secret, "the key has not come", 180, every_s=2)
    one.report.figure("a new key is in the pod after", f"{time.monotonic() - began:.0f} s")
    keys = call("GET", f"{one.built.elasticsearch}/_security/api_key?name=syncline-worker&active_only=true")["api_keys"]
    old = min(keys, key=lambda key: int(key["creation"]))
    call("DELETE", f"{one.built.elasticsearch}/_security/api_key", {"ids": [old["id"]]})
    with one.watched(least=2):
        time.sleep(30)


def restarts(one: Proof) -> None:
    """What a container ended with, where one did."""
    for pod in one.built.pods():
        for container in pod["status"]["containerStatuses"]:
            if container["restartCount"]:
                one.report.violation(f"{pod['metadata']['name']} was restarted: {container['lastState']}")


def main() -> int:
    report = Report("On a cluster of Kubernetes", report_folder("kubernetes", 0))
    folder = report.folder / "rig"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with report.closing(), tidy_end(), cluster_rig(folder, seed=1) as built:
        one = Proof(built, report)
        report.log("the cluster is ready")
        with beside(built.load.run, "load"):
            left = install(one)
            disruption(one)
            guide(one, left)
            restarts(one)
            on_call(one)
            restarts(one)
        verdict.tell(report, verdict.at_rest(built))
        report.figure("commands typed", one.typed)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
