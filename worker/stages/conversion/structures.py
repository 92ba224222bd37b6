"""Arrays, maps and structs: element by element where the schema tells the elements' type."""

from collections.abc import Callable
from typing import Final

from worker.records import ColumnType
from worker.stages.decode.json_values import shown

_LIMIT: Final = 60
_PAIR: Final = 2


def array(value: object, one: Callable[[object], object]) -> list[object]:
    """Return the array with each element converted; null elements stay null, and Elasticsearch passes them over."""
    if not isinstance(value, list):
        raise ValueError(f"{shown(value, _LIMIT)} is not an array")
    return [None if item is None else one(item) for item in value]


def mapping(value: object, column: ColumnType, one: Callable[[object], object]) -> dict[str, object]:
    """Return a map as an object; one whose keys are no texts comes as an array of pairs."""
    pairs = _pairs(value)
    if column.items is None:
        return pairs
    return {name: None if item is None else one(item) for name, item in pairs.items()}


def _pairs(value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == _PAIR for pair in value):
        return {str(name): item for name, item in value}
    raise ValueError(f"{shown(value, _LIMIT)} is not a map")


def struct(value: object) -> dict[str, object]:
    """Return a struct as the object that it is."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"{shown(value, _LIMIT)} is not an object")


def sparse_vector(value: object) -> dict[str, object]:
    """Return pgvector's sparse vector as `{"dimensions": 5, "vector": {"1": 0.5}}`."""
    found = struct(value)
    return found | {"vector": _pairs(found.get("vector"))}
