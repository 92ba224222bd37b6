"""A hundred records of a real Debezium 3.3 on PostgreSQL 18, and what each of them must become.

`tests/golden/debezium-postgres.jsonl` is what came off Kafka: tables `articles` and `notes` with default replica
identity, `full_ident` with FULL. Beside it, line by line, is the expected outcome, reviewed record by record. Ask why
a line differs before changing it there.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.builders import record
from worker.app.sources import source_readers
from worker.records import Change, Record, Rejection, Skip, TopicPartition, Truncate
from worker.settings.sources import ReplicaIdentity, SourceSettings
from worker.stages.offsets import PartitionProgress
from worker.stages.rules import FieldType

GOLDEN = Path(__file__).parent.parent / "golden"
LINES = (GOLDEN / "debezium-postgres.jsonl").read_text(encoding="utf-8").splitlines()
EXPECTED: list[dict[str, Any]] = [
    json.loads(line) for line in (GOLDEN / "debezium-postgres.expected.jsonl").read_text(encoding="utf-8").splitlines()
]

SOURCES = [
    SourceSettings(
        name="articles",
        topics=["cms.public.articles"],
        id=["id"],
        tenant="tenant_id",
        fields={"title": "title", "tags": "tags", "updated": {"from": "updated", "type": FieldType.EPOCH_DAYS}},
        embed=["title"],
    ),
    SourceSettings(
        name="notes",
        topics=["app.public.notes"],
        id=["note_id"],
        tenant="tenant_id",
        fields={
            "title": "title",
            "body": "body",
            "at": {"from": "ts", "type": FieldType.EPOCH_MILLIS},
            "json": {"from": "j", "type": FieldType.JSON},
        },
        embed=["title", "body"],
    ),
    SourceSettings(
        name="full_ident",
        topics=["app.public.full_ident"],
        id=["id"],
        tenant="tenant_id",
        replica_identity=ReplicaIdentity.FULL,
        fields={"title": "title", "n": "n"},
        embed=["title"],
    ),
    # Reads all that the connector writes beside these tables, as a pattern that is too wide would.
    SourceSettings(name="too_wide", pattern=".*", id=["id"], tenant="tenant_id", fields={"t": "t"}, embed=["t"]),
]


def record_of(line: str) -> Record:
    said = json.loads(line)
    key, value = (None if said[name] is None else said[name].encode() for name in ("key", "value"))
    headers = [(name, text.encode()) for name, text in said["headers"]]
    return record(
        value,
        key,
        offset=said["offset"],
        topic=said["topic"],
        partition=said["partition"],
        headers=headers,
        timestamp_ms=said["timestamp"],
    )


def summary(outcome: Change | Truncate | Skip | Rejection) -> dict[str, Any]:
    """What matters of an outcome, as it stands in the file of expectations."""
    match outcome:
        case Skip():
            return {"skip": outcome.reason.value}
        case Rejection():
            return {"reject": outcome.reason.value, "message": outcome.message}
        case Truncate():
            return {"truncate": outcome.version}
        case Change():
            fields = {"fields": dict(outcome.fields), "absent": sorted(outcome.absent)}
            return {
                outcome.operation.value: outcome.key,
                "id": outcome.place.document_id,
                "tenant": None if outcome.place in outcome.key_places else outcome.place.tenant,
                "version": outcome.version,
                "positioned": outcome.positioned,
                "source_ts": outcome.source_ts_ms,
                **({"locates": True} if outcome.locates else {}),
                **({"left": [list(place) for place in sorted(outcome.left)]} if outcome.left else {}),
                **(fields if outcome.fields or outcome.absent else {}),
            }


@pytest.fixture(scope="module")
def read() -> list[dict[str, Any]]:
    """All records, read in the order of the file; each partition has its watermark, as in the worker."""
    readers = source_readers(SOURCES)
    progress: defaultdict[TopicPartition, PartitionProgress] = defaultdict(PartitionProgress)
    summaries = []
    for line in LINES:
        one = record_of(line)
        position = one.position
        partition = progress[position.topic_partition]
        outcome, version = readers.of_topic(position.topic).read(one, partition.watermark)
        if version is not None:
            partition.saw_version(version)
        where = f"{position.topic}[{position.partition}] {position.offset}"
        summaries.append({"record": where, **summary(outcome)})
    return summaries


@pytest.mark.parametrize("number", range(len(LINES)), ids=lambda number: EXPECTED[number]["record"])
def test_each_record_becomes_what_was_reviewed(read: list[dict[str, Any]], number: int) -> None:
    assert read[number] == EXPECTED[number]


def test_there_is_an_expectation_for_each_of_a_hundred_records() -> None:
    assert len(LINES) == len(EXPECTED) == 100


def test_heartbeats_transactions_and_messages_are_not_rows_and_nothing_else_is_not(read: list[dict[str, Any]]) -> None:
    topics = Counter(outcome["record"].split("[")[0] for outcome in read if outcome.get("skip") == "not_a_row")
    assert topics == {"__debezium-heartbeat.app": 21, "app.transaction": 32, "app.message": 1, "cms.message": 1}


def test_no_default_that_debezium_made_up_and_no_placeholder_reaches_a_document(read: list[dict[str, Any]]) -> None:
    changes = [outcome for outcome in read if "tenant" in outcome]
    assert {change["tenant"] for change in changes} == {"t0", "t1", "t2", "t9", "acme", "initech", "globex", None}
    assert "__debezium_unavailable_value" not in json.dumps(read)
    assert [change["absent"] for change in changes if change.get("absent")] == [["body"]]
