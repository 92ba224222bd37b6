"""JSON bytes to Python values, without ever raising."""

from collections.abc import Iterable
from typing import Final

import orjson

from worker.errors import RejectReason
from worker.records import Rejection

_MAX_LEVELS: Final = 200
"""orjson reads 1024 levels of nesting but writes only 254, and Python's `repr` gives up in between: what is taken in
must be fit to be written into a document and into a message."""


def parse(data: bytes, what: str) -> object | Rejection:
    """Return the value in `data`, or a rejection that says where it is broken. `what` is `key` or `value`."""
    try:
        return loads(data)
    except ValueError as error:
        return Rejection(RejectReason.INVALID_JSON, f"the record's {what} is not JSON: {error}{_hint(data)}")


def loads(data: bytes | str) -> object:
    """Return the value in `data`. orjson refuses invalid UTF-8, lone surrogates, NaN and Infinity.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    value: object = orjson.loads(data)
    # Counting takes microseconds, and what holds few brackets cannot be deep: only the rest is walked.
    brackets = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
    if brackets > _MAX_LEVELS and _is_deeper_than(_MAX_LEVELS, value):
        raise ValueError(f"nested deeper than {_MAX_LEVELS} levels")
    return value


def _is_deeper_than(levels: int, value: object) -> bool:
    """Level by level, not by recursion, which is what has to be bounded."""
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, (dict, list))]
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
        return " (it begins with a zero byte: a schema registry's Avro, JSON Schema or Protobuf form?)"
    if data.startswith(b"\xef\xbb\xbf"):
        return " (it begins with a byte order mark)"
    return ""


def unwrapped(value: object) -> object:
    """Return the payload of Kafka Connect's `{"schema": ..., "payload": ...}`, or the value itself."""
    if isinstance(value, dict) and value.keys() == {"schema", "payload"}:
        payload: object = value["payload"]
        return payload
    return value


def shown(value: object, limit: int = 100) -> str:
    """Return a value as a message shows it: cut where it is long."""
    return cut(repr(value), limit)


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning where it is longer than `limit`."""
    return text if len(text) <= limit else f"{text[:limit]}..."
