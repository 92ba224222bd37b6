"""Faults that are no record's, on real servers: the worker halts within seconds, stays up, and goes on by itself."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.e2e.checks import check_index
from tests.e2e.index import call
from tests.e2e.process import until
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm

DELIVERY: Final = {"halt_probe_interval": "2s"}
WITHIN_S: Final = 10


@pytest.fixture(scope="module")
def running(
    servers: Servers, tiny_model: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("halts")
    with scene(servers, folder, Table("articles"), model=tiny_model, delivery=DELIVERY) as built:
        built.insert("acme", 1, "first")
        built.connect()
        built.worker.start()
        built.settle()
        pid = built.worker.pid
        yield built
        assert built.worker.pid == pid
        built.worker.check_running()


def settings(scene: Scene, **values: object) -> None:
    index = f"{scene.index.url}/{scene.index.alias}-v000001"
    call("PUT", f"{index}/_settings", {f"index.blocks.{name}": value for name, value in values.items()})


def aliases(scene: Scene, action: str, **more: object) -> None:
    of = {"index": f"{scene.index.alias}-v000001", "alias": f"{scene.index.alias}-write", **more}
    call("POST", f"{scene.index.url}/_aliases", {"actions": [{action: of}]})


Act = Callable[[Scene], None]


@pytest.mark.parametrize(
    ("reason", "break_it", "mend_it"),
    [
        pytest.param(
            "write_blocked", lambda s: settings(s, write=True), lambda s: settings(s, write=None), id="write block"
        ),
        pytest.param(
            "disk_flood_stage",
            lambda s: settings(s, read_only_allow_delete=True),
            lambda s: settings(s, read_only_allow_delete=None),
            id="flood stage",
        ),
        pytest.param(
            "target_missing",
            lambda s: aliases(s, "remove"),
            lambda s: aliases(s, "add", is_write_index=True),
            id="alias removed",
        ),
    ],
)
def test_a_fault_of_the_index_halts_and_its_end_lifts_the_halt(
    running: Scene, reason: str, break_it: Act, mend_it: Act
) -> None:
    break_it(running)
    running.execute("UPDATE {table} SET title = %s WHERE id = 1", f"while {reason}")
    running.flush()
    until_halted(running, reason)
    assert running.worker.is_live(), "a restart of the worker would mend nothing"
    assert reason in ready_text(running)
    texts = running.worker.scrape().total("syncline_embedded_texts_total")
    time.sleep(5)
    assert running.worker.scrape().total("syncline_embedded_texts_total") == texts, "what is in hand is kept"
    mend_it(running)
    started = time.monotonic()
    until(lambda: halted(running, reason) == 0, lambda: running.worker.told("still halted"), WITHIN_S)
    print(f"{reason}: went on {time.monotonic() - started:.1f} s after it was mended")  # noqa: T201
    running.settle()
    assert running.worker.is_ready()
    check_index(running)


def until_halted(scene: Scene, reason: str) -> None:
    until(lambda: halted(scene, reason) == 1, lambda: scene.worker.told(f"not halted by {reason}"), WITHIN_S)


def halted(scene: Scene, reason: str) -> float:
    return scene.worker.scrape().total("syncline_halted", reason=reason)


def ready_text(scene: Scene) -> str:
    with pytest.raises(urllib.error.HTTPError) as refusal, urllib.request.urlopen(f"{scene.worker.url}/readyz"):
        pass
    return str(refusal.value.read().decode())


class Secured:
    """An Elasticsearch with security, asked as its superuser."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.url = f"http://{parts.hostname}:{parts.port}"
        self._basic = "Basic " + base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": self._basic}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def new_key(self, file: Path) -> str:
        """Write a new API key into the file; returns its id."""
        key = self.call("POST", "/_security/api_key", {"name": "worker"})
        file.write_text(f"{key['encoded']}\n")
        return str(key["id"])

    def invalidate(self, key: str) -> None:
        self.call("DELETE", "/_security/api_key", {"ids": [key]})

    def titles(self, alias: str) -> set[str]:
        found = self.call("POST", f"/{alias}-write/_search?_source=title&size=100", {"query": {"match_all": {}}})
        return {hit["_source"]["title"] for hit in found["hits"]["hits"]}


def test_a_rotated_key_needs_no_restart(servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path) -> None:
    secured = Secured(servers.elasticsearch_secured)
    file = tmp_path / "key"
    first = secured.new_key(file)
    elasticsearch = {"hosts": [secured.url], "api_key_file": str(file)}
    with scene(
        servers,
        tmp_path / "keys",
        Table("articles"),
        model=tiny_model,
        delivery=DELIVERY,
        elasticsearch=elasticsearch,
    ) as built:
        built.insert("acme", 1, "by the first key")
        built.connect()
        built.worker.start()
        built.settle()

        second = secured.new_key(file)
        secured.invalidate(first)
        built.insert("acme", 2, "by the second key")
        built.settle()
        assert built.worker.scrape().total("syncline_halts_total") == 0, "the new key was there in time"

        secured.invalidate(second)
        built.insert("acme", 3, "by the third key")
        built.flush()
        until_halted(built, "unauthenticated")
        assert built.worker.is_live()
        assert "unauthenticated" in ready_text(built)
        secured.new_key(file)
        until(built.worker.is_ready, lambda: built.worker.told("still halted"), WITHIN_S)
        built.settle()
        assert built.worker.scrape().total("syncline_halts_total") >= 1
        secured.call("POST", f"/{built.index.alias}-write/_refresh")
        assert secured.titles(built.index.alias) == {f"by the {which} key" for which in ("first", "second", "third")}
