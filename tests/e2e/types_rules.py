"""The sources' settings for the tables of every type: what each column is declared as, where no schema says it."""

from collections.abc import Mapping
from typing import Any, Final

from tests.e2e.types_columns import As, Column, TypesTable
from tests.e2e.types_compare import Modes

_MILLIS: Final = ("local_millis", "time_millis")
_MICROS: Final = ("local_micros", "time_micros")
_NANOS: Final = ("local_nanos", "time_nanos")
_ONLY_MILLIS: Final = {"t0", "t3", "ts0", "ts3"}
"""Columns with at most three digits behind the second: the `adaptive` modes write them in milliseconds."""


def _unit(column: Column, modes: Modes) -> tuple[str, str]:
    match modes.time:
        case "connect":
            return _MILLIS
        case "nanoseconds":
            return _NANOS
        case "adaptive":
            # `ts_made` is a timestamp without a limit, whatever it is made of.
            return _MILLIS if column.name in _ONLY_MILLIS else _MICROS
        case "adaptive_time_microseconds":
            return _MILLIS[:1] + _MICROS[1:] if column.name in _ONLY_MILLIS else _MICROS
        case _:
            return _MICROS


_SCALES: Final = {"n2": 2, "n2s": 2, "n0": 0, "n_domain": 4, "m": 2, "n_made": 2}


def declared(column: Column, modes: Modes) -> dict[str, Any]:
    """What the operator writes for a column whose events carry no schema."""
    is_iso = modes.time == "isostring"
    match column.kind:
        case As.DATE:
            return {"type": "date" if is_iso else "epoch_days"}
        case As.TIME:
            return {"type": "local_time" if is_iso else _unit(column, modes)[1]}
        case As.LOCAL:
            return {"type": "local_timestamp" if is_iso else _unit(column, modes)[0]}
        case As.TIME_UTC:
            return {"type": "time"}
        case As.MOMENT:
            return {"type": "timestamp"}
        case As.NUMBER if modes.decimal == "precise" and column.name in _SCALES:
            return {"type": "decimal", "scale": _SCALES[column.name]}
        case As.NUMBER:
            return {"type": "number" if modes.decimal == "double" else "decimal"}
        case As.FLOAT:
            return {"type": "number"}
        case _:
            return chosen(column, modes)


def chosen(column: Column, modes: Modes) -> dict[str, Any]:
    """What the operator writes in any case: a choice that no schema can make."""
    if column.kind is As.JSON or (column.kind is As.MAP and modes.hstore == "json"):
        return {"type": "json"}
    # Without a schema for text nobody knows that "NAN" and "POSITIVE_INFINITY" are no numbers.
    return {"type": "decimal"} if column.kind is As.NUMBER and modes.decimal == "string" else {}


def fields(table: TypesTable, modes: Modes) -> dict[str, Mapping[str, Any]]:
    """Every column at `<table>.<column>`; what cannot be converted is left out, so that the rest can be seen."""
    return {
        f"{table.name}.{column.name}": {
            "from": column.name,
            "on_bad_field": "null",
            **(chosen(column, modes) if modes.schemas else declared(column, modes)),
        }
        for column in table.columns
        if is_there(column, modes)
    }


def is_there(column: Column, modes: Modes) -> bool:
    """Whether events carry the column at all."""
    return (modes.generated or not column.generated) and (modes.unknown or column.name != "bx")


def source(table: TypesTable, topic: str, modes: Modes, **others: object) -> dict[str, Any]:
    return {
        "name": table.name,
        "topics": [topic],
        "id": ["id"],
        "tenant": "tenant",
        "fields": {"title": "tenant", **fields(table, modes)},
        "embed": ["title"],
        **others,
    }
