"""Types that more than one settings group uses: durations, sizes, secrets that may live in a file."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, PlainSerializer, SecretStr, WithJsonSchema

from worker.errors import OperatorError

_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_NO_PART_OF_A_SECRET: Final = frozenset({"Cc", "Cs"})
"""Control characters, which no header takes, and what is left of bytes that are no UTF-8."""
_BYTE_ORDER_MARK: Final = "\ufeff"
_UNIT_BYTES: Final = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024}


def parse_duration(value: object) -> float:
    """Return seconds from a number of seconds, or from text such as `250ms`.

    Raises:
        ValueError: it is neither, or negative, or not finite.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _UNIT_SECONDS[match[2] or "s"]
    else:
        raise ValueError("expected a duration such as 250ms, 30s, 5m, 12h or 7d")
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    if not math.isfinite(seconds):
        raise ValueError("a duration must be finite; write a large one, such as 365d")
    return seconds


def format_duration(seconds: float) -> str | float:
    """Return what a person would write and `parse_duration` reads as the very same number."""
    if seconds == 0:
        return "0s"
    for unit, size in reversed(_UNIT_SECONDS.items()):
        text = f"{round(seconds / size)}{unit}"
        if parse_duration(text) == seconds:
            return text
    return seconds


def format_bytes(size: int) -> str | int:
    """Return the largest binary unit that the size is a whole number of, else the plain number."""
    for unit, bytes_ in _UNIT_BYTES.items():
        if size and size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return int(size)


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema(
        {"type": ["number", "string"], "minimum": 0, "pattern": rf"^{_DURATION.pattern}$", "examples": ["30s", "7d"]}
    ),
]
"""Seconds; written as a number of seconds or as `250ms`, `30s`, `5m`, `12h`, `7d`."""

Bytes = Annotated[
    ByteSize,
    PlainSerializer(format_bytes, when_used="json"),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": r"^\d+(\.\d+)?\s*([KkMmGgTtPp]?[Ii]?[Bb])?$",
            "examples": ["5MiB", 1048576],
        }
    ),
]
"""Bytes; written as an integer or as `512KiB`, `5MiB`, `1GB`."""


class Group(BaseModel):
    """Base of every settings group: unknown keys are refused, values never change after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


def refuse(mistakes: Iterable[str]) -> None:
    """Refuse a group with all its mistakes at once, a sentence each.

    Raises:
        ValueError: there are some; `mistakes.sentences` takes them apart again.
    """
    if told := "\n".join(mistakes):
        raise ValueError(told)


def read_secret(name: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return the secret given in place or in a file (its first line), or None if neither is given.

    Space around it, and a byte order mark before it, are no part of it. Files are read at every call, so that a rotated
    secret is seen without a restart.

    Raises:
        OperatorError: the file cannot be read, the secret is empty, or a control character is in it.
    """
    if value is not None:
        return _usable(name, "it", value.get_secret_value(), "write the secret")
    if file is None:
        return None
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise OperatorError(f"{name}_file: cannot read {file}: {reason}; give the path of a readable file") from error
    return _usable(f"{name}_file", str(file), content.partition("\n")[0], "write the secret on its first line")


def _usable(name: str, where: str, text: str, remedy: str) -> str:
    secret = text.removeprefix(_BYTE_ORDER_MARK).strip()
    if not secret:
        raise OperatorError(f"{name}: {where} is empty; {remedy}")
    if any(unicodedata.category(character) in _NO_PART_OF_A_SECRET for character in secret):
        raise OperatorError(f"{name}: {where} holds a control character; {remedy} as plain text")
    return secret


def given_twice(name: str, value: SecretStr | None, file: Path | None) -> Iterator[str]:
    """Yield the mistake of a secret that is given in place and in a file, too."""
    if value is not None and file is not None:
        yield f"both {name} and {name}_file are given: keep one of them"
