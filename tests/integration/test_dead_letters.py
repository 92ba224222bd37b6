"""The commands on dead letters and tombstones, against a broker and an index."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests import builders
from tests.fakes.embedder import FakeEmbedder
from tests.integration.test_cli import closed_pipe, syncline_into
from tests.servers.start import Servers
from worker import logs
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_sink import ElasticSink
from worker.adapters.kafka_dead_letters import KafkaDeadLetters
from worker.app import dead_letters as app
from worker.cli import main
from worker.records import Place
from worker.settings import Settings, load_settings
from worker.stages.bulk import item_bytes
from worker.stages.dead_letters import Letter, forms
from worker.stages.documents import tombstone

NOW_MS = time.time_ns() // 1_000_000
TOPIC = "app.public.articles"
ESCAPE = "\x1b[31m"


WRONG = "column 'a' is wrong"
LONG = f"{WRONG}: it holds {'much, ' * 30}which field 'title' does not take"


def letter(
    row_id: int, lsn: int, reason: str = "field_invalid", value: bytes | None = None, message: str = WRONG
) -> Letter:
    key = {"tenant": "acme", "id": row_id}
    event = builders.event("u", builders.row(row_id), lsn=lsn)
    record = builders.record(event, key, offset=lsn, topic=TOPIC, timestamp_ms=NOW_MS - 1000, headers=[("trace", b"1")])
    if value is not None:
        record = replace(record, value=value)
    place = Place(f"acme/{row_id}", "acme")
    return Letter(record, reason, "decode", message, "articles", place, lsn, 0, lsn - 1, 1, "0.1.0")


@pytest.fixture
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A replay arranges logging for the process that it has to itself."""
    monkeypatch.setattr(logs, "configure", lambda _: None)
    yield
    logging.getLogger("worker.runtime.finishing").setLevel(logging.NOTSET)


@pytest.fixture
def config(servers: Servers, tmp_path: Path, _logging_as_it_was: None) -> Path:
    name = f"letters-{uuid4().hex[:8]}"
    definition = json.loads(Path("schemas/index/articles.json").read_text(encoding="utf-8"))
    definition["settings"] |= {"number_of_shards": 1, "number_of_replicas": 0}
    (tmp_path / "index.json").write_text(json.dumps(definition))
    settings = {
        "kafka": {"bootstrap_servers": [servers.kafka], "dead_letter_topic": name},
        "elasticsearch": {"hosts": [servers.elasticsearch]},
        "index": {"alias": name, "definition": str(tmp_path / "index.json")},
        "sources": [
            {
                "name": "articles",
                "topics": [TOPIC],
                "id": ["id"],
                "tenant": "tenant",
                "fields": {"title": "title", "content": "content"},
                "embed": ["title"],
            }
        ],
    }
    path = tmp_path / "syncline.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert main(["apply", "--config", str(path)]) == 0
    letters = [letter(1, 10), letter(2, 20), letter(3, 30, "invalid_json", f'{{"a{ESCAPE}'.encode()), letter(1, 40)]
    asyncio.run(put(load_settings(path, {}), letters))
    return path


async def put(settings: Settings, letters: Sequence[Letter]) -> None:
    topic = app.topic_of(settings)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    async with asyncio.timeout(30):
        while topic not in await admin.list_topics():  # noqa: ASYNC110 - a broker has no event to wait for
            await asyncio.sleep(0.05)
    await admin.close()
    await send(settings, letters)
    dead_letters = KafkaDeadLetters(settings.kafka, topic)
    await dead_letters.start()
    await dead_letters.send(builders.record(b"somebody else's"), {})
    await dead_letters.close()


async def send(settings: Settings, letters: Sequence[Letter]) -> None:
    dead_letters = KafkaDeadLetters(settings.kafka, app.topic_of(settings))
    await dead_letters.start()
    for one in letters:
        await dead_letters.send(*next(forms(one)))
    await dead_letters.close()


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main([*arguments, "--config", str(config)]) == code
    printed = capsys.readouterr()
    assert printed.err == ""
    assert ESCAPE not in printed.out
    return printed.out


