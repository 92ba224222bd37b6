"""The tables of `docs/configuration.md` from the settings themselves: `python -m tools.configuration_docs` writes them.

What stands above the line `MARK` is written by hand and stays.
"""

import json
import re
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize, HttpUrl, SecretStr
from pydantic.fields import FieldInfo

from worker.settings import Settings
from worker.settings.known import group_of, is_group
from worker.settings.types import format_bytes, format_duration, parse_duration

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
MARK = "<!-- Generated from worker/settings by `make docs`: everything below this line. -->"
_INTRODUCTION = """
## All keys

A key is written with the names of its groups: `kafka.group_id` is `group_id` below `kafka:` in the file, and
`SYNCLINE_KAFKA__GROUP_ID` in the environment.
"""


def page() -> str:
    """Return the whole page, with the part below the mark made anew."""
    by_hand, found, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not found:
        raise SystemExit(f"{PAGE.name} has lost its line {MARK}")
    tables = "\n".join(_tables(Settings, ""))
    return f"{by_hand}{MARK}\n{_INTRODUCTION}\n{tables}\n"


def _tables(group: type[BaseModel], prefix: str) -> Iterator[str]:
    rows, below = [], []
    for name, field in group.model_fields.items():
        key = field.alias or name
        inner = group_of(field.annotation)
        if inner is not None:
            # sources[] is a list of groups, fields.* a mapping of them.
            below.append((inner, f"{prefix}{key}" + _repeated(field.annotation)))
        if inner is None or not is_group(field.annotation):
            rows.append(f"| `{key}` | {_type(field)} | {_default(field)} | {_reason(field)} |")
    if rows and prefix:  # the top level holds groups and `sources` only, and each has its own table
        yield f"### `{prefix.rstrip('.')}`\n\n{_words(group.__doc__)}\n"
        yield "| key | type | default | what it is, and why |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    for inner, path in below:
        yield from _tables(inner, f"{path}.")


def _repeated(annotation: object) -> str:
    origin = typing.get_origin(annotation)
    return "[]" if origin is list else ".*" if origin is dict else ""


def _type(field: FieldInfo) -> str:
    if _is_duration(field):
        return "duration" + _limits(field, format_duration)
    annotation, optional = _without_none(field.annotation)
    limits = _limits(field, format_bytes if annotation is ByteSize else str)
    return f"{_named(annotation)}{limits}{', optional' if optional else ''}"


def _is_duration(field: FieldInfo) -> bool:
    return any(getattr(part, "func", None) is parse_duration for part in field.metadata)


def _without_none(annotation: object) -> tuple[object, bool]:
    arguments = typing.get_args(annotation)
    if type(None) not in arguments:
        return annotation, False
    return next(argument for argument in arguments if argument is not type(None)), True


def _named(annotation: object) -> str:
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is typing.Union:
        return " or ".join(_named(typing.get_args(argument)[0]) for argument in arguments)
    if origin is list:
        return f"list of {'groups' if group_of(arguments[0]) else _named(arguments[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    if group_of(annotation) is not None:
        return "group"
    plain: dict[object, str] = {
        str: "text",
        bool: "true or false",
        int: "integer",
        float: "number",
        ByteSize: "size",
        Path: "path",
        SecretStr: "secret",
        HttpUrl: "URL",
    }
    return plain[annotation]


def _limits(field: FieldInfo, told: Any) -> str:  # noqa: ANN401 - whichever way the type is written
    words = {"ge": "at least", "gt": "above", "le": "at most"}
    limits = [
        f"{word} {told(limit)}"
        for part in field.metadata
        for name, word in words.items()
        if (limit := getattr(part, name, None)) is not None
    ]
    return f", {', '.join(limits)}" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value == []:
        return "-"
    if isinstance(value, ByteSize):
        value = format_bytes(value)
    elif _is_duration(field):
        value = format_duration(value)
    elif isinstance(value, list):
        value = json.dumps([str(each) for each in value])
    return f"`{value}`"


def _reason(field: FieldInfo) -> str:
    return _words(field.description)


def _words(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
