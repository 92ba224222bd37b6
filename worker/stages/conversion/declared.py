"""One value, by what its event's schema says and what the operator declared."""

from collections.abc import Callable, Mapping
from typing import Final

from worker.records import ColumnType
from worker.stages.conversion import bytes_and_text, numbers, structures, temporal
from worker.stages.conversion.by_schema import by_schema, knows
from worker.stages.rules import CHOICES, FieldType

_MILLIS, _MICROS, _NANOS = 1000, 1_000_000, 1_000_000_000
# Looked up once: an enumeration's members are slow to come by.
_AS_IS: Final = FieldType.AS_IS


def convert(value: object, field_type: FieldType, scale: int | None = None, column: ColumnType | None = None) -> object:
    """Return the document's value for a column's value; null stays null.

    `column` is what the event's schema says, None without one. It decides; a declared type is applied to its result
    where it is a choice (`json`, `number`, ...), and to the bare value where the schema tells only a base type. Of an
    array it is the type of the elements, with and without a schema (only `text` writes a bare list as JSON). `scale`
    is that of a `decimal` in bytes.

    Raises:
        ValueError: the value does not fit; the message begins with the value.
    """
    if value is None:
        return None
    if column is None:
        return _declared(value, field_type, scale)
    if field_type is _AS_IS:
        return by_schema(value, column)
    if column.base == "array" and column.logical is None:
        items = column.items
        return structures.array(value, lambda item: convert(item, field_type, scale, items))
    if not knows(column):
        return _declared(value, field_type, scale)
    known = by_schema(value, column)
    return _declared(known, field_type, scale) if field_type in CHOICES else known


def converter(field_type: FieldType, scale: int | None = None) -> Callable[[object], object] | None:
    """Return what `convert` does with values that no schema tells of; None where it leaves them as they are."""
    if field_type is _AS_IS:
        return None
    plain = _plain(field_type, scale)

    def converted(value: object) -> object:
        if value is None or type(value) is list:
            return convert(value, field_type, scale)
        return plain(value)

    return converted


def expected(field_type: FieldType, column: ColumnType | None) -> str:
    """Return the name of the type that a value should have had, for a message."""
    if column is None or not (field_type is _AS_IS or knows(column)):
        return field_type.value
    name = column.logical or column.base
    return f"{name}, then {field_type.value}" if field_type in CHOICES else name


def _declared(value: object, field_type: FieldType, scale: int | None) -> object:
    if isinstance(value, list) and field_type not in _OF_A_WHOLE_LIST:
        return structures.array(value, lambda item: _declared(item, field_type, scale))
    return value if field_type is _AS_IS else _plain(field_type, scale)(value)


def _plain(field_type: FieldType, scale: int | None) -> Callable[[object], object]:
    if scale is not None and field_type is FieldType.DECIMAL:
        return lambda value: numbers.scaled_decimal(value, scale)
    return _CONVERTERS[field_type]


_OF_A_WHOLE_LIST: Final = frozenset({FieldType.AS_IS, FieldType.TEXT})
_CONVERTERS: Final[Mapping[FieldType, Callable[[object], object]]] = {
    FieldType.EPOCH_DAYS: temporal.epoch_days,
    FieldType.EPOCH_MILLIS: temporal.timestamp(_MILLIS, "Z"),
    FieldType.EPOCH_MICROS: temporal.timestamp(_MICROS, "Z"),
    FieldType.EPOCH_NANOS: temporal.timestamp(_NANOS, "Z"),
    FieldType.LOCAL_MILLIS: temporal.timestamp(_MILLIS, ""),
    FieldType.LOCAL_MICROS: temporal.timestamp(_MICROS, ""),
    FieldType.LOCAL_NANOS: temporal.timestamp(_NANOS, ""),
    FieldType.TIME_MILLIS: temporal.time_of_day(_MILLIS),
    FieldType.TIME_MICROS: temporal.time_of_day(_MICROS),
    FieldType.TIME_NANOS: temporal.time_of_day(_NANOS),
    FieldType.DATE: temporal.iso_date,
    FieldType.TIME: temporal.iso_time,
    FieldType.TIMESTAMP: temporal.iso_timestamp,
    FieldType.LOCAL_TIME: temporal.iso_local_time,
    FieldType.LOCAL_TIMESTAMP: temporal.iso_local_timestamp,
    FieldType.DECIMAL: numbers.plain_decimal,
    FieldType.BASE64: bytes_and_text.base64_text,
    FieldType.NUMBER: numbers.number,
    FieldType.INTEGER: numbers.integer,
    FieldType.BOOLEAN: numbers.boolean,
    FieldType.TEXT: bytes_and_text.as_text,
    FieldType.JSON: bytes_and_text.json,
}
