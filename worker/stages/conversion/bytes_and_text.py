"""Bytes, texts, and JSON that comes as text."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import orjson

from worker.stages.decode.json_values import loads, shown

_LIMIT: Final = 60
_LENGTH_DIGITS: Final = 10
_MOST_DIGITS: Final = 1024
"""Of a bit string that is written out whole; PostgreSQL allows 83 million, and no bound at all."""


def text(value: object) -> str:
    """Return a text that is one."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value, _LIMIT)} is not text")
    return value


def as_text(value: object) -> str:
    """Return any value as text: a number as JSON writes it, a list or an object as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def json(value: object) -> object:
    """Return what JSON text holds.

    Raises:
        ValueError: it is not JSON text, or nested too deep to be indexed.
    """
    if not isinstance(value, str):
        raise ValueError(f"{shown(value, _LIMIT)} is not JSON text")
    try:
        return loads(value)
    except ValueError as error:
        raise ValueError(f"{shown(value, _LIMIT)} is not JSON text: {error}") from None


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(text(value), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{shown(value, _LIMIT)} is not base64") from None


def base64_text(value: object) -> str:
    """Return bytes as base64 text, which is how JSON holds them and how Elasticsearch's `binary` wants them."""
    _decoded(value)
    return text(value)


def bits(value: object, parameters: Mapping[str, str]) -> str:
    """Return a bit string as its digits, `000000000101`.

    Its bytes are little-endian, and those that are zero at its head are left out: the schema's length says how many
    digits it has. Of `bit varying` the leading zeros are lost on the way, and the length is the greatest there may be:
    it has all of them, or whole bytes where the length is without bound.
    """
    octets = _decoded(value)
    found = int.from_bytes(octets, "little")
    length = str(parameters.get("length", ""))
    digits = int(length) if length.isascii() and length.isdecimal() and len(length) <= _LENGTH_DIGITS else 0
    if not 0 < digits <= _MOST_DIGITS or found >> digits:
        digits = 8 * len(octets)
    return f"{found:0{digits}b}" if digits else ""


def members(value: object) -> list[str]:
    """Return the members of a MySQL SET, which comes as one text with commas."""
    return text(value).split(",") if value != "" else []
