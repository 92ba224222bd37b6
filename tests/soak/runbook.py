"""Execute the runbook's commands on real servers, as somebody types it, and write down what was executed where.

    python -m tests.soak.runbook

A rig as for incidents, with nothing wrong; names in capitals are replaced by what is there. Every `kubectl` is for
`tests.soak.kubernetes`. Writes docs/runbook.md; what the commands print is kept in `build/incidents`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg

from tests.e2e.process import until
from tests.e2e.programs import ROOT
from tests.faults.stage import Background
from tests.repo import runbook
from tests.servers.embedding import embedding_server
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.start import Servers
from tests.soak import verdict
from tests.soak.direct import send_unreadable
from tests.soak.report import Report
from tests.soak.rig import ALIAS, DEAD_LETTERS, FORMER_INDEX, LIVE_INDEX, TOPIC, Rig, new_key, rig
from tests.soak.surroundings import real_servers
from tests.threads import beside

PAGE: Final = ROOT / "docs" / "runbook.md"
_HERE: Final = "real servers"
_CLUSTER: Final = {"kubectl": "a cluster of Kubernetes"}
_STAND_IN: Final = {'curl "$EMBEDDER': "an embedding server of the tests"}
_CONNECTOR: Final = "shown"
_ROLES: Final = {"syncline apply": "admin", "syncline purge": "purge", "syncline search": "reader"}
"""Commands that need another key than the workers'."""
_EXIT_CODES: Final = {"syncline dead-letters replay": 1}
"""What a command ends with here, where it is not 0: the dead letter is no JSON, and so is rejected again."""


class Typist:
    """Types commands into a shell that has sourced the rig's `env`."""

    def __init__(self, built: Rig, report: Report, variables: Mapping[str, str]) -> None:
        """`variables` are those that the rig's `env` does not set."""
        self.built = built
        self._variables = variables
        self.done: list[str] = []
        self._report = report
        self._folder = _scratch(built)
        self._instead = {
            "TENANT/SOURCE/KEY": "acme/articles/3",
            "TENANT": "acme",
            "WORD": "boat",
            "0:17": "0:0",
            "FILE": str(built.deployment.files.settings),
            "WORKER:9109": urlsplit(built.deployment.pods[0].url).netloc,
            "$ALIAS-v00000N": FORMER_INDEX,
            "DEAD_LETTER_TOPIC": DEAD_LETTERS,
            "--create --topic syncline.dead-letters": "--create --topic another.dead-letters",
            "CONNECTOR": _CONNECTOR,
            "NAME": "syncline-worker",
            '"INDEX"': f'"{LIVE_INDEX}"',
        }

    def type(self, command: str) -> None:
        """Execute one; an exit code other than the expected one is a violation."""
        line = command
        for name, value in self._instead.items():
            line = line.replace(name, value)
        role = next((role for start, role in _ROLES.items() if line.startswith(start)), None)
        if "OLD_ID" in line:
            line = line.replace("OLD_ID", new_key(self.built, "worker")["id"])
        shell = f". {self.built.folder}/env; set -o pipefail; {line}"
        key = {} if role is None else {"SYNCLINE_ELASTICSEARCH__API_KEY_FILE": str(self._folder / f"{role}.key")}
        ended = subprocess.run(
            ["bash", "-c", shell],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env={**os.environ, **self._variables, **key},
            timeout=180,
        )
        self.done.append(command)
        with (self._report.folder / "output.txt").open("a") as output:
            output.write(f"$ {line}\n{ended.stdout}{ended.stderr}[exit code {ended.returncode}]\n\n")
        self._report.log(f"{ended.returncode:3}  {line}")
        expected = next((code for start, code in _EXIT_CODES.items() if line.startswith(start)), 0)
        if ended.returncode != expected:
            self._report.violation(f"exit code {ended.returncode}: {(ended.stderr or ended.stdout)[-300:]}")


