"""Operator mistakes as the operator meets them: one clear sentence, the setting to change, an exit code, and soon.

Each test starts the real command. What goes wrong is the only thing that is wrong: the settings are otherwise those of
a worker that would run (but for the model, whose loading comes last and is reached by one test only).
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers.start import Servers
from worker.adapters.kafka_feed import create_topic
from worker.demo.model import embedding_settings
from worker.settings import KafkaSettings

ROOT = Path(__file__).parent.parent.parent
SECRET = "hunter2-MARK"
SECONDS = 30
# Loading torch on a machine that is busy with other tests.
SECONDS_WITH_MODEL = 120


@dataclass(frozen=True)
class Bench:
    """A folder to run in, and what the worker's settings would be if nothing were wrong."""

    folder: Path
    settings: dict[str, Any]
    elasticsearch: str
    kafka: str

    def refusal(
        self, change: dict[str, Any] | str, command: str = "run", *, within: float = SECONDS, **variables: str
    ) -> str:
        """Run a command with changed settings; return the one sentence that it ends with."""
        text = change if isinstance(change, str) else yaml.safe_dump(laid_over(self.settings, change))
        file = self.folder / "syncline.yaml"
        file.write_text(text)
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "worker", *command.split()],
            cwd=self.folder,
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        took = time.monotonic() - started
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stderr
        *before, sentence = done.stderr.splitlines()
        # What is logged before it is no noise of libraries.
        assert {json.loads(line)["logger"].partition(".")[0] for line in before} <= {"worker"}
        assert sentence.startswith("syncline: ")
        sentence = sentence.removeprefix("syncline: ")
        print(f"\n[{took:.1f} s] {sentence}")  # noqa: T201 - to be read with -rP: is it a good sentence?
        return sentence


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SYNCLINE_")}
    return {**inherited, "PYTHONPATH": str(ROOT)}


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = laid_over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


