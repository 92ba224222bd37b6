"""`syncline status` as an operator meets it, on servers: with a worker that runs, that is absent, and exit codes."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.contract.test_topic_reader import trace_of
from tests.integration import test_check
from tests.integration.test_check import syncline
from tests.integration.test_cli import ROOT, environment
from tests.servers.processes import free_ports

config = test_check.config

# Loading torch on a machine that is busy with other tests.
SECONDS = 300


@contextmanager
def running(config: dict[str, Any]) -> Iterator[None]:
    """A worker with these settings, until it is ready."""
    file = config["file"]
    file.write_text(yaml.safe_dump({name: value for name, value in config.items() if name != "file"}))
    log = file.with_suffix(".log")
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", "--config", str(file)],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(SECONDS)
    assert "Traceback" not in log.read_text()


def said(config: dict[str, Any], *arguments: str) -> tuple[int, dict[str, Any]]:
    done = syncline(config, "status", "--json", "--interval", "1", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def until(config: dict[str, Any], code: int, lag: int, *, ready: bool = False) -> dict[str, Any]:
    """Ask until the exit code and the lag are these, and the only worker is ready: it may be asked before its group."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found, status = said(config)
        if (found, status["lag"]) == (code, lag) and (not ready or status["workers"][0].get("ready")):
            return status
    raise AssertionError(f"no exit with {code} at a lag of {lag}")


def subjects(status: dict[str, Any], level: str) -> list[str]:
    return [one["subject"] for section in status["sections"] for one in section["findings"] if one["level"] == level]


def test_a_worker_that_runs_is_seen_from_all_sides(config: dict[str, Any]) -> None:
    (port,) = free_ports(1)
    config["server"] = {"port": port}
    assert syncline(config, "apply").returncode == 0
    code, status = said(config)
    assert (code, status["lag"]) == (1, 3)
    assert subjects(status, "failure") == ["group", "lag"]

    with running(config):
        status = until(config, code=0, lag=0, ready=True)
        assert status["workers"] == [
            {"url": f"http://127.0.0.1:{port}", "answers": True, "ready": True, "reason": None, "halts": []}
            | {name: status["workers"][0][name] for name in ("version", "last_progress")}
        ]
        assert status["workers"][0]["last_progress"] is not None
        (member,) = status["group"]["members"]
        assert len(member["partitions"]) == 2
        assert status["index"]["write_index"] == f"{config['index']['alias']}-v000001"
        done = syncline(config, "status", "--interval", "1")
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80

    # It has left the group.
    status = until(config, code=1, lag=0)
    assert subjects(status, "failure") == ["group"]


@pytest.mark.parametrize("server", ["Kafka", "Elasticsearch"])
def test_a_server_that_is_not_there_exits_with_2_and_the_other_is_looked_at(
    config: dict[str, Any], server: str
) -> None:
    if server == "Kafka":
        config["kafka"]["bootstrap_servers"] = ["127.0.0.1:1"]
    else:
        config["elasticsearch"]["hosts"] = ["http://127.0.0.1:1"]
    code, status = said(config)
    assert (code, status["missing"]) == (2, [server])
    assert (status["group"] is None) == (server == "Kafka")


def test_a_worker_that_is_named_and_not_there_exits_with_2(config: dict[str, Any]) -> None:
    assert syncline(config, "apply").returncode == 0
    code, status = said(config, "--worker", "http://127.0.0.1:1/")
    assert (code, status["missing"]) == (2, ["http://127.0.0.1:1"])
    done = syncline(config, "status", "--worker", "nonsense")
    assert done.returncode == 2
    assert "is no URL of a worker" in done.stderr


def test_nothing_is_left_behind(config: dict[str, Any]) -> None:
    said(config)
    kafka = config["kafka"]
    assert asyncio.run(trace_of(kafka["bootstrap_servers"][0], kafka["group_id"])) == (False, 0)
