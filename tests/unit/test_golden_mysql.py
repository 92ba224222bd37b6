"""What a real Debezium says of MySQL's rows: positions in the binlog, types that PostgreSQL has not."""

from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.golden import types_files
from tests.unit.test_golden_types import record_of
from worker.app.sources import source_readers
from worker.records import Change, Operation, Rejection, Skip, Truncate
from worker.settings.sources import SourceSettings

FILE: Final = Path(__file__).parents[1] / "golden" / "mysql" / "mysql-connector.jsonl"
COLUMNS: Final = (
    *("title", "price", "f", "dbl", "flag", "b1", "b10", "d", "t", "t6", "dt", "dt6"),
    *("ts", "y", "e", "st", "js", "bl", "vb", "tx", "pt", "gen", "big"),
)


def source(name: str, **others: Any) -> SourceSettings:  # noqa: ANN401 - settings of every kind
    fields: dict[str, Any] = {"title": "title"}
    given = {
        "name": name,
        "topics": [f"mysql.shop.{name}"],
        "id": ["id"],
        "tenant": "tenant",
        "replica_identity": "full",
        "fields": fields,
        "embed": ["title"],
    }
    return SourceSettings.model_validate(given | others)


@cache
def outcomes(table: str) -> list[Change | Truncate | Skip | Rejection]:
    fields = {column: column for column in COLUMNS} | {"js": {"from": "js", "type": "json"}}
    sources = [source("products", fields=fields), source("bare", tenant="title"), source("schema", topics=["mysql"])]
    readers = source_readers(sources)
    return [
        readers.of_topic(said["topic"]).read(record_of(said), 0)[0]
        for said in types_files.read(FILE)
        if said["topic"].rpartition(".")[2] == table
    ]


def test_versions_rise_from_event_to_event_from_row_to_row_and_from_file_to_file() -> None:
    changes = [outcome for outcome in outcomes("products") if isinstance(outcome, Change)]
    said = [(change.operation.value, change.place.document_id, change.fields.get("title")) for change in changes]
    assert said == [
        ("upsert", "acme/products/1", "One"),
        ("upsert", "acme/products/2", "Nulls"),
        ("upsert", "acme/products/11", "One"),
        ("upsert", "acme/products/12", "Nulls"),
        ("upsert", "acme/products/11", "Changed"),
        ("delete", "acme/products/11", None),
        ("upsert", "acme/products/13", "Changed"),
        ("delete", "acme/products/12", None),
        ("upsert", "acme/products/1", "a"),
        ("upsert", "acme/products/1", "b"),
        ("upsert", "acme/products/1", "multi"),
        ("upsert", "acme/products/2", "multi"),
        ("upsert", "acme/products/13", "multi"),
        ("upsert", "acme/products/1", "after flush"),
    ]
    versions = [change.version for change in changes]
    assert versions == sorted(versions)
    # The snapshot's rows share its position, the halves of a changed key theirs; all others have their own.
    assert len(set(versions)) == len(versions) - 2
    assert [version >> 32 for version in (versions[0], versions[-2], versions[-1])] == [1, 1, 2]
    assert all(change.positioned for change in changes)


def test_the_types_of_mysql() -> None:
    change = outcomes("products")[0]
    assert isinstance(change, Change)
    assert change.operation is Operation.UPSERT
    assert change.fields == {
        "title": "One",
        "price": "1.50",
        "f": 1.5,
        "dbl": 0.1,
        "flag": 1,
        "b1": True,
        "b10": "1000000001",
        "d": "2026-11-21",
        "t": "13:14:15",
        "t6": "-838:59:59",
        "dt": "2026-11-21T13:14:15",
        "dt6": "2026-11-21T13:14:15.678901",
        "ts": "2026-11-21T13:14:15.678901Z",
        "y": 2026,
        "e": "m",
        "st": ["a", "b"],
        "js": {"a": [1, 2.5]},
        "bl": "AP8Q",
        "vb": "AQI=",
        "tx": "Größe",
        "pt": "POINT (1.5 -2)",
        "gen": 2,
        # 18446744073709551615: `bigint.unsigned.handling.mode` is `long` unless it is set to `precise`.
        "big": -1,
    }


def test_a_changed_key_names_the_former_one() -> None:
    change = outcomes("products")[7]
    assert isinstance(change, Change)
    assert {place.document_id for place in change.former} == {"acme/products/11"}


def test_schema_changes_are_no_rows_and_a_truncate_is_refused() -> None:
    assert all(isinstance(outcome, Skip) for outcome in outcomes("mysql"))
    truncate = outcomes("bare")[-1]
    assert isinstance(truncate, Rejection)
    assert "truncated" in truncate.message
