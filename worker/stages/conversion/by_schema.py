"""What the schema of the event says a value is: every logical type of Kafka Connect and Debezium.

A name that is not known here, somebody's own, is no reason to refuse: its base type decides.
"""

from collections.abc import Callable, Mapping
from typing import Final

from worker.records import ColumnType
from worker.stages.conversion import bytes_and_text, geometry, numbers, structures, temporal
from worker.stages.decode.json_values import shown

_Plain = Callable[[object], object]
_MILLIS, _MICROS, _NANOS = 1000, 1_000_000, 1_000_000_000


def knows(column: ColumnType) -> bool:
    """Whether the schema says more of a value than its base type, so that nothing else need be declared."""
    return column.logical in _LOGICAL or column.logical in _WITH_PARAMETERS


def by_schema(value: object, column: ColumnType) -> object:
    """Return the document's value for a value of a column; null stays null.

    Raises:
        ValueError: the value is not of the column's type.
    """
    if value is None:
        return None
    if column.logical is not None:
        plain = _LOGICAL.get(column.logical)
        if plain is not None:
            return plain(value)
        with_parameters = _WITH_PARAMETERS.get(column.logical)
        if with_parameters is not None:
            return with_parameters(value, column)
    return _by_base(value, column)


def _by_base(value: object, column: ColumnType) -> object:
    plain = _BASE.get(column.base)
    if plain is not None:
        return plain(value)
    items = column.items
    if column.base == "array":
        return structures.array(value, _as_it_is if items is None else lambda item: by_schema(item, items))
    if column.base == "map":
        return structures.mapping(value, column, _as_it_is if items is None else lambda item: by_schema(item, items))
    return value


def _as_it_is(value: object) -> object:
    return value


def _decimal(value: object, column: ColumnType) -> str:
    scale = str(column.parameters.get("scale", ""))
    if not scale.removeprefix("-").isdecimal() or len(scale) > len("-2147483648"):
        raise ValueError(f"{shown(value, 60)} has no scale in its schema")
    return numbers.scaled_decimal(value, int(scale))


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"{shown(value, 60)} is not true or false")


_BASE: Final[Mapping[str, _Plain]] = {
    **dict.fromkeys(("int8", "int16", "int32", "int64"), numbers.whole),
    **dict.fromkeys(("float", "double", "float32", "float64"), numbers.floating),
    "boolean": _boolean,
    "string": bytes_and_text.text,
    "bytes": bytes_and_text.base64_text,
    "struct": structures.struct,
}

_CONNECT: Final = "org.apache.kafka.connect.data."
_TIME: Final = "io.debezium.time."
_DATA: Final = "io.debezium.data."

# Debezium writes a column without a time zone as if it were in UTC, in Connect's own Timestamp too: it stays local.
_LOGICAL: Final[Mapping[str, _Plain]] = {
    f"{_CONNECT}Date": temporal.epoch_days,
    f"{_CONNECT}Time": temporal.time_of_day(_MILLIS),
    f"{_CONNECT}Timestamp": temporal.timestamp(_MILLIS, ""),
    f"{_TIME}Date": temporal.epoch_days,
    f"{_TIME}Time": temporal.time_of_day(_MILLIS),
    f"{_TIME}MicroTime": temporal.time_of_day(_MICROS),
    f"{_TIME}NanoTime": temporal.time_of_day(_NANOS),
    f"{_TIME}Timestamp": temporal.timestamp(_MILLIS, ""),
    f"{_TIME}MicroTimestamp": temporal.timestamp(_MICROS, ""),
    f"{_TIME}NanoTimestamp": temporal.timestamp(_NANOS, ""),
    f"{_TIME}ZonedTime": temporal.iso_time,
    f"{_TIME}ZonedTimestamp": temporal.iso_timestamp,
    f"{_TIME}IsoDate": temporal.iso_date,
    f"{_TIME}IsoTime": temporal.iso_local_time,
    f"{_TIME}IsoTimestamp": temporal.iso_local_timestamp,
    f"{_TIME}Interval": temporal.iso_duration,
    f"{_TIME}MicroDuration": numbers.whole,
    f"{_TIME}NanoDuration": numbers.whole,
    f"{_TIME}Year": numbers.whole,
    **{f"{_DATA}{name}": bytes_and_text.text for name in ("Json", "Xml", "Uuid", "Enum", "Ltree", "TsVector")},
    f"{_DATA}EnumSet": bytes_and_text.members,
    f"{_DATA}VariableScaleDecimal": numbers.variable_decimal,
    f"{_DATA}geometry.Point": geometry.point,
    f"{_DATA}geometry.Geometry": geometry.geometry,
    f"{_DATA}geometry.Geography": geometry.geometry,
    **{
        f"{_DATA}{name}": lambda value: structures.array(value, numbers.floating)
        for name in ("FloatVector", "DoubleVector")
    },
    f"{_DATA}SparseVector": structures.sparse_vector,
}
_WITH_PARAMETERS: Final[Mapping[str, Callable[[object, ColumnType], object]]] = {
    f"{_CONNECT}Decimal": _decimal,
    f"{_DATA}Bits": lambda value, column: bytes_and_text.bits(value, column.parameters),
}
