"""Keys and ids: from column values to texts that never collide.

A primary key becomes one text part per column, joined by `/`, behind the name of its source: `articles/1`. In a
tenant-scoped `_id` the tenant stands in front of both: `acme/articles/1`. Escaping makes the join injective: two
different keys never share a text, and neither do the number `1` and the text `"1"`.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final

import orjson

from worker.stages.decode.json_values import check_depth
from worker.stages.rules import IdScope

MAX_ID_BYTES: Final = 512
"""Elasticsearch refuses a longer `_id`, and with it the whole bulk request that holds it."""

MAX_ALIAS_BYTES: Final = 255
"""Elasticsearch refuses a longer name of an index or alias."""

# Most keys need neither escape nor mark: one look tells.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:=@+-]*")
_ESCAPED: Final = re.compile(r"[%/~#\s\x00-\x1f\x7f]")
_LOOKS_LIKE_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_ALWAYS_FITS: Final = MAX_ID_BYTES // 4
"""Characters that fit whatever they are: UTF-8 takes four bytes at most."""
_LOWEST_INTEGER, _BEYOND_INTEGERS = -(1 << 63), 1 << 64
"""What JSON is read as integers; an integer outside becomes the nearest float, and so do its neighbours."""
# Looked up once: an enumeration's members are slow to come by.
_TENANT_SCOPED: Final = IdScope.TENANT_SCOPED
_ALIAS_ESCAPED: Final = re.compile(r"[^a-z0-9._-]")


def key_part(value: object) -> str:
    """Return the text of one key column.

    A number is written as it is. A text is written as it is, too, with its reserved characters percent-encoded; `~`
    in front marks what would else read as a number, and everything that is neither number nor text.

    Raises:
        ValueError: the value is null or a blank text, which identify nothing; or a number of more than 64 bits, which
            reading JSON has rounded, so that other keys may read the same; or it is nested too deep to be written.
    """
    if type(value) is int:
        return str(value)
    if isinstance(value, str) and value.strip():
        if _PLAIN.fullmatch(value):
            return value
        return f"~{value}" if _LOOKS_LIKE_NUMBER.fullmatch(value) else _escape(value)
    if value is None or isinstance(value, str):
        raise ValueError("is null or blank: give the table a primary key, or set message.key.columns")
    check_depth(value)
    if _may_be_rounded(value):
        raise ValueError("holds a number of more than 64 bits, which JSON readers round: write it as text")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    return "~" + _escape(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())


def _may_be_rounded(value: object) -> bool:
    if isinstance(value, float):
        return not _LOWEST_INTEGER <= value < _BEYOND_INTEGERS
    if isinstance(value, dict):
        return any(map(_may_be_rounded, value.values()))
    return isinstance(value, list) and any(map(_may_be_rounded, value))


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def joined(source: str, parts: Iterable[str]) -> str:
    """Return the name of a source and the parts of a key as one text, of any length."""
    return f"{source}/{'/'.join(parts)}"


def joined_id(scope: IdScope, tenant_part: str, joined_key: str) -> str:
    """Return the `_id`: the tenant's part and what `joined` gave, or the latter alone with ids over all tenants.

    Both are joined at full length and shortened once: a hash of a hash would say nothing more, and cost more.
    """
    return shortened(f"{tenant_part}/{joined_key}" if scope is _TENANT_SCOPED else joined_key)


def source_key(source: str, parts: Iterable[str]) -> str:
    """Return the key of a row that is unique over all sources and tenants."""
    return shortened(joined(source, parts))


def key_place_id(source_key: str) -> str:
    """Return the id, and the routing, of the place that belongs to a row's source key alone, whatever its tenant.

    No document has it: their ids begin with a key part, and none of those is empty.
    """
    return shortened(f"/{source_key}")


def fits(text: str) -> bool:
    """Whether a text is no longer than an `_id` may be."""
    return len(text) <= _ALWAYS_FITS or len(text.encode()) <= MAX_ID_BYTES


def shortened(text: str) -> str:
    """Return the text, or its hash if it is longer than an `_id` may be.

    A hash begins with `#`, which no unhashed text holds.
    """
    return text if len(text) <= _ALWAYS_FITS or fits(text) else "#" + hashlib.sha256(text.encode()).hexdigest()


def tenant_alias(reader_alias: str, tenant: str) -> str:
    """Return the name of the alias through which one tenant reads: `articles@acme`.

    Legal for any tenant: lower case, digits and `._-` stay, every other byte of its UTF-8 becomes `~` and two
    hexadecimal digits; what is then too long becomes a hash behind `@@`. No two tenants share a name, and no name is
    that of another index or alias of ours, because those hold no `@`.

    Raises:
        ValueError: the reader alias leaves no room.
    """
    escaped = _ALIAS_ESCAPED.sub(_alias_escape, tenant)
    name = f"{reader_alias}@{escaped}"
    if len(name) <= MAX_ALIAS_BYTES:
        return name
    digest = hashlib.blake2b(tenant.encode(errors="surrogatepass"), digest_size=20).digest()
    name = f"{reader_alias}@@{base64.b32encode(digest).decode().lower()}"
    if len(name) > MAX_ALIAS_BYTES:
        raise ValueError(f"{reader_alias!r} is too long for the aliases of its tenants")
    return name


def _alias_escape(match: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in match[0].encode(errors="surrogatepass"))
