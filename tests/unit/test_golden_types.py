"""What a real Debezium says of every PostgreSQL type, in each of its modes, and what each value must become.

`tests/golden/postgres-types/` has the records, and in `rows.jsonl` PostgreSQL's own words for each value of the same
rows: a document must hold those, with and without the events' schemas. What Debezium itself gets wrong is listed in
`types_compare.EXEMPT`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import record
from tests.e2e import types_rules
from tests.e2e.types_columns import TABLES, TypesTable
from tests.e2e.types_compare import Modes, differences, fields_of
from tests.golden import types_files
from worker.app import source_readers
from worker.records import Change, Record
from worker.runtime.sources import SourceReaders
from worker.settings.sources import SourceSettings

FOLDER: Final = Path(__file__).parents[1] / "golden" / "postgres-types"
MODES: Final = {
    "adaptive": Modes(),
    "adaptive-time-microseconds": Modes(
        time="adaptive_time_microseconds",
        decimal="double",
        binary="base64",
        hstore="map",
        interval="string",
        unknown=True,
    ),
    "connect": Modes(time="connect", decimal="string", binary="hex", nulls_stay=True),
    "isostring": Modes(time="isostring", generated=True),
    "microseconds": Modes(time="microseconds"),
    "nanoseconds": Modes(time="nanoseconds"),
}
FIRST_CHANGE: Final = 100
"""Rows with lower ids came with the snapshot, those with higher ids are the same rows as changes."""


def record_of(said: Mapping[str, Any]) -> Record:
    key, value = (None if said[name] is None else said[name].encode() for name in ("key", "value"))
    headers = tuple((name, None if text is None else text.encode()) for name, text in said["headers"])
    return replace(record(value, key, offset=said["offset"], topic=said["topic"]), headers=headers)


@cache
def rows() -> dict[tuple[str, int], dict[str, object]]:
    lines = (FOLDER / "rows.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return {(said["table"], said["id"]): said["row"] for said in map(json.loads, lines)}


def modes_of(name: str, *, schemas: bool) -> Modes:
    return replace(MODES[name], schemas=schemas)


def readers(name: str, modes: Modes) -> SourceReaders:
    sources = [types_rules.source(table, f"{name}.public.{table.name}", modes) for table in TABLES]
    return source_readers([SourceSettings.model_validate(source) for source in sources])


def changes(name: str, modes: Modes) -> Iterator[tuple[TypesTable, int, Change]]:
    read = readers(name, modes)
    tables = {table.name: table for table in TABLES}
    for said in types_files.read(FOLDER / f"{name}.jsonl", schemas=modes.schemas):
        outcome, _ = read.of_topic(said["topic"]).read(record_of(said), 0)
        assert isinstance(outcome, Change), f"{said['topic']} {said['offset']}: {outcome}"
        yield tables[said["topic"].rpartition(".")[2]], int(outcome.place.document_id.partition("/")[2]), outcome


CASES: Final = [(name, schemas) for name in MODES for schemas in (True, False)]
IDS: Final = [f"{name}-{'with' if schemas else 'without'}-schema" for name, schemas in CASES]


@pytest.mark.parametrize(("name", "schemas"), CASES, ids=IDS)
def test_a_document_holds_what_the_row_holds(name: str, schemas: bool) -> None:  # noqa: FBT001 - a case
    modes = modes_of(name, schemas=schemas)
    found = []
    seen = 0
    for table, row_id, change in changes(name, modes):
        seen += 1
        snapshot = row_id < FIRST_CHANGE
        answers = rows()[table.name, row_id if snapshot else row_id - FIRST_CHANGE]
        lines = differences(table, answers, fields_of(change, table.name), modes, snapshot=snapshot)
        found += [f"{table.name} {row_id}: {line}" for line in lines]
    assert seen >= 10
    assert not found, "\n" + "\n".join(found)
