"""JSON bytes to Python values, without ever raising."""

import orjson

from worker.errors import RejectReason
from worker.records import Rejection


def parse(data: bytes, what: str) -> object | Rejection:
    """Return the value in `data`, or a rejection that says where it is broken. `what` is `key` or `value`.

    orjson bounds the nesting depth itself, refuses invalid UTF-8, lone surrogates, NaN and Infinity.
    """
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        hint = _hint(data)
        return Rejection(RejectReason.INVALID_JSON, f"the record's {what} is not JSON: {error}{hint}")
    return value


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
