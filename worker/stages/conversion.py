"""Column values to document values, where JSON alone does not say what a value means."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Final

from worker.stages.decode.json_values import loads, shown
from worker.stages.rules import FieldType

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium writes in place of a TOAST value that an update did not touch."""

_UNAVAILABLE_FORMS: Final[tuple[object, ...]] = (
    UNAVAILABLE,
    [UNAVAILABLE],  # text[] and other arrays of texts
    list(UNAVAILABLE.encode()),  # int[] and bigint[]
    base64.b64encode(UNAVAILABLE.encode()).decode(),  # bytea
)

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def is_unavailable(value: object) -> bool:
    """Whether a column's value is a placeholder, which must never be indexed nor embedded."""
    return value in _UNAVAILABLE_FORMS


def convert(value: object, field_type: FieldType) -> object:
    """Return the document's value for a column's value; null stays null.

    Raises:
        ValueError: the value is not of the declared type; the message begins with what it is instead.
    """
    return None if value is None else _CONVERTERS[field_type](value)


def _moment(unit: dt.timedelta) -> Callable[[object], str]:
    def converter(value: object) -> str:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{shown(value, 60)} is not an integer count since 1970")
        try:
            return (_EPOCH + value * unit).isoformat().replace("+00:00", "Z")
        except OverflowError:
            raise ValueError(f"{shown(value, 60)} is out of range (infinity?)") from None

    return converter


def _json(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value, 60)} is not JSON text")
    try:
        return loads(value)
    except ValueError as error:
        raise ValueError(f"{shown(value, 60)} is not JSON text: {error}") from None


_CONVERTERS: Final[Mapping[FieldType, Callable[[object], object]]] = {
    FieldType.AS_IS: lambda value: value,
    FieldType.EPOCH_DAYS: _moment(dt.timedelta(days=1)),
    FieldType.EPOCH_MILLIS: _moment(dt.timedelta(milliseconds=1)),
    FieldType.EPOCH_MICROS: _moment(dt.timedelta(microseconds=1)),
    FieldType.JSON: _json,
}
