"""Keys and ids: from column values to texts that never collide.

A primary key becomes one text part per column, joined by `/`. Escaping makes the join injective: two different keys
never share a text, and neither do the number `1` and the text `"1"`.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import orjson

from worker.stages.rules import IdScope

MAX_ID_BYTES: Final = 512
"""Elasticsearch refuses a longer `_id`, and with it the whole bulk request that holds it."""

_ESCAPED: Final = re.compile(r"[%/~#\s\x00-\x1f\x7f]")
_LOOKS_LIKE_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def key_part(value: object) -> str:
    """Return the text of one key column.

    A number is written as it is. A text is written as it is, too, with its reserved characters percent-encoded; `~`
    in front marks what would else read as a number, and everything that is neither number nor text.

    Raises:
        ValueError: the value is null or an empty text, which identify nothing.
    """
    if value is None or value == "":
        raise ValueError("is null or empty")
    if isinstance(value, str):
        return f"~{value}" if _LOOKS_LIKE_NUMBER.fullmatch(value) else _escape(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    return "~" + _escape(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def document_id(scope: IdScope, tenant: str, parts: Iterable[str]) -> str:
    """Return the `_id`: tenant and key parts, or the key parts alone where keys are unique over all tenants."""
    joined = "/".join(parts)
    return shortened(f"{key_part(tenant)}/{joined}" if scope is IdScope.TENANT_SCOPED else joined)


def source_key(source: str, parts: Iterable[str]) -> str:
    """Return the key of a row that is unique over all sources and tenants."""
    return shortened("/".join((source, *parts)))


def shortened(text: str) -> str:
    """Return the text, or its hash if it is longer than an `_id` may be.

    A hash begins with `#`, which no unhashed text holds.
    """
    encoded = text.encode()
    return text if len(encoded) <= MAX_ID_BYTES else "#" + hashlib.sha256(encoded).hexdigest()