def main() -> int:
    folder = ROOT / "build" / "incidents" / f"runbook-{os.getpid()}"
    report = Report("The commands of the runbook", folder)
    commands = runbook.commands()
    with report.closing(), real_servers(folder) as servers, rig(servers, folder, disk_bytes=None, seed=1) as built:
        until(lambda: built.deployment.ready, "the workers are not ready", 240, every_s=1)
        with beside(built.load.run, "load"), _embedder() as embedder:
            typist = Typist(built, report, {"EMBEDDER": embedder, "CONNECT": _connect(servers)})
            send_unreadable(built.kafka, TOPIC)
            time.sleep(10)
            for command in commands:
                if command.startswith("kubectl"):
                    continue
                prepare, follow = _around(command)
                prepare(built)
                typist.type(command)
                follow(built)
        verdict.tell(report, verdict.at_rest(built))
        report.figure("commands executed", len(typist.done))
        report.figure("commands for a cluster", len(commands) - len(typist.done))
    if not report.violations:
        _write(commands)
    return report.exit_code


def executed_on(command: str) -> str:
    """Where it is executed."""
    others = {**_CLUSTER, **_STAND_IN}
    return next((where for start, where in others.items() if command.startswith(start)), _HERE)


@contextmanager
def _embedder() -> Iterator[str]:
    """The address of an embedding server."""
    background = Background()
    serving = embedding_server()
    try:
        yield background.run(serving.__aenter__()).url
        background.run(serving.__aexit__(None, None, None))
    finally:
        background.close()


def _connect(servers: Servers) -> str:
    """The address of Kafka Connect, with a connector of Debezium."""
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as database:
        database.execute("CREATE TABLE articles (id bigint PRIMARY KEY, title text)")
    servers.connect.add(PostgresConnector(prefix=_CONNECTOR, tables=["public.articles"]))
    return servers.connect.url


def _scratch(built: Rig) -> Path:
    """A working directory that looks like the repository's, with the keys that some commands need."""
    folder = built.folder / "shell"
    folder.mkdir()
    (folder / "deploy").symlink_to(ROOT / "deploy")
    for role in ("admin", "purge"):
        (folder / f"{role}.key").write_text(new_key(built, role)["encoded"])
    reads = {"reader": {"indices": [{"names": [ALIAS], "privileges": ["read"]}]}}
    key = built.call("POST", "/_security/api_key", {"name": "reader", "role_descriptors": reads})
    (folder / "reader.key").write_text(key["encoded"])
    return folder


def _around(command: str) -> tuple[Callable[[Rig], None], Callable[[Rig], None]]:
    """What makes it the moment for a command, and what ends that moment."""
    if "--reset-offsets" in command:
        return _stop_workers, _start_workers
    if '"INDEX"' in command:
        return _remove_aliases, _nothing
    return _nothing, _nothing


def _nothing(_: Rig) -> None:
    pass


def _remove_aliases(built: Rig) -> None:
    actions = [{"remove": {"index": LIVE_INDEX, "alias": alias}} for alias in (ALIAS, f"{ALIAS}-write")]
    built.call("POST", "/_aliases", {"actions": actions})


def _stop_workers(built: Rig) -> None:
    _scale(built, 0)
    until(lambda: not any(pod.running for pod in built.deployment.pods), "workers are still there", 120, every_s=1)


def _start_workers(built: Rig) -> None:
    _scale(built, 2)
    with suppress(AssertionError):
        until(lambda: built.deployment.ready, "", 240, every_s=1)


def _scale(built: Rig, workers: int) -> None:
    subprocess.run([str(built.folder / "bin" / "rollout"), "scale", str(workers)], check=True)


def _write(commands: list[str]) -> None:
    """Put the table into the page, between its marks."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- executed:begin -->\n")
    _, _, tail = rest.partition("<!-- executed:end -->\n")
    rows = "".join(f"| `{runbook.cell(one)}` | {executed_on(one)} |\n" for one in commands)
    table = f"<!-- executed:begin -->\n| command | executed on |\n|---|---|\n{rows}<!-- executed:end -->\n"
    PAGE.write_text(f"{head}{table}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
