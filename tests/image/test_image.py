"""The image as it is run in a cluster: restricted, read-only, stopped by SIGTERM. Run by `make image-test`."""

import re
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.process import until
from tests.image.conftest import DEAD_LETTERS, TOPIC, NewContainer, run
from tests.image.container import Container, Image
from tests.servers import processes
from tests.servers.processes import LOOPBACK
from worker import __version__
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_scan import scan
from worker.adapters.kafka_feed import create_topic, kafka_feed
from worker.demo.compare import compare
from worker.demo.corpus import pick, read_corpus
from worker.demo.feed import expected_rows, feed
from worker.settings import load_settings

pytestmark = [pytest.mark.image, pytest.mark.timeout(600)]
ROWS, EVENTS, SEED = 120, 80, 7
LOADED_WITHIN_S = 240
"""Gigabytes of libraries are read from a disk that others use as well."""


def http(port: int, path: str) -> bool:
    return processes.http_ok(f"http://{LOOPBACK}:{port}{path}")


def started(container: Container, port: int) -> Container:
    until(lambda: not container.running or http(port, "/startupz"), lambda: container.text, LOADED_WITHIN_S, 0.2)
    assert container.running, container.text
    return container


def test_the_image_says_what_it_is_and_runs_as_nobody_of_importance(image: Image) -> None:
    print(f"\n{image.name}: {image.size}")
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert labels["syncline.model"] == image.environment["SYNCLINE_IMAGE__MODEL"]
    user, _, group = image.config["User"].partition(":")
    assert int(user) > 0, "a number: Kubernetes cannot tell of a name whether it is root"
    assert int(group) > 0
    assert (image.config["Entrypoint"], image.config["Cmd"]) == (["syncline"], ["run"])
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Healthcheck"]["Test"] == ["CMD", "healthcheck"]


def test_nothing_of_the_build_is_left_in_it(image: Image) -> None:
    for unwanted in ("uv", "build", "root/.cache", "model", "opt/syncline/bin/pip"):
        folder = image.files / unwanted
        assert not folder.exists() or not any(folder.iterdir()), unwanted
    writable = [
        path
        for folder in ("opt/syncline/bin", "opt/model")
        for path in (image.files / folder).rglob("*")
        if not path.is_symlink() and (path.stat().st_uid == 65532 or path.stat().st_mode & 0o002)
    ]
    assert writable == [], "the worker could change its own program"


def test_it_starts_in_a_blink_to_say_its_version(new_container: NewContainer) -> None:
    assert run(new_container, ["--version"]) == (0, f"syncline {__version__}\n")


async def test_apply_run_and_a_feed_of_real_text_until_table_and_index_agree(
    config: Path, port: int, image: Image, new_container: NewContainer
) -> None:
    settings = load_settings(config, image.environment | {})
    await create_topic(settings.kafka, TOPIC, 2)
    await create_topic(settings.kafka, DEAD_LETTERS, 1)
    code, told = run(new_container, ["apply"])
    assert code == 0, told
    documents = pick(read_corpus(), ROWS)
    async with kafka_feed(settings.kafka) as writer:
        records = list(feed(documents, EVENTS, SEED))
        await writer.send(TOPIC, [(record.key, record.value, record.headers) for record in records])

    began = time.monotonic()
    worker = new_container("run")
    until(lambda: http(port, "/livez"), lambda: worker.text, LOADED_WITHIN_S, 0.2)
    assert not http(port, "/readyz"), "it answers from its first second, before the model is there"
    started(worker, port)
    loaded = time.monotonic() - began
    until(lambda: _resolved(port) >= len(records), lambda: worker.text, 120, 0.2)
    assert http(port, "/readyz")
    _is_restricted(worker)
    _is_checked_for_free(worker)
    print(f"\nmodel loaded after {loaded:.1f} s; memory at its highest {_megabytes(worker)} MiB")
    code, seconds = worker.terminate(within_s=settings.delivery.longest_stop)
    assert code == 0, worker.text
    print(f"SIGTERM to exit: {seconds:.1f} s of {settings.delivery.longest_stop:g} s")

    async with build_client(settings.elasticsearch) as client:
        await client.indices.refresh(index=settings.index.reader_alias)
        comparison = await compare(expected_rows(documents, EVENTS, SEED), scan(client, settings.index.reader_alias))
        assert comparison.agrees, comparison
        found = await client.search(index=settings.index.reader_alias, size=1, source_includes=["sync.model"])
        model = found["hits"]["hits"][0]["_source"]["sync"]["model"]
    assert model == f"{image.config['Labels']['syncline.model']}@{image.config['Labels']['syncline.model.revision']}"


def test_sigterm_while_the_model_loads_ends_process_1_at_once(port: int, new_container: NewContainer) -> None:
    worker = new_container("run")
    until(lambda: http(port, "/livez"), lambda: worker.text, LOADED_WITHIN_S, 0.05)
    assert not http(port, "/startupz")
    code, seconds = worker.terminate(within_s=30)
    assert code == 143, worker.text
    assert seconds < 10, "it must not wait for the model"


def test_the_health_check_fails_where_nothing_answers(new_container: NewContainer, port: int) -> None:
    worker = started(new_container("run"), port)
    assert worker.execute("healthcheck").returncode == 0
    other = worker.execute("/bin/bash", "-c", "SYNCLINE_SERVER__PORT=9 exec healthcheck")
    assert other.returncode != 0


def _is_restricted(worker: Container) -> None:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["65532"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["NSpid"].split()[-1] == "1"
    for folder in ("/", "/opt/model", "/opt/syncline", "/etc", "/var/tmp", "/home"):
        tried = worker.execute("/bin/bash", "-c", f"echo x >{folder}/probe")
        assert tried.returncode != 0
        assert "Read-only file system" in tried.stderr or "Permission denied" in tried.stderr, tried.stderr
    assert worker.execute("/bin/bash", "-c", "echo x >/tmp/probe && rm /tmp/probe").returncode == 0
    left = worker.execute("/usr/bin/find", "/tmp", "-type", "f").stdout.split()
    assert not left


def _is_checked_for_free(worker: Container) -> None:
    before = time.monotonic()
    for _ in range(5):
        assert worker.execute("healthcheck").returncode == 0
    healthcheck = (time.monotonic() - before) / 5
    before = time.monotonic()
    assert worker.execute("/opt/syncline/bin/python", "-c", "import urllib.request").returncode == 0
    python = time.monotonic() - before
    print(f"\nhealth check {healthcheck * 1000:.0f} ms, Python {python * 1000:.0f} ms (entering included)")
    assert healthcheck < python


def _resolved(port: int) -> float:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("syncline_records_total{")
    )


def _megabytes(worker: Container) -> int:
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024  # type: ignore[index]
