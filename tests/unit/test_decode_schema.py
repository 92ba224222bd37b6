"""What a Kafka Connect schema beside the payload says of columns."""

from typing import Any

import pytest

from tests.builders import event, record, row, rules
from worker.records import ColumnType, RowChange
from worker.stages.decode.connect_schema import columns_of
from worker.stages.decode.debezium import decode
from worker.stages.rules import FieldType

WANTED = frozenset({"id", "price", "tags", "matrix", "attributes", "point", "at"})


def struct(*fields: object, **named: object) -> dict[str, Any]:
    return {"type": "struct", "fields": list(fields), "optional": True, **named}


ROW = struct(
    {"type": "int64", "optional": False, "default": 0, "field": "id"},
    {
        "type": "bytes",
        "optional": True,
        "name": "org.apache.kafka.connect.data.Decimal",
        "version": 1,
        "parameters": {"scale": "2", "connect.decimal.precision": "10", "odd": 5},
        "field": "price",
    },
    {"type": "array", "items": {"type": "string", "optional": True}, "optional": True, "field": "tags"},
    {
        "type": "array",
        "items": {"type": "array", "items": {"type": "int32", "name": "io.debezium.time.Date"}},
        "field": "matrix",
    },
    {"type": "map", "keys": {"type": "string"}, "values": {"type": "string", "optional": True}, "field": "attributes"},
    struct({"type": "double", "field": "x"}, name="io.debezium.data.geometry.Point", field="point"),
    {"type": "string", "field": "not wanted"},
    field="after",
)
TYPES = {
    "id": ColumnType("int64", default=0),
    "price": ColumnType(
        "bytes", "org.apache.kafka.connect.data.Decimal", {"scale": "2", "connect.decimal.precision": "10"}
    ),
    "tags": ColumnType("array", items=ColumnType("string")),
    "matrix": ColumnType("array", items=ColumnType("array", items=ColumnType("int32", "io.debezium.time.Date"))),
    "attributes": ColumnType("map", items=ColumnType("string")),
    "point": ColumnType("struct", "io.debezium.data.geometry.Point"),
}


def test_of_an_envelope_the_schema_of_the_new_row_counts() -> None:
    before = struct({"type": "string", "field": "id"}, field="before")
    assert columns_of(struct(before, ROW), "after", WANTED) == TYPES


def test_of_a_flattened_row_its_own_schema_counts() -> None:
    assert columns_of(ROW, None, WANTED) == TYPES


@pytest.mark.parametrize(
    "schema", [None, 5, "x", [], {}, {"fields": None}, {"fields": "x"}, struct(), struct({"field": "after"}), struct(5)]
)
def test_a_schema_without_columns_says_nothing(schema: object) -> None:
    assert columns_of(schema, "after", WANTED) is None


@pytest.mark.parametrize("fields", [None, 5, "x", True, {"field": "id"}])
def test_fields_that_are_no_list_say_nothing(fields: object) -> None:
    assert columns_of({"fields": fields}, None, WANTED) is None
    assert columns_of({"fields": fields}, "after", WANTED) is None
    assert columns_of(struct({"field": "after", "fields": fields}), "after", WANTED) is None


@pytest.mark.parametrize(
    "field",
    [
        None,
        "x",
        {},
        {"field": "id"},
        {"type": "int64"},
        {"type": 5, "field": "id"},
        {"type": "int64", "field": ["id"]},
        {"type": {}, "field": {}},
    ],
)
def test_a_broken_column_is_left_out_and_costs_nothing_else(field: object) -> None:
    good = {"type": "int64", "field": "price"}
    assert columns_of(struct(struct(field, good, field="after")), "after", WANTED) == {"price": ColumnType("int64")}


@pytest.mark.parametrize(
    "odd",
    [
        {"name": 5},
        {"parameters": []},
        {"parameters": {"scale": 2}},
        {"items": {"type": "string"}},
        {"values": {"type": "string"}},
    ],
)
def test_what_is_odd_about_a_column_is_ignored(odd: dict[str, object]) -> None:
    assert columns_of(struct({"type": "int64", "field": "id", **odd}), None, WANTED) == {"id": ColumnType("int64")}


def test_a_schema_nested_without_end_ends() -> None:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(900):
        inner = {"type": "array", "items": inner}
    found = columns_of(struct({**inner, "field": "tags"}), None, WANTED)
    assert found is not None
    described = 0
    column: ColumnType | None = found["tags"]
    while column is not None:
        assert column.base == "array"
        described, column = described + 1, column.items
    assert described == 8


def test_an_event_describes_the_columns_that_are_mapped_identify_or_order() -> None:
    schema = struct(struct(*({"type": "string", "field": name} for name in ("id", "tenant", "at", "x")), field="after"))
    given = rules(fields={"title": ("at", FieldType.AS_IS)})
    outcome = decode(record({"schema": schema, "payload": event("u", row(at="a", x="x"))}), given)
    assert isinstance(outcome, RowChange)
    assert outcome.columns == dict.fromkeys(("id", "tenant", "at"), ColumnType("string"))


def test_an_event_without_schema_describes_nothing() -> None:
    for value in (event(), {"schema": None, "payload": event()}):
        outcome = decode(record(value), rules())
        assert isinstance(outcome, RowChange)
        assert outcome.columns is None