@pytest.fixture(scope="module")
def made(servers: Servers) -> dict[str, Any]:
    """Settings of a worker that would run: their index and their topic are there."""
    name = f"m{uuid.uuid4().hex[:8]}"
    source = {
        "name": "articles",
        "topics": [f"{name}.articles"],
        "id": ["id"],
        "tenant": "tenant",
        "fields": {"title": "title"},
        "embed": ["title"],
    }
    settings = {
        "kafka": {"bootstrap_servers": [servers.kafka], "group_id": name},
        "elasticsearch": {"hosts": [servers.elasticsearch]},
        "index": {"alias": name},
        "sources": [source],
        "embedding": embedding_settings(),
        "server": {"port": 0},
        "log": {"format": "json"},
    }
    asyncio.run(create_topic(KafkaSettings(bootstrap_servers=[servers.kafka]), f"{name}.articles", 1))
    variables = {f"SYNCLINE_{key.upper()}": json.dumps(value) for key, value in settings.items()}
    subprocess.run(
        [sys.executable, "-m", "worker", "apply"],
        cwd=ROOT,
        env={**environment(), **variables},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    return settings


@pytest.fixture
def bench(servers: Servers, made: dict[str, Any], tmp_path: Path) -> Bench:
    return Bench(tmp_path, made, servers.elasticsearch, servers.kafka)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens and that nobody else can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_an_unknown_key(bench: Bench) -> None:
    assert "kafka.groupid: unknown key; did you mean 'group_id'?" in bench.refusal({"kafka": {"groupid": "g"}})


def test_an_unknown_variable(bench: Bench) -> None:
    assert "did you mean SYNCLINE_KAFKA__GROUP_ID?" in bench.refusal({}, SYNCLINE_KAFAK__GROUP_ID="g")


@pytest.mark.parametrize("command", ["run", "apply", "search words --tenant a", "config show"])
def test_a_missing_configuration_file(bench: Bench, command: str) -> None:
    sentence = bench.refusal({}, f"{command} --config none.yaml")
    assert sentence == "none.yaml: cannot be read: No such file or directory; give the right path with --config"


def test_no_configuration_at_all(bench: Bench) -> None:
    assert "sources: nothing to read: describe at least one source" in bench.refusal("")


def test_broken_yaml_with_a_secret_in_the_broken_line(bench: Bench) -> None:
    sentence = bench.refusal(f"elasticsearch:\n  password: {SECRET}: oops\n")
    assert sentence.startswith("syncline.yaml: is not valid YAML at line 2, column ")


def test_two_sources_on_one_topic(bench: Bench) -> None:
    (source,) = bench.settings["sources"]
    sentence = bench.refusal({"sources": [source, {**source, "name": "other"}]})
    assert f"'articles' and 'other' both read '{source['topics'][0]}': give it to one of them" in sentence


def test_sasl_without_a_mechanism(bench: Bench) -> None:
    sentence = bench.refusal({"kafka": {"security": {"protocol": "SASL_SSL", "username": "u", "password": SECRET}}})
    assert "kafka.security: protocol SASL_SSL needs a mechanism: PLAIN, SCRAM-SHA-256" in sentence


def test_a_password_file_that_is_missing(bench: Bench) -> None:
    sentence = bench.refusal({"elasticsearch": {"username": "u", "password_file": "/not/there"}})
    assert sentence.startswith("elasticsearch.password_file: cannot read /not/there: No such file or directory")


@pytest.mark.parametrize("key", ["password_file", "token_file", "ca_file"])
def test_a_file_for_kafka_that_is_missing(bench: Bench, key: str) -> None:
    security = {
        "password_file": {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u"},
        "token_file": {"protocol": "SASL_PLAINTEXT", "mechanism": "OAUTHBEARER"},
        "ca_file": {"protocol": "SSL"},
    }[key]
    sentence = bench.refusal({"kafka": {"security": {**security, key: "/not/there"}}})
    assert sentence.startswith(f"kafka.security.{key}: ")
    assert "/not/there" in sentence


def test_the_port_for_metrics_is_taken(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = bench.refusal({"server": {"port": port}})
    assert sentence.startswith(f"server: cannot listen on 127.0.0.1:{port} (Address already in use): set")
    assert "set server.port to a free port" in sentence


def test_a_model_folder_that_is_missing(bench: Bench) -> None:
    sentence = bench.refusal({"embedding": {"path": "/not/there"}})
    assert sentence == "embedding.path: there is no folder /not/there: give the folder that holds the model"


def test_a_model_folder_without_a_model(bench: Bench) -> None:
    sentence = bench.refusal({"embedding": {"path": str(bench.folder)}})
    assert sentence.startswith(f"embedding.path: {bench.folder} holds no model")


def test_a_model_that_is_broken(bench: Bench) -> None:
    (bench.folder / "config.json").write_text("{}")
    sentence = bench.refusal({"embedding": {"path": str(bench.folder)}}, within=SECONDS_WITH_MODEL)
    assert sentence.startswith(f"embedding: the model '{bench.folder}' cannot be loaded")


@pytest.mark.parametrize("command", ["run", "apply", "search words --tenant a --mode words"])
def test_the_wrong_port_for_elasticsearch(bench: Bench, closed_port: int, command: str) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    sentence = bench.refusal({"elasticsearch": {"hosts": [url]}}, command)
    assert sentence.startswith(f"Elasticsearch at {url}: no connection; check elasticsearch.hosts, http or https")


def test_the_port_of_kafka_for_elasticsearch(bench: Bench) -> None:
    sentence = bench.refusal({"elasticsearch": {"hosts": [f"http://{bench.kafka}"], "request_timeout": "5s"}})
    assert "check elasticsearch.hosts" in sentence


def test_an_elasticsearch_that_never_answers(bench: Bench, silent_port: int) -> None:
    url = f"http://127.0.0.1:{silent_port}"
    sentence = bench.refusal({"elasticsearch": {"hosts": [url], "request_timeout": "2s"}})
    assert "no answer within 2 s; check elasticsearch.hosts and elasticsearch.request_timeout" in sentence


def test_https_against_a_server_without_tls(bench: Bench) -> None:
    sentence = bench.refusal({"elasticsearch": {"hosts": [bench.elasticsearch.replace("http://", "https://")]}})
    assert "elasticsearch" in sentence
    assert "check" in sentence
    assert "hosts" in sentence


def test_a_write_alias_that_does_not_exist(bench: Bench) -> None:
    sentence = bench.refusal({"index": {"alias": "nothing-here"}})
    assert sentence.startswith("the write alias nothing-here-write does not exist: create it with 'syncline apply'")


def test_a_reader_alias_that_does_not_exist(bench: Bench) -> None:
    sentence = bench.refusal({"index": {"alias": "nothing-here"}}, "search words --tenant a --mode words")
    assert sentence.startswith("index.alias: ")
    assert "nothing-here" in sentence


def test_an_index_in_the_place_of_the_write_alias(bench: Bench) -> None:
    index = f"{bench.settings['index']['alias']}-v000001"
    sentence = bench.refusal({"index": {"write_alias": index}})
    assert sentence.startswith(f"{index} is an index, but must be an alias: set index.write_alias to another name")


def test_an_index_for_vectors_of_another_size(bench: Bench) -> None:
    name = f"{bench.settings['index']['alias']}-small"
    body = json.loads((ROOT / "schemas" / "index" / "articles.json").read_text())
    body["mappings"]["properties"]["embedding"]["dims"] = 8
    request(f"{bench.elasticsearch}/{name}", {**body, "aliases": {f"{name}-write": {"is_write_index": True}}})
    sentence = bench.refusal({"index": {"alias": name}}, within=SECONDS_WITH_MODEL)
    assert sentence.startswith(f"{name} takes vectors of 8 dimensions and the model makes 384: set embedding.model")


def test_the_wrong_port_for_kafka(bench: Bench, closed_port: int) -> None:
    sentence = bench.refusal({"kafka": {"bootstrap_servers": [f"127.0.0.1:{closed_port}"]}})
    assert sentence.startswith(f"kafka: 127.0.0.1:{closed_port}: no connection (connection refused): check")
    assert "kafka.bootstrap_servers" in sentence


def test_one_broker_of_two_that_answers_is_enough(bench: Bench, closed_port: int) -> None:
    servers = [f"127.0.0.1:{closed_port}", bench.kafka]
    sentence = bench.refusal({"kafka": {"bootstrap_servers": servers, "dead_letter_topic": "not-there"}})
    assert sentence.startswith("kafka.dead_letter_topic")


def test_a_kafka_that_never_answers(bench: Bench, silent_port: int) -> None:
    sentence = bench.refusal({"kafka": {"bootstrap_servers": [f"127.0.0.1:{silent_port}"]}})
    assert "no answer in Kafka's protocol within 5 s: check the port in kafka.bootstrap_servers" in sentence


def test_the_port_of_elasticsearch_for_kafka(bench: Bench) -> None:
    sentence = bench.refusal({"kafka": {"bootstrap_servers": [urlsplit(bench.elasticsearch).netloc]}})
    assert "check the port in kafka.bootstrap_servers and kafka.security.protocol" in sentence


def test_a_name_that_is_no_host(bench: Bench) -> None:
    sentence = bench.refusal({"kafka": {"bootstrap_servers": ["no-such-host.invalid:9092"]}})
    assert sentence.startswith("kafka: no-such-host.invalid:9092: no connection (")
    assert "check kafka.bootstrap_servers" in sentence


def test_tls_for_a_kafka_without_tls(bench: Bench) -> None:
    sentence = bench.refusal({"kafka": {"security": {"protocol": "SSL"}}})
    assert "check the port in kafka.bootstrap_servers and kafka.security.protocol" in sentence


def test_a_login_that_the_listener_does_not_offer(bench: Bench) -> None:
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", "username": "u", "password": SECRET}
    sentence = bench.refusal({"kafka": {"security": security}})
    assert sentence.startswith(f"kafka: {bench.kafka}: ")
    # noida-db knows logins, but not this mechanism; a real broker's plain listener knows none.
    assert "the login is refused" in sentence or "this listener takes no login" in sentence
    assert "check" in sentence
    assert "kafka.security." in sentence


def test_a_topic_that_does_not_exist(bench: Bench) -> None:
    (source,) = bench.settings["sources"]
    sentence = bench.refusal({"sources": [{**source, "topics": ["not-there"]}]})
    assert sentence.startswith(f"sources: topic 'not-there' does not exist on {bench.kafka}")


def test_a_dead_letter_topic_that_does_not_exist(bench: Bench) -> None:
    sentence = bench.refusal({"kafka": {"dead_letter_topic": "not-there"}})
    assert sentence.startswith(f"kafka.dead_letter_topic: 'not-there' does not exist on {bench.kafka}")


@pytest.mark.needs_jvm
@pytest.mark.parametrize("command", ["run", "apply", "search words --tenant a --mode words"])
def test_a_wrong_password_for_elasticsearch(servers: Servers, bench: Bench, command: str) -> None:
    url, user, _ = secured(servers)
    login = {"hosts": [url], "username": user, "password": SECRET}
    sentence = bench.refusal({"elasticsearch": login}, command)
    assert "the credentials are refused; check elasticsearch.username and elasticsearch.password (" in sentence


@pytest.mark.needs_jvm
def test_a_wrong_api_key(servers: Servers, bench: Bench) -> None:
    (bench.folder / "key").write_text(b64encode(f"id:{SECRET}".encode()).decode())
    url, _, _ = secured(servers)
    sentence = bench.refusal({"elasticsearch": {"hosts": [url], "api_key_file": "key"}})
    assert "the credentials are refused; check elasticsearch.api_key_file (key)" in sentence


@pytest.mark.needs_jvm
def test_no_login_where_one_is_needed(servers: Servers, bench: Bench) -> None:
    url, _, _ = secured(servers)
    sentence = bench.refusal({"elasticsearch": {"hosts": [url]}})
    assert "check elasticsearch.api_key_file, or username and password_file: none is set" in sentence


@pytest.mark.needs_jvm
def test_an_api_key_that_may_do_nothing(servers: Servers, bench: Bench) -> None:
    url, user, password = secured(servers)
    role: dict[str, Any] = {"nothing": {"cluster": [], "indices": []}}
    answer = request(f"{url}/_security/api_key", {"name": "powerless", "role_descriptors": role}, user, password)
    (bench.folder / "key").write_text(answer["encoded"])
    sentence = bench.refusal({"elasticsearch": {"hosts": [url], "api_key_file": "key"}})
    assert "the privileges do not suffice; grant them to the owner of elasticsearch.api_key_file (key)" in sentence
    assert answer["encoded"] not in sentence


def secured(servers: Servers) -> tuple[str, str, str]:
    parts = urlsplit(servers.elasticsearch_secured)
    assert parts.username is not None
    assert parts.password is not None
    return f"http://{parts.hostname}:{parts.port}", parts.username, parts.password


def request(url: str, body: dict[str, Any], user: str | None = None, password: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if user is not None:
        headers["Authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    call = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(call, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_model_loads_is_said_and_obeyed_at_once(
    bench: Bench, number: signal.Signals, code: int
) -> None:
    file = bench.folder / "syncline.yaml"
    file.write_text(yaml.safe_dump({**bench.settings, "embedding": embedding_settings()}))
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker", "run"],
        cwd=bench.folder,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stderr is not None
    lines: list[dict[str, Any]] = []
    while not lines or lines[-1]["action"] != "loading_model":
        lines.append(json.loads(worker.stderr.readline()))
    worker.send_signal(number)
    started = time.monotonic()
    last = json.loads(worker.communicate(timeout=SECONDS)[1].splitlines()[-1])
    assert (worker.returncode, last["action"]) == (code, "interrupted")
    assert time.monotonic() - started < SECONDS


def test_an_address_of_the_hub_that_is_none(bench: Bench) -> None:
    sentence = bench.refusal(
        {"embedding": {"model": "nobody/nothing", "path": None}},
        within=SECONDS_WITH_MODEL,
        HF_ENDPOINT="http://h:99999",
    )
    assert sentence == "HF_ENDPOINT is not the address of a server: correct the variable, or unset it"


def test_a_hub_that_cannot_be_reached_is_told_soon_and_how_to_do_without(bench: Bench) -> None:
    """The libraries would try it for minutes."""
    sentence = bench.refusal(
        {"embedding": {"model": "nobody/nothing", "path": None}},
        within=SECONDS_WITH_MODEL,
        HF_ENDPOINT="http://127.0.0.1:1",
        HF_HOME=str(bench.folder),
    )
    assert sentence.startswith(
        "embedding.model: nobody/nothing is not in the local cache, or not all of it, and the model"
    )
    assert "set embedding.path to a folder that holds the model" in sentence
