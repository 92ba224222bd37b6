"""Everything that can happen to a row, as a real Debezium tells it in each shape, and what is made of it.

The records are in `tests/golden/postgres-types/`, their expected outcomes, reviewed line by line, in
`changes.expected.txt` beside them. Ask why a line differs before changing it there.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.golden import types_files, types_scenario
from tests.unit.test_golden_types import FOLDER, record_of
from worker.app.sources import source_readers
from worker.records import Change, Operation, Rejection, Skip, Truncate
from worker.settings.sources import SourceSettings

EXPECTED: Final = Path(FOLDER / "changes.expected.txt").read_text(encoding="utf-8").splitlines()
NAMES: Final = (
    "envelope",
    "envelope-schema",
    "flat-drop",
    "flat-tombstone",
    "flat-rewrite",
    "flat-rewrite-with-tombstone",
    "flat-delete-to-tombstone",
    "flat-rewrite-schema",
)
ONLY_TOMBSTONES: Final = {"flat-tombstone", "flat-delete-to-tombstone"}
FIELDS: Final = {"title": "title", "note": "note", "at": "at"}


def settings(name: str) -> list[SourceSettings]:
    common = {
        "id": ["id"],
        "tenant": "tenant",
        "embed": ["title"],
        "tombstone": "delete" if name in ONLY_TOMBSTONES else "follows_delete",
    }
    large = {"title": "title"} | {column: column for column in types_scenario.LARGE}
    tables: dict[str, dict[str, Any]] = {
        "with_key": {"fields": FIELDS},
        "full_row": {"fields": FIELDS, "replica_identity": "full"},
        "without_key": {"fields": {"title": "title"}, "replica_identity": "full"},
        "large": {"fields": large},
        "large_full": {"fields": large, "replica_identity": "full"},
    }
    found = [{"name": table, "topics": [f"{name}.public.{table}"], **common, **own} for table, own in tables.items()]
    # What a pattern that is too wide would bring.
    others = {"name": "others", "topics": [f"{name}.message", f"{name}.transaction"], "fields": {"title": "title"}}
    return [SourceSettings.model_validate(source) for source in [*found, common | others]]


@cache
def outcomes(name: str) -> list[tuple[str, int, Change | Truncate | Skip | Rejection]]:
    """Topic without prefix, offset, and what became of the record; each topic has one partition."""
    readers = source_readers(settings(name))
    watermarks: defaultdict[str, int] = defaultdict(int)
    found = []
    for said in types_files.read(FOLDER / f"{name}.jsonl"):
        topic = said["topic"]
        outcome, version = readers.of_topic(topic).read(record_of(said), watermarks[topic])
        watermarks[topic] = max(watermarks[topic], version or 0)
        found.append((topic.rpartition(".")[2], said["offset"], outcome))
    return found


def line_of(outcome: Change | Truncate | Skip | Rejection) -> str:
    match outcome:
        case Skip():
            return f"skip: {outcome.reason}"
        case Rejection():
            return f"reject: {outcome.reason}: {outcome.message}"
        case Truncate():
            return f"truncate: {outcome.version}"
        case Change():
            title = f" {str(outcome.fields['title'])!r}" if "title" in outcome.fields else ""
            parts = [f"{outcome.operation} {outcome.place.document_id}{title}"]
            parts += [] if outcome.positioned else ["unpositioned"]
            parts += [f"left {place.document_id}" for place in sorted(outcome.left)]
            parts += [f"former {place.document_id}" for place in sorted(outcome.former)]
            parts += [f"absent {' '.join(sorted(outcome.absent))}"] if outcome.absent else []
            lost = sorted(
                name for name, value in outcome.fields.items() if value is None and name in types_scenario.LARGE
            )
            parts += [f"null {' '.join(lost)}"] if lost else []
            return ", ".join(parts)


def lines(name: str) -> list[str]:
    return [f"{name} {table} {offset}: {line_of(outcome)}" for table, offset, outcome in outcomes(name)]


@pytest.mark.parametrize("name", NAMES)
def test_each_record_becomes_what_was_reviewed(name: str) -> None:
    assert lines(name) == [line for line in EXPECTED if line.startswith(f"{name} ")]


@pytest.mark.parametrize("name", NAMES)
def test_versions_never_fall_within_a_partition(name: str) -> None:
    highest: defaultdict[str, int] = defaultdict(int)
    for table, offset, outcome in outcomes(name):
        if isinstance(outcome, Change):
            assert outcome.version >= highest[table] > -1, f"{table} {offset}"
            highest[table] = outcome.version


def documents(name: str, table: str) -> dict[str, object]:
    """What an index would hold of a table at the end: id -> title."""
    found: dict[str, object] = {}
    for topic, _, outcome in outcomes(name):
        if topic != table or not isinstance(outcome, Change):
            continue
        for place in outcome.left:
            found.pop(place.document_id, None)
        if outcome.operation is Operation.DELETE:
            found.pop(outcome.place.document_id, None)
        else:
            found[outcome.place.document_id] = outcome.fields["title"]
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name != "flat-drop"])
def test_in_every_shape_that_tells_deletes_the_documents_are_the_rows(name: str) -> None:
    assert documents(name, "with_key") == {"acme/with_key/1": "One again", "globex/with_key/33": "Three, changed"}


FULL_ROWS: Final = {"acme/full_row/1": "One", "globex/full_row/33": "Three, changed"}


@pytest.mark.parametrize("name", ["envelope", "envelope-schema"])
def test_with_the_old_row_in_the_event_a_tenant_outside_the_key_may_change(name: str) -> None:
    assert documents(name, "full_row") == FULL_ROWS


@pytest.mark.parametrize("name", ["flat-rewrite", "flat-rewrite-with-tombstone", "flat-rewrite-schema"])
def test_a_flattened_row_does_not_tell_its_old_tenant_so_its_old_document_stays(name: str) -> None:
    # Known: see docs/change-events.md. The tenant belongs into the key where rows come flattened.
    assert documents(name, "full_row") == FULL_ROWS | {"acme/full_row/3": "Three, changed"}


@pytest.mark.parametrize("name", ["envelope", "envelope-schema", "flat-rewrite", "flat-rewrite-with-tombstone"])
def test_a_table_without_a_key_takes_it_from_its_rows(name: str) -> None:
    assert documents(name, "without_key") == {"acme/without_key/2": "Two, changed"}


def test_what_an_update_did_not_touch_is_absent_and_what_debezium_lost_of_it_is_null() -> None:
    (update,) = [outcome for topic, offset, outcome in outcomes("envelope") if (topic, offset) == ("large", 1)]
    assert isinstance(update, Change)
    lost = {name for name, value in update.fields.items() if value is None}
    assert update.absent | lost == set(types_scenario.LARGE)
    # Nobody can tell these from nulls; REPLICA IDENTITY FULL brings them all.
    assert lost == {"bs", "es", "fs", "i2s", "ips", "ns", "num", "tss", "tstzs", "vb", "vec"}
    (full,) = [outcome for topic, offset, outcome in outcomes("envelope") if (topic, offset) == ("large_full", 1)]
    assert isinstance(full, Change)
    assert not full.absent
    assert None not in full.fields.values()


def test_with_and_without_schema_a_flattened_row_becomes_the_same() -> None:
    with_schema = [line.removeprefix("flat-rewrite-schema ") for line in lines("flat-rewrite-schema")]
    assert with_schema == [line.removeprefix("flat-rewrite ") for line in lines("flat-rewrite")]
