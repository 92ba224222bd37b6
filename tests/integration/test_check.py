"""`syncline check` as an operator meets it, on servers: what it prints, its exit codes, and that it leaves no trace."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import event, row
from tests.contract.test_topic_reader import trace_of
from tests.integration.test_cli import ROOT, environment
from tests.servers.start import Servers
from worker.adapters.kafka_feed import create_topic, kafka_feed
from worker.demo.model import embedding_settings
from worker.settings import KafkaSettings


@pytest.fixture
def config(servers: Servers, tmp_path: Path) -> dict[str, Any]:
    """Settings of one source; its topic is there and holds two rows and the delete of one, the index is not there."""
    name = f"c{uuid.uuid4().hex[:8]}"
    kafka = KafkaSettings(bootstrap_servers=[servers.kafka])
    asyncio.run(_write(kafka, name))
    return {
        "file": tmp_path / "syncline.yaml",
        "kafka": {"bootstrap_servers": [servers.kafka], "group_id": name, "dead_letter_topic": f"{name}-letters"},
        "elasticsearch": {"hosts": [servers.elasticsearch]},
        "index": {"alias": name},
        "embedding": embedding_settings(),
        "sources": [
            {
                "name": "articles",
                "topics": [name],
                "id": ["id"],
                "tenant": "tenant",
                "fields": {"title": "title", "content": "content"},
                "embed": ["title"],
            }
        ],
    }


async def _write(kafka: KafkaSettings, name: str) -> None:
    for topic in (name, f"{name}-letters"):
        await create_topic(kafka, topic, 2)
    keys = [{"id": number, "tenant": "acme"} for number in (1, 2)]
    events = [(keys[0], event()), (keys[1], event(after=row(2))), (keys[1], event("d", before=keys[1], lsn=200))]
    async with kafka_feed(kafka) as feed:
        await feed.send(name, [(json.dumps(key).encode(), json.dumps(value).encode(), ()) for key, value in events])


def syncline(config: Mapping[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    file: Path = config["file"]
    file.write_text(yaml.safe_dump({name: value for name, value in config.items() if name != "file"}))
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments, "--config", str(file)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print(done.stdout)  # noqa: T201 - to be read with -rP: does it read well?
    assert "Traceback" not in done.stderr
    return done


def test_what_is_in_order_exits_with_0_in_80_columns(config: dict[str, Any]) -> None:
    assert syncline(config, "apply").returncode == 0
    done = syncline(config, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 to index, 1 to delete" in done.stdout
    assert done.stdout.endswith("Nothing fails, 0 warnings.\n")
    # A path is not broken: it may stand alone on a longer line.
    assert max(len(line) for line in done.stdout.splitlines() if " " in line.strip()) <= 80


def test_what_fails_exits_with_1_and_says_how_to_mend_it(config: dict[str, Any]) -> None:
    done = syncline(config, "check", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr, said["ok"]) == (1, "", False)
    failing = [one for section in said["sections"] for one in section["findings"] if one["level"] == "failure"]
    assert [(one["subject"], one["fix"][:28]) for one in failing] == [("write alias", "create it with 'syncline app")]


@pytest.mark.parametrize("server", ["Kafka", "Elasticsearch"])
def test_a_server_that_is_not_there_exits_with_2_and_the_other_is_looked_at(
    config: dict[str, Any], server: str
) -> None:
    if server == "Kafka":
        config["kafka"]["bootstrap_servers"] = ["127.0.0.1:1"]
    else:
        config["elasticsearch"]["hosts"] = ["http://127.0.0.1:1"]
    done = syncline(config, "check", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["missing_servers"]) == (2, [server])
    first = {section["title"]: section["findings"][0]["level"] for section in said["sections"]}
    other = {"Kafka": "Elasticsearch", "Elasticsearch": "Kafka"}[server]
    assert (first[server], first[other]) == ("failure", "ok")


def test_a_mistake_in_the_settings_is_one_sentence(config: dict[str, Any]) -> None:
    done = syncline({**config, "kafka": {"groupid": "g"}}, "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'group_id'?" in done.stderr


def test_nothing_is_committed_and_no_group_is_made(config: dict[str, Any]) -> None:
    assert syncline(config, "check").returncode == 1

    kafka = config["kafka"]
    assert asyncio.run(trace_of(kafka["bootstrap_servers"][0], kafka["group_id"])) == (False, 0)
