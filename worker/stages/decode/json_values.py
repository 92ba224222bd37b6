"""JSON bytes to Python values, without ever raising.

Of a name that stands twice in one object the last value counts, as in JavaScript, Jackson and orjson: to see
that there are two would make reading five times slower. Neither Debezium nor JSON libraries write such an object.
"""

from collections.abc import Iterable
from typing import Final

import orjson

from worker.errors import RejectReason
from worker.records import Rejection

_MAX_LEVELS: Final = 200
"""orjson reads 1024 levels of nesting but writes only 254, and Python's `repr` gives up in between: what is taken in
must be fit to be written into a document and into a message."""

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
    which of them is broken, and how.
    """
    try:
        value = orjson.loads(data)
        schema: object = None
        if type(value) is dict and len(value) == 2 and "schema" in value and "payload" in value:  # noqa: PLR2004
            value, schema = value["payload"], value["schema"]
        # The schema's own depth does not matter: nothing of it is written anywhere.
        if len(data) > 2 * _MAX_LEVELS:
            _check_depth(data, value)
    except ValueError as error:
        return Rejection(RejectReason.INVALID_JSON, f"the record's {what} is not JSON: {error}{_hint(data)}")
    return value, schema


def loads(data: bytes | str) -> object:
    """Return the value in `data`. orjson refuses invalid UTF-8, lone surrogates, NaN and Infinity.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    value: object = orjson.loads(data)
    _check_depth(data, value)
    return value


def _check_depth(data: bytes | str, value: object) -> None:
    # Counting takes microseconds, and what holds few brackets cannot be deep: only the rest is walked.
    brackets = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    if brackets > _MAX_LEVELS and _is_deeper_than(_MAX_LEVELS, value):
        raise ValueError(f"nested deeper than {_MAX_LEVELS} levels")


def _is_deeper_than(levels: int, value: object) -> bool:
    """Level by level, not by recursion, which is what has to be bounded."""
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer) if type(inner) in (dict, list)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


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
    """Return a value as a message shows it: cut where it is long."""
    return cut(repr(value), limit)


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning where it is longer than `limit`."""
    return text if len(text) <= limit else f"{text[:limit]}..."
