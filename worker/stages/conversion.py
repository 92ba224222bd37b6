"""Column values to document values, where JSON alone does not say what a value means."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from worker.stages.rules import FieldType

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium writes in place of a TOAST value that an update did not touch."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def convert(value: object, field_type: FieldType) -> object:
    """Return the document's value for a column's value; null stays null.

    Raises:
        ValueError: the value is not of the declared type; the message begins with what it is instead.
    """
    return None if value is None else _CONVERTERS[field_type](value)


def _moment(unit: dt.timedelta) -> Callable[[object], str]:
    def converter(value: object) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{_short(value)} is not an integer count since 1970")
        try:
            return (_EPOCH + value * unit).isoformat().replace("+00:00", "Z")
        except OverflowError:
            raise ValueError(f"{_short(value)} is out of range (infinity?)") from None

    return converter


def _json(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{_short(value)} is not JSON text")
    try:
        parsed: object = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{_short(value)} is not JSON text: {error}") from None
    return parsed


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - long enough to recognise it


_CONVERTERS: Final[Mapping[FieldType, Callable[[object], object]]] = {
    FieldType.AS_IS: lambda value: value,
    FieldType.EPOCH_DAYS: _moment(dt.timedelta(days=1)),
    FieldType.EPOCH_MILLIS: _moment(dt.timedelta(milliseconds=1)),
    FieldType.EPOCH_MICROS: _moment(dt.timedelta(microseconds=1)),
    FieldType.JSON: _json,
}
