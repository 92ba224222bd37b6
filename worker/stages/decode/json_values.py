"""JSON bytes to Python values, without ever raising.

Of a name that stands twice in one object the last value counts, as in JavaScript, Jackson and orjson: to see
that there are two would make reading five times slower. Neither Debezium nor JSON libraries write such an object.
"""

import reprlib
from collections.abc import Iterable
from typing import Any, Final

import orjson

from worker.errors import RejectReason
from worker.records import Rejection

MAX_LEVELS: Final = 200
"""orjson reads 1024 levels of nesting but writes only 254, and Python's recursion ends in between. To look how deep
each record is would cost a tenth of reading it, so whoever walks a value, or writes it, looks at that value alone."""

_CONTAINERS: Final = frozenset({list, dict})
_SHORT: Final = reprlib.Repr()
"""Looks at a part of a value only, however large or deep the rest is."""
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring = 4, 10, 10, 40

_REGISTRY_HEADER_BYTES: Final = 5
_BEGINNINGS: Final = (
    (b"\xef\xbb\xbf", "it begins with a byte order mark: write it without"),
    (b"\xff\xfe", "it begins as UTF-16: write UTF-8"),
    (b"\xfe\xff", "it begins as UTF-16: write UTF-8"),
    (b"\x1f\x8b", "it is compressed with gzip: let the Kafka producer compress, that is undone by itself"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: let the Kafka producer compress, that is undone by itself"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: let the Kafka producer compress, that is undone by itself"),
)


def parse(data: bytes, what: str) -> tuple[object, object] | Rejection:
    """Return the value in `data` and the Kafka Connect schema that came with it, None where none did.

    Both are taken out of Connect's `{"schema": ..., "payload": ...}`. `what` is `key` or `value`: a rejection says
    which of them is broken, and how. What is found may be nested deeper than `MAX_LEVELS`.
    """
    try:
        value = orjson.loads(data)
    except ValueError as error:
        return Rejection(RejectReason.INVALID_JSON, f"the record's {what} is not JSON: {error}{_hint(data)}")
    if type(value) is dict and len(value) == 2 and "schema" in value and "payload" in value:  # noqa: PLR2004
        return value["payload"], value["schema"]
    return value, None


def loads(data: bytes | str) -> object:
    """Return the value in `data`. orjson refuses invalid UTF-8, lone surrogates, NaN and Infinity.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    value: object = orjson.loads(data)
    check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Make sure that a value may be walked by recursion and written again.

    Raises:
        ValueError: it is nested deeper than `MAX_LEVELS`.
    """
    # Nearly all lists and objects hold no others, which is seen without a loop in Python.
    inside = value if type(value) is list else value.values() if type(value) is dict else ()
    if _CONTAINERS.isdisjoint(map(type, inside)):
        return
    # Level by level, not by recursion, which is what has to be bounded.
    level: list[Any] = [value]
    for _ in range(MAX_LEVELS):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, (list, dict))]
        if not level:
            return
    raise ValueError(f"{shown(value, 20)} is nested deeper than {MAX_LEVELS} levels")


def _inside(value: list[Any] | dict[str, Any]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def _hint(data: bytes) -> str:
    if not data:
        return " (it is empty, which is not the same as a tombstone's null)"
    if data[0] == 0:
        return (
            f" (it begins with a zero byte: a schema registry's Avro, JSON Schema or Protobuf form{_schema_id(data)}?)"
        )
    hint = next((words for beginning, words in _BEGINNINGS if data.startswith(beginning)), None)
    return "" if hint is None else f" ({hint})"


def _schema_id(data: bytes) -> str:
    """A registry's clients write a zero byte and four bytes of the schema's number before the data."""
    if len(data) < _REGISTRY_HEADER_BYTES:
        return ""
    return f" with schema {int.from_bytes(data[1:_REGISTRY_HEADER_BYTES])}; set the converter to JSON"


def shown(value: object, limit: int = 100) -> str:
    """Return a value as a message shows it: of a text its beginning, between quotes that are closed; else cut."""
    if not isinstance(value, str):
        return cut(_SHORT.repr(value), limit)
    quoted = repr(value[: limit + 1])
    return quoted if len(quoted) <= limit + 2 else f"{quoted[: limit + 1]}...{quoted[-1]}"


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning where it is longer than `limit`."""
    return text if len(text) <= limit else f"{text[:limit]}..."
