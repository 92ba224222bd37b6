"""What a real Debezium says of every PostgreSQL type, in each of its modes, and what each value must become.

`tests/golden/postgres-types/` has the records, and in `rows.jsonl` PostgreSQL's own words for each value of the same
rows: a document must hold those, with and without the events' schemas. What Debezium itself gets wrong is listed in
`types_compare.EXEMPT`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import record
from tests.e2e import types_rules
from tests.e2e.types_columns import TABLES, TypesTable
from tests.e2e.types_compare import EXEMPT, Exemption, Modes, differences, fields_of
from tests.golden import types_files
from worker.app.sources import source_readers
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


def readers(name: str, modes: Modes) -> SourceReaders:
    sources = [types_rules.source(table, f"{name}.public.{table.name}", modes) for table in TABLES]
    return source_readers([SourceSettings.model_validate(source) for source in sources])


@cache
def changes(name: str, *, schemas: bool) -> list[tuple[TypesTable, int, Change]]:
    """Each record's table, row and change; none is rejected."""
    read = readers(name, replace(MODES[name], schemas=schemas))
    tables = {table.name: table for table in TABLES}
    mapped = []
    for said in types_files.read(FOLDER / f"{name}.jsonl", schemas=schemas):
        outcome, _ = read.of_topic(said["topic"]).read(record_of(said), 0)
        assert isinstance(outcome, Change), f"{said['topic']} {said['offset']}: {outcome}"
        row_id = int(outcome.place.document_id.rpartition("/")[2])
        mapped.append((tables[said["topic"].rpartition(".")[2]], row_id, outcome))
    return mapped


CASES: Final = [(name, schemas) for name in MODES for schemas in (True, False)]
IDS: Final = [f"{name}-{'with' if schemas else 'without'}-schema" for name, schemas in CASES]


def found(name: str, *, schemas: bool, exempt: Sequence[Exemption] = EXEMPT) -> list[str]:
    modes = replace(MODES[name], schemas=schemas)
    lines = []
    for table, row_id, change in changes(name, schemas=schemas):
        snapshot = row_id < FIRST_CHANGE
        answers = rows()[table.name, row_id if snapshot else row_id - FIRST_CHANGE]
        fields = fields_of(change, table.name)
        differing = differences(table, answers, fields, modes, snapshot=snapshot, exempt=exempt)
        lines += [f"{table.name} {row_id}: {line}" for line in differing]
    return lines


@pytest.mark.parametrize(("name", "schemas"), CASES, ids=IDS)
def test_a_document_holds_what_the_row_holds(name: str, schemas: bool) -> None:  # noqa: FBT001 - a case
    assert len(changes(name, schemas=schemas)) >= 10
    lines = found(name, schemas=schemas)
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize("exemption", EXEMPT, ids=lambda exemption: exemption.why[:60])
def test_every_exemption_is_needed(exemption: Exemption) -> None:
    others = [one for one in EXEMPT if one is not exemption]
    assert any(found(name, schemas=schemas, exempt=others) for name, schemas in CASES)


def test_every_type_is_in_some_document() -> None:
    seen = {
        f"{table.name}.{column}"
        for name in MODES
        for table, _, change in changes(name, schemas=True)
        for column, value in fields_of(change, table.name).items()
        if value is not None
    }
    all_columns = {f"{table.name}.{column.name}" for table in TABLES for column in table.columns}
    # The publication of the two tables that only the first three settings read leaves generated columns out.
    assert all_columns - seen == {"numbers.n_made", "others.tx_made"}


def ordinary_row(name: str, *, schemas: bool) -> dict[str, object]:
    return {
        f"{table.name}.{column}": value
        for table, row_id, change in changes(name, schemas=schemas)
        if row_id == FIRST_CHANGE + 1
        for column, value in fields_of(change, table.name).items()
        if column != "title"
    }


@pytest.mark.parametrize(("name", "schemas"), CASES, ids=IDS)
def test_an_ordinary_row_becomes_what_was_reviewed_letter_by_letter(name: str, schemas: bool) -> None:  # noqa: FBT001
    reviewed = json.loads((FOLDER / "ordinary.expected.json").read_text(encoding="utf-8"))
    usual = reviewed["adaptive-with-schema"]
    row = ordinary_row(name, schemas=schemas)
    own = reviewed[IDS[CASES.index((name, schemas))]]
    assert row == {column: value for column, value in (usual | own).items() if column in row}
    assert own.keys() <= row.keys()
