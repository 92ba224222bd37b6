"""What a document must hold for a row: PostgreSQL's own words for each value, and how the two are compared.

`question(column)` is asked of PostgreSQL itself, so that nothing of the worker's stands on both sides.
"""

import base64
import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tests.e2e.types_columns import As, Column, TypesTable
from worker.records import Change


@dataclass(frozen=True, slots=True)
class Modes:
    """The connector's settings that change what a value looks like."""

    time: str = "adaptive"
    decimal: str = "precise"
    binary: str = "bytes"
    hstore: str = "json"
    interval: str = "numeric"
    schemas: bool = True
    generated: bool = False
    nulls_stay: bool = False
    unknown: bool = False

    @property
    def options(self) -> dict[str, str]:
        return {
            "time.precision.mode": self.time,
            "decimal.handling.mode": self.decimal,
            "binary.handling.mode": self.binary,
            "hstore.handling.mode": self.hstore,
            "interval.handling.mode": self.interval,
            "include.unknown.datatypes": str(self.unknown).lower(),
            "value.converter.replace.null.with.default": str(not self.nulls_stay).lower(),
        }


# A null element stands for itself; `to_jsonb` writes infinities as texts.
_QUESTIONS: Final[Mapping[As, str]] = {
    As.NUMBER: "{c}::text",
    As.FLOAT: "{c}::text",
    As.DATE: "{c}::text",
    As.TIME: "{c}::text",
    As.TIME_UTC: "(({c}) AT TIME ZONE 'UTC')::time::text",
    As.LOCAL: "{c}::text",
    As.MOMENT: "({c} AT TIME ZONE 'UTC')::text",
    As.BYTES: "encode({c}, 'hex')",
    As.BITS: "{c}::text",
    As.MAP: "hstore_to_jsonb({c})",
    As.POINT: "jsonb_build_array(({c})[0], ({c})[1])",
    As.VECTOR: "{c}::text::jsonb",
    As.INTERVAL: (
        "jsonb_build_array(12 * extract(year from {c}) + extract(month from {c}), extract(day from {c}),"
        " (extract(hour from {c}) * 3600 + extract(minute from {c}) * 60) * 1000000 + extract(microseconds from {c}))"
    ),
}


# Types that PostgreSQL writes into JSON as text.
_QUESTIONS_BY_TYPE: Final[Mapping[str, str]] = {"bit(1)": "{c}::int::boolean", "oid": "{c}::bigint"}


def question(column: Column) -> str:
    """The SQL expression that gives a column's value as JSON."""
    one = _QUESTIONS_BY_TYPE.get(column.sql) or _QUESTIONS.get(column.kind, "{c}")
    if not column.items:
        return f"CASE WHEN {column.name} IS NULL THEN NULL ELSE to_jsonb({one.format(c=column.name)}) END"
    # Unnesting keeps order and nulls; an aggregate over nothing would be null, and so would a null array.
    items = f"(SELECT coalesce(jsonb_agg({one.format(c='x')}), '[]') FROM unnest({column.name}) AS x)"
    return f"CASE WHEN {column.name} IS NULL THEN NULL ELSE {items} END"


def rows_query(table: TypesTable, name: str = "") -> str:
    """One row a line: its id, and PostgreSQL's answers as an object by column."""
    pairs = ", ".join(f"'{column.name}', {question(column)}" for column in table.columns)
    return f"SELECT id, jsonb_build_object({pairs})::text FROM {name or table.name} ORDER BY id"


def expected(column: Column, answer: object, modes: Modes) -> object:
    """What the document must hold, in the comparable form; None where there is to be no field."""
    if answer is None or (column.generated and not modes.generated):
        return None
    if column.name in _ONLY_IF_UNEXEMPT_TYPES_ARE_INCLUDED and not modes.unknown:
        return None
    one = _EXPECTED.get(column.kind, _same)
    if not column.items:
        return one(answer, modes)
    assert isinstance(answer, list)
    found = [None if item is None else one(item, modes) for item in answer]
    # An element that a document cannot hold makes the whole field null.
    return None if any(item is not None and value is None for item, value in zip(answer, found, strict=True)) else found


def comparable(column: Column, value: object, modes: Modes) -> object:
    """A document's value in the same form; fails where it is not written as it should be."""
    if value is None:
        return None
    one = _FOUND.get(column.kind, _same)
    if column.items:
        assert isinstance(value, list)
        return [None if item is None else one(item, modes) for item in value]
    return one(value, modes)


_ONLY_IF_UNEXEMPT_TYPES_ARE_INCLUDED: Final = {"bx"}
_NOT_FINITE: Final = {"NaN", "Infinity", "-Infinity"}


def _same(value: object, _: Modes) -> object:
    return value


