"""Whatever a column holds and whatever it is said to be: a value fit for a document, or a refusal; and exact ones."""

import base64
import datetime as dt
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from worker.records import ColumnType
from worker.stages.conversion import by_schema as known_types
from worker.stages.conversion import convert
from worker.stages.html_text import html_text
from worker.stages.rules import FieldType

BASES = ["int8", "int64", "float", "double", "boolean", "string", "bytes", "array", "map", "struct", "own"]
LOGICAL = [*known_types._LOGICAL, *known_types._WITH_PARAMETERS, "own.Name", None]

texts = st.text(max_size=20) | st.sampled_from(
    ["", "infinity", "NaN", "1e400", "1e-99999", "0x10", "٣", "AJY=", "2026-01-02T03:04:05Z", "24:00:00", "P1D", "[1]"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["scale", "value", "wkb", "x", "y", "vector", ""]), inner, max_size=4)
    ),
    max_leaves=8,
)
plain_columns = st.builds(
    ColumnType,
    base=st.sampled_from(BASES),
    logical=st.sampled_from(LOGICAL),
    parameters=st.dictionaries(st.sampled_from(["scale", "length"]), texts | st.integers().map(str), max_size=2),
)
columns = st.none() | st.recursive(
    plain_columns,
    lambda inner: st.builds(
        ColumnType, base=st.sampled_from(["array", "map"]), logical=st.none(), parameters=st.just({}), items=inner
    ),
    max_leaves=3,
)


@given(values, st.sampled_from(FieldType), st.none() | st.integers(-5000, 5000), columns)
def test_any_value_of_any_type_is_converted_or_refused(
    value: object, field_type: FieldType, scale: int | None, column: ColumnType | None
) -> None:
    found: object = None
    message = None
    try:
        found = convert(value, field_type, scale, column)
    except ValueError as refused:
        message = str(refused)
    if message is not None:
        assert 0 < len(message) < 300
        return
    assert orjson.loads(orjson.dumps(found)) == found  # raises for what no document can hold


moments = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))  # noqa: DTZ001


def counted(moment: dt.datetime, unit: dt.timedelta) -> int:
    return (moment - dt.datetime(1970, 1, 1)) // unit  # noqa: DTZ001


@given(moments)
def test_a_moment_in_microseconds_comes_back_exactly(moment: dt.datetime) -> None:
    count = counted(moment, dt.timedelta(microseconds=1))
    text = convert(count, FieldType.EPOCH_MICROS)
    assert isinstance(text, str)
    assert text.endswith("Z")
    assert dt.datetime.fromisoformat(text).replace(tzinfo=None) == moment
    assert convert(count * 1000, FieldType.EPOCH_NANOS) == text
    assert convert(text, FieldType.TIMESTAMP) == text


@given(moments, st.integers(1, 999))
def test_nanoseconds_are_kept(moment: dt.datetime, nanos: int) -> None:
    count = counted(moment, dt.timedelta(microseconds=1)) * 1000 + nanos
    text = convert(count, FieldType.EPOCH_NANOS)
    assert isinstance(text, str)
    assert text == f"{moment.isoformat(timespec='microseconds')}{nanos:03}Z"
    assert convert(text, FieldType.TIMESTAMP) == text


@given(moments)
def test_dates_and_times_come_back_exactly(moment: dt.datetime) -> None:
    assert convert(counted(moment, dt.timedelta(days=1)), FieldType.EPOCH_DAYS) == moment.date().isoformat()
    since_midnight = (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) // dt.timedelta(
        microseconds=1
    )
    assert convert(since_midnight, FieldType.TIME_MICROS) == moment.time().isoformat()
    assert convert(moment.time().isoformat(), FieldType.TIME) == moment.time().isoformat()


@given(st.integers(-(10**60), 10**60), st.integers(-50, 50))
def test_a_decimal_in_bytes_is_exact(unscaled: int, scale: int) -> None:
    octets = unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    text = base64.b64encode(octets).decode()
    found = convert(text, FieldType.DECIMAL, scale)
    assert isinstance(found, str)
    digits = tuple(map(int, str(abs(unscaled))))
    assert Decimal(found) == Decimal((int(unscaled < 0), digits, -scale))
    assert convert({"scale": scale, "value": text}, FieldType.DECIMAL) == found
    if scale >= 0:
        assert len(found.partition(".")[2]) == scale
    assert convert(found, FieldType.DECIMAL) == found


@given(st.text(alphabet="<>!-/ab \"'&;#[]scriptyle=", max_size=60) | st.text())
def test_html_gives_some_text_whatever_it_is(text: str) -> None:
    found = html_text(text)
    assert isinstance(found, str)
    if "<" not in text and "&" not in text:
        assert found == text
