"""What pydantic found, as one sentence a mistake: where it was written, which key, and what to change.

Values are never repeated: they may be secrets.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.settings.environment import Environment
from worker.settings.fields import FORM_TAGS
from worker.settings.known import keys_at, nearest
from worker.settings.root import Settings

_PLAINER: Final = {
    "string_type": "should be text; put a number, a date or yes/no in quotes",
    "model_type": "should be a group of keys",
    "model_attributes_type": "should be a group of keys",
    "dict_type": "should be a mapping of keys to values",
    "list_type": "should be a list, such as [one, two]",
    "url_scheme": "should begin with http:// or https://",
    "url_parsing": "should be a URL, such as http://localhost:9200",
    "too_short": "should not be empty",
    "string_too_short": "should not be empty",
    "path_type": "should be the path of a file",
    "byte_size": "should be a size such as 512KiB, 5MiB or 1GB",
    "byte_size_unit": "should be a size such as 512KiB, 5MiB or 1GB",
}
"""Pydantic's error types whose own words speak of Python, or say less than they could."""


def sentences(error: ValidationError, file: Path | None, environment: Environment) -> Iterator[str]:
    """Yield one sentence a mistake."""
    # The input is left out; the context holds limits and patterns, and is ours.
    for fault in error.errors(include_url=False, include_input=False):
        location = location_of(fault)
        if _told_already(location, environment):
            continue
        key = _dotted(location)
        place = place_of(location, file, environment)
        for told in _told(fault, location).split("\n"):
            yield f"{place}: {key}: {told}" if key else f"{place}: {told}"


def _told_already(location: tuple[int | str, ...], environment: Environment) -> bool:
    """Whether a key is only missing because the variable that would have set it is refused."""
    return bool(location) and any(
        location[: len(path)] == path or path[: len(location)] == location for path in environment.spoiled
    )


def location_of(fault: ErrorDetails) -> tuple[int | str, ...]:
    """Return the path of a mistake as it is written in the file."""
    return tuple(part for part in fault["loc"] if part not in FORM_TAGS)


def _told(fault: ErrorDetails, location: tuple[int | str, ...]) -> str:
    kind = fault["type"]
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(location[-1]), keys_at(Settings, location[:-1]))}"
    if kind in {"missing", "too_short"} and location == ("sources",):
        return "nothing to read: describe at least one source (see docs/configuration.md)"
    if kind == "missing":
        return "is required: add it"
    if kind == "string_pattern_mismatch":
        return f"should match {fault['ctx']['pattern']}"
    if kind in _PLAINER:
        return _PLAINER[kind]
    words = fault["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return words.replace("String should", "should")


def place_of(location: tuple[int | str, ...], file: Path | None, environment: Environment) -> str:
    """Name where the mistake was written: in a variable, in the file, or between both."""
    variables = {
        variable
        for path, variable in environment.origins.items()
        if path == location[: len(path)] or path[: len(location)] == location
    }
    exact = [variable for path, variable in environment.origins.items() if path == location[: len(path)]]
    if exact:
        return f"environment: {exact[0]}"
    if file is None:
        return "environment" if environment.origins else "settings (no configuration file: give one with --config)"
    # A rule about a whole group may have been broken by either.
    return " with ".join([str(file), ", ".join(sorted(variables))]) if variables and location else str(file)


def _dotted(location: Iterable[object]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