def test_list_counts_first_and_fits_80_columns(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(capsys, config, "dead-letters", "list").splitlines()
    assert lines[0] == "1 record of the topic is not a dead letter of Syncline, and is left out."
    assert lines[1].startswith("4 dead letters in letters-")
    assert lines[2].startswith("3  field_invalid")
    assert max(map(len, lines)) <= 80
    assert "The last 2, oldest first:" in run(capsys, config, "dead-letters", "list", "--limit", "2")
    assert "The last one:" in run(capsys, config, "dead-letters", "list", "--limit", "1")
    assert "The last" not in run(capsys, config, "dead-letters", "list", "--limit", "0")
    assert "No dead letters" in run(capsys, config, "dead-letters", "list", "--tenant", "nobody")


def test_a_long_message_is_shown_to_its_end(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asyncio.run(send(load_settings(config, {}), [letter(5, 50, message=LONG)]))
    lines = run(capsys, config, "dead-letters", "list", "--limit", "1").splitlines()
    assert max(map(len, lines)) <= 80
    assert LONG in " ".join(word for line in lines for word in line.split())


def test_list_as_json_takes_the_filters(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = json.loads(run(capsys, config, "dead-letters", "list", "--json", "--reason", "field_invalid"))
    assert (listing["total"], listing["by_reason"], listing["not_letters"]) == (3, {"field_invalid": 3}, 1)
    assert [one["position"] for one in listing["letters"]] == ["0:0", "0:1", "0:3"]
    few = json.loads(run(capsys, config, "dead-letters", "list", "--json", "--limit", "2"))
    assert (few["total"], few["shown"], len(few["letters"])) == (4, 2, 2)
    assert json.loads(run(capsys, config, "dead-letters", "list", "--json", "--since", "1h"))["total"] == 4
    assert json.loads(run(capsys, config, "dead-letters", "list", "--json", "--since", "2100-01-01"))["total"] == 0


def test_show_tells_everything_and_lays_json_out(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, config, "dead-letters", "show", "0:0")
    for part in ("app.public.articles[0] offset 10", "acme/1", "trace = 1", '    "title": "Title",', "version   10"):
        assert part in shown
    run(capsys, config, "dead-letters", "show", "0:2")  # with a control sequence in it
    as_json = json.loads(run(capsys, config, "dead-letters", "show", "0:2", "--json"))
    assert as_json["value"] == {"text": f'{{"a{ESCAPE}'}
    assert as_json["headers"] == [{"name": "trace", "value": {"text": "1"}}]


def test_show_of_nothing_is_one_sentence(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["dead-letters", "show", "0:77", "--config", str(config)]) == 2
    assert capsys.readouterr().err == "syncline: dead-letters: there is no record at 0:77, or not any more\n"
    assert main(["dead-letters", "show", "0:4", "--config", str(config)]) == 2
    assert "not a dead letter of Syncline" in capsys.readouterr().err


async def reachable(_: object) -> None:
    return


def test_replay_dry_then_in_earnest_then_again(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A model takes longer than all else here.
    monkeypatch.setattr(app, "build_embedder", lambda _: FakeEmbedder(dimensions=384))
    monkeypatch.setattr(app, "refuse_unreachable_model", reachable)
    dry = run(capsys, config, "dead-letters", "replay", "--dry-run", code=1)
    assert "4 dead letters looked at, nothing written: 2 indexed, 1 superseded, 1 rejected" in dry
    lines = [json.loads(line) for line in run(capsys, config, "dead-letters", "replay", "--json", code=1).splitlines()]
    assert {one["position"]: one["outcome"] for one in lines[:-1]} == {
        "0:0": "superseded",
        "0:1": "indexed",
        "0:2": "rejected",
        "0:3": "indexed",
    }
    assert lines[-1]["summary"]["indexed"] == 2
    again = run(capsys, config, "dead-letters", "replay", "--reason", "field_invalid")
    assert again.endswith("3 dead letters: 3 superseded\n")
    assert "nothing to replay" in run(capsys, config, "dead-letters", "replay", "--tenant", "nobody")


@pytest.fixture
def many(config: Path) -> Path:
    """More letters than are tried at a time, the first of them of a row whose id is not ASCII."""
    letters = [letter(row_id, row_id) for row_id in range(100, 400)]
    odd = replace(letters[0], place=Place("acme/gr\u00fcn-\u65e5", "acme"))
    asyncio.run(send(load_settings(config, {}), [odd, *letters[1:]]))
    return config


@pytest.mark.parametrize("options", [["--dry-run"], ["--dry-run", "--json"]])
def test_a_replay_that_nobody_reads_stops_with_a_sentence(many: Path, options: list[str]) -> None:
    with closed_pipe() as writing:
        code, told = syncline_into(writing, "dead-letters", "replay", *options, "--config", str(many))
    assert code == 1
    assert told.startswith("syncline: standard output cannot be written (Broken pipe), so the replay was stopped; ")
    assert "dead letters looked at, nothing written" in told
    assert len(told.splitlines()) == 1
    assert "304 dead letters" not in told
    with Path("/dev/full").open("wb") as full:
        code, told = syncline_into(full.fileno(), "dead-letters", "replay", *options, "--config", str(many))
    assert code == 1
    assert "(No space left on device), so the replay was stopped" in told


def test_a_replay_in_earnest_that_nobody_reads_finishes_what_is_in_flight(
    many: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "build_embedder", lambda _: FakeEmbedder(dimensions=384))
    monkeypatch.setattr(app, "refuse_unreachable_model", reachable)
    with closed_pipe() as writing, monkeypatch.context() as patched, os.fdopen(os.dup(writing), "w") as closed:
        patched.setattr(sys, "stdout", closed)
        assert main(["dead-letters", "replay", "--config", str(many)]) == 1
    told = capsys.readouterr().err
    # What the sentence counts is done; the rest is there for the next time.
    done = int(told.split("dead letters: ")[1].split()[0])
    again = [json.loads(line) for line in run(capsys, many, "dead-letters", "replay", "--json", code=1).splitlines()]
    assert 0 < done < 302
    assert again[-1]["summary"]["indexed"] == 302 - done


@pytest.mark.parametrize(
    "command", ["list --limit 400", "list --limit 400 --json", "show 0:5", "show 0:5 --json", "replay --dry-run"]
)
def test_an_output_that_cannot_hold_a_character_takes_it_as_an_escape(many: Path, command: str, tmp_path: Path) -> None:
    file = tmp_path / "printed"
    with file.open("wb") as output:
        code, told = syncline_into(
            output.fileno(), "dead-letters", *command.split(), "--config", str(many), PYTHONIOENCODING="latin-1"
        )
    assert (code, told) == (1 if "replay" in command else 0, "")
    row = "gr\\u00fcn-\\u65e5" if "--json" in command else "gr\u00fcn-\\u65e5"
    assert row in file.read_text("latin-1")


@pytest.mark.parametrize("command", ["list --limit 400", "list --limit 400 --json", "show 0:5"])
def test_a_reader_that_goes_away_is_no_fault(many: Path, command: str) -> None:
    with closed_pipe() as writing:
        assert syncline_into(writing, "dead-letters", *command.split(), "--config", str(many)) == (0, "")


def test_purge_removes_what_is_old(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(config, {})

    async def two_tombstones() -> None:
        async with build_client(settings.elasticsearch) as client:
            sink = ElasticSink(client, settings.index.writer_alias)
            writes = [
                tombstone(builders.deletion(5), builders.place(row_id=row_id), NOW_MS - days * 86_400_000)
                for row_id, days in ((1, 8), (2, 6))
            ]
            await sink.bulk(b"".join(item_bytes(one, sink.target) for one in writes), len(writes))
            await client.indices.refresh(index=settings.index.writer_alias)

    asyncio.run(two_tombstones())
    assert "1 tombstone" in run(capsys, config, "purge", "--dry-run")
    assert "1 removed." in run(capsys, config, "purge")
    assert json.loads(run(capsys, config, "purge", "--json"))["removed"] == 0