def _number(value: object, modes: Modes) -> object:
    text = str(value).replace("$", "").replace(",", "")
    if text in _NOT_FINITE:
        return None
    return float(text) if modes.decimal == "double" else Decimal(text)


def _found_number(value: object, modes: Modes) -> object:
    if modes.decimal == "double":
        return float(value)  # type: ignore[arg-type]
    # As exact text: a JSON number would be a float to many a reader.
    assert isinstance(value, str)
    return Decimal(value)


def _float(value: object, _: Modes) -> object:
    return None if value in _NOT_FINITE else float(str(value))


def _is_beyond(text: str) -> bool:
    """Whether a date is one that ISO 8601 with four digits cannot write."""
    return "infinity" in text or text.endswith(" BC") or not re.match(r"\d{4}-", text)


def _date(value: object, _: Modes) -> object:
    text = str(value)
    return None if _is_beyond(text) else dt.date.fromisoformat(text)


def _found_date(value: object, _: Modes) -> object:
    assert isinstance(value, str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", value), value
    return dt.date.fromisoformat(value)


def _micros(text: str, modes: Modes) -> tuple[str, int]:
    """The text up to its seconds, and its microseconds, which some modes cut to milliseconds."""
    whole, _, fraction = text.partition(".")
    micros = int(fraction.ljust(6, "0")[:6])
    assert not fraction[6:].strip("0")
    return whole, micros // 1000 * 1000 if modes.time == "connect" else micros


def _time(value: object, modes: Modes) -> object:
    text = str(value)
    if text.startswith("24:") and modes.time == "isostring":
        # Debezium writes the end of the day as its beginning.
        return ("00:00:00", 0)
    return _micros(text, modes)


_CLOCK: Final = r"\d\d:\d\d:\d\d(\.\d{6})?"


def _found_time(value: object, modes: Modes) -> object:
    assert isinstance(value, str)
    assert re.fullmatch(_CLOCK, value), value
    return _micros(value, modes)


def _time_utc(value: object, _: Modes) -> object:
    return _micros(str(value), Modes())


def _found_time_utc(value: object, _: Modes) -> object:
    assert isinstance(value, str)
    assert re.fullmatch(_CLOCK + "Z", value), value
    return _micros(value.removesuffix("Z"), Modes())


def _local(value: object, modes: Modes) -> object:
    text = str(value)
    return None if _is_beyond(text) else _micros(text.replace(" ", "T"), modes)


def _found_local(value: object, modes: Modes) -> object:
    assert isinstance(value, str)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT{_CLOCK}", value), value
    return _micros(value, modes)


def _moment(value: object, _: Modes) -> object:
    return _local(value, Modes())


def _found_moment(value: object, _: Modes) -> object:
    assert isinstance(value, str)
    assert value.endswith("Z"), value
    return _found_local(value.removesuffix("Z"), Modes())


_DAY: Final = 86_400_000_000
_HIGHEST: Final = (1 << 63) - 1


def _interval(value: object, modes: Modes) -> object:
    assert isinstance(value, list)
    months, days, micros = (int(part) for part in value)
    if modes.interval == "numeric":
        # Debezium's month is a twelfth of 365.25 days, and what does not fit 64 bits is the most that does.
        exact = (months * 36525 * _DAY) // 1200 + days * _DAY + micros
        return max(-_HIGHEST - 1, min(_HIGHEST, exact))
    return months, days, micros


def _found_interval(value: object, modes: Modes) -> object:
    if modes.interval == "numeric":
        assert isinstance(value, int)
        return value
    assert isinstance(value, str)
    match = re.fullmatch(r"P(-?\d+)Y(-?\d+)M(-?\d+)DT(-?\d+)H(-?\d+)M(-?[\d.]+)S", value)
    assert match, value
    years, months, days, hours, minutes = (int(part) for part in match.groups()[:5])
    micros = (hours * 3600 + minutes * 60) * 1_000_000 + int(Decimal(match[6]) * 1_000_000)
    return years * 12 + months, days, micros


def _bytes(value: object, _: Modes) -> object:
    return bytes.fromhex(str(value))


def _found_bytes(value: object, modes: Modes) -> object:
    assert isinstance(value, str)
    return bytes.fromhex(value) if modes.binary == "hex" else base64.b64decode(value, validate=True)


def _bits(value: object, modes: Modes) -> object:
    # Without a schema there are bytes, and nobody knows how many bits.
    return str(value) if modes.schemas else int(str(value) or "0", 2)


def _point(value: object, _: Modes) -> object:
    assert isinstance(value, list)
    return [float(part) for part in value]


def _found_point(value: object, modes: Modes) -> object:
    if not modes.schemas:
        assert isinstance(value, dict)
        return [value["x"], value["y"]]
    assert isinstance(value, str)
    return [float(part) for part in value.removeprefix("POINT (").removesuffix(")").split(" ")]


def _found_bits(value: object, modes: Modes) -> object:
    assert isinstance(value, str)
    return value if modes.schemas else int.from_bytes(base64.b64decode(value), "little")


_Comparison = Callable[[object, Modes], object]
_EXPECTED: Final[Mapping[As, _Comparison]] = {
    As.NUMBER: _number,
    As.FLOAT: _float,
    As.DATE: _date,
    As.TIME: _time,
    As.TIME_UTC: _time_utc,
    As.LOCAL: _local,
    As.MOMENT: _moment,
    As.INTERVAL: _interval,
    As.BYTES: _bytes,
    As.BITS: _bits,
    As.POINT: _point,
}
_FOUND: Final[Mapping[As, _Comparison]] = {
    As.NUMBER: _found_number,
    As.FLOAT: lambda value, _: float(value),  # type: ignore[arg-type]
    As.DATE: _found_date,
    As.TIME: _found_time,
    As.TIME_UTC: _found_time_utc,
    As.LOCAL: _found_local,
    As.MOMENT: _found_moment,
    As.INTERVAL: _found_interval,
    As.BYTES: _found_bytes,
    As.BITS: _found_bits,
    As.POINT: _found_point,
}


@dataclass(frozen=True, slots=True)
class Exemption:
    """Where Debezium itself says something else than PostgreSQL, and nobody after it can tell."""

    why: str
    holds: Callable[[Column, object, Modes, bool], bool]


def _year(answer: object) -> int:
    """The year of a date or a timestamp; 0 for infinities."""
    found = re.match(r"\d+", str(answer))
    return int(found.group()) if found else 0


_DAYS: Final = {As.LOCAL, As.MOMENT, As.DATE}
EXEMPT: Final = (
    Exemption(
        "a snapshot counts days before 1582 by the Julian calendar in timestamps, and takes BC for AD in dates",
        lambda column, answer, _, snapshot: (
            snapshot
            and column.kind in _DAYS
            and not column.items
            and answer is not None
            and (_year(answer) < 1583 if column.kind is not As.DATE else str(answer).endswith(" BC"))
        ),
    ),
    Exemption(
        "nanoseconds in 64 bits reach from 1677 to 2262, and go on at the other end",
        lambda column, answer, modes, _: (
            modes.time == "nanoseconds"
            and column.kind is As.LOCAL
            and not column.items
            and answer is not None
            and not 1678 <= _year(answer) <= 2261
        ),
    ),
    Exemption(
        "money goes through a float in a snapshot",
        lambda column, answer, _, snapshot: answer is not None and snapshot and column.sql == "money",
    ),
    Exemption(
        "a numeric with a negative scale comes with a scale of 2046, which nobody can declare where no schema says it",
        lambda column, _, modes, __: column.name == "n_neg" and modes.decimal == "precise" and not modes.schemas,
    ),
    Exemption(
        "leading zeros of a varbit are lost on the way, and its schema is that of bit(n)",
        lambda column, _, modes, __: column.kind is As.BITS and column.sql.startswith("varbit") and modes.schemas,
    ),
    Exemption(
        "a type that Debezium does not know comes as base64 of Debezium's own text for it",
        lambda column, _, modes, __: column.sql == "box" and modes.unknown,
    ),
    Exemption(
        "a null is written as the column's default by Connect's JSON converter, unless it is told not to",
        lambda column, answer, modes, _: answer is None and column.has_default and not modes.nulls_stay,
    ),
    Exemption(
        "a type that Debezium does not know is in the snapshot alone",
        lambda column, _, modes, snapshot: column.sql == "name" and not modes.unknown and not snapshot,
    ),
)


def differences(
    table: TypesTable,
    answers: Mapping[str, object],
    fields: Mapping[str, Any],
    modes: Modes,
    *,
    snapshot: bool,
    exempt: Sequence[Exemption] = EXEMPT,
) -> list[str]:
    """One line for each column of a row whose document says something else."""
    found = []
    for column in table.columns:
        answer, value = answers[column.name], fields.get(column.name)
        if any(one.holds(column, answer, modes, snapshot) for one in exempt):
            continue
        try:
            equal = _equal(expected(column, answer, modes), comparable(column, value, modes))
        except (AssertionError, ValueError, TypeError, KeyError) as error:
            found.append(f"{column.name} ({column.sql}): {value!r} for {answer!r}: {type(error).__name__} {error}")
            continue
        if not equal:
            found.append(f"{column.name} ({column.sql}): {value!r} for {answer!r}")
    return found


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    # True is 1 to Python, not to a document.
    return type(one) is type(other) and one == other if isinstance(one, bool) else one == other


def fields_of(change: Change, table: str) -> dict[str, object]:
    """A change's fields by column, without the table's name before each."""
    return {name.removeprefix(f"{table}."): value for name, value in change.fields.items()}
