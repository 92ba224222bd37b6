"""What a Kafka Connect schema, as JsonConverter writes it beside the payload, says of columns."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from worker.records import ColumnType

_MAX_LEVELS: Final = 8
"""PostgreSQL knows six dimensions of arrays; what is nested deeper than this is not described."""

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def columns_of(schema: object, part: str | None, wanted: frozenset[str]) -> Mapping[str, ColumnType] | None:
    """Return the types of the wanted columns, or None where the schema describes no columns at all.

    `part` is the field of the value that holds the row (`after`), None where the value itself is the row. What is
    malformed is left out: a broken schema never costs the row that came with it.
    """
    fields = _fields(schema)
    if part is not None:
        fields = next((_fields(field) for field in fields or () if _has_name(field, part)), None)
    if fields is None:
        return None
    types = {}
    for field in fields:
        if isinstance(field, dict):
            name = field.get("field")
            if isinstance(name, str) and name in wanted and (column := _type(field, _MAX_LEVELS)) is not None:
                types[name] = column
    return types


def _fields(schema: object) -> list[object] | None:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return fields if isinstance(fields, list) else None


def _has_name(field: object, name: str) -> bool:
    return isinstance(field, dict) and field.get("field") == name


def _type(schema: object, levels: int) -> ColumnType | None:
    if not isinstance(schema, dict) or levels == 0:
        return None
    base, logical, parameters = schema.get("type"), schema.get("name"), schema.get("parameters")
    if not isinstance(base, str):
        return None
    inner = schema.get("items") if base == "array" else schema.get("values") if base == "map" else None
    return ColumnType(
        base,
        logical if isinstance(logical, str) else None,
        _texts(parameters) if isinstance(parameters, dict) else _NONE,
        None if inner is None else _type(inner, levels - 1),
        schema.get("default"),
    )


def _texts(parameters: Mapping[str, object]) -> Mapping[str, str]:
    return {name: value for name, value in parameters.items() if isinstance(value, str)}
