"""Every PostgreSQL type, through real Debezium and the worker: the document equals the row, whatever the settings.

How each column is compared is in `types_compare`, and so is the list of what Debezium itself says wrong.
"""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.e2e import types_scene
from tests.e2e.types_columns import TABLES
from tests.e2e.types_compare import Modes, differences
from tests.e2e.types_scene import CHANGED, DELETED, Case
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm

CASES: Final = (
    Case("types_envelope_schema", Modes()),
    Case(
        "types_envelope_no_key",
        Modes(
            time="adaptive_time_microseconds",
            decimal="double",
            binary="base64",
            hstore="map",
            interval="string",
            schemas=False,
            unknown=True,
            generated=True,
        ),
        full=True,
        keyed=False,
    ),
    Case(
        "types_flat_rewrite_schema",
        Modes(time="connect", decimal="string", binary="hex", generated=True, nulls_stay=True),
        flat="rewrite",
        full=True,
    ),
    Case(
        "types_flat_tombstones",
        Modes(time="isostring", schemas=False, generated=True, nulls_stay=True),
        flat="delete-to-tombstone",
    ),
    Case(
        "types_envelope_schema_no_key",
        Modes(time="microseconds", decimal="string", hstore="map", generated=True, nulls_stay=True),
        full=True,
        keyed=False,
    ),
    Case(
        "types_flat_no_schema",
        Modes(time="nanoseconds", decimal="double", interval="string", schemas=False),
        flat="rewrite-with-tombstone",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_document_equals_the_row(servers: Servers, tmp_path: Path, case: Case) -> None:
    database = types_scene.prepare(servers, case)
    try:
        settings = types_scene.settings(servers, case, tmp_path)
        asyncio.run(types_scene.run_worker(settings))
        rows, documents = types_scene.rows(database), types_scene.documents(servers, case)
    finally:
        types_scene.remove(servers, case, database)
    assert documents.keys() == rows.keys()
    assert not {row_id for row_id in documents if row_id % 1000 == DELETED}
    found = []
    for row_id, (number, answers) in rows.items():
        table = TABLES[number]
        snapshot = row_id % 1000 < CHANGED
        fields = documents[row_id].get(table.name, {})
        lines = differences(table, answers, fields, case.modes, snapshot=snapshot)
        found += [f"{table.name} {row_id}: {line}" for line in lines]
    assert not found, "\n" + "\n".join(found)
