"""Every logical type of Kafka Connect and Debezium: what the event holds, and what the document gets."""

import re

import pytest

from worker.records import ColumnType
from worker.stages.conversion import convert, expected
from worker.stages.rules import FieldType

CONNECT, TIME, DATA = "org.apache.kafka.connect.data.", "io.debezium.time.", "io.debezium.data."


def column(base: str, logical: str | None = None, items: ColumnType | None = None, **parameters: str) -> ColumnType:
    return ColumnType(base, logical, parameters, items)


def by_schema(value: object, of: ColumnType) -> object:
    return convert(value, FieldType.AS_IS, column=of)


DECIMAL = column("bytes", f"{CONNECT}Decimal", scale="2")
VARIABLE = column("struct", f"{DATA}VariableScaleDecimal")
MILLIS, MICROS = column("int64", f"{TIME}Timestamp"), column("int64", f"{TIME}MicroTimestamp")
NANOS = column("int64", f"{TIME}NanoTimestamp")
ZONED = column("string", f"{TIME}ZonedTimestamp")
JSON = column("string", f"{DATA}Json")
LINE = "AQIAAAACAAAAAAAAAAAA8D8AAAAAAAAAQAAAAAAAAAhAAAAAAAAAEEA="


@pytest.mark.parametrize(
    ("of", "value", "expected_value"),
    [
        # time.precision.mode adaptive and adaptive_time_microseconds, connect, isostring: one row, one document
        (column("int32", f"{TIME}Date"), 20455, "2026-01-02"),
        (column("int32", f"{CONNECT}Date"), 20455, "2026-01-02"),
        (column("string", f"{TIME}IsoDate"), "2026-01-02Z", "2026-01-02"),
        (column("int32", f"{TIME}Time"), 11_045_678, "03:04:05.678000"),
        (column("int32", f"{CONNECT}Time"), 11_045_678, "03:04:05.678000"),
        (column("int64", f"{TIME}MicroTime"), 11_045_678_000, "03:04:05.678000"),
        (column("int64", f"{TIME}NanoTime"), 11_045_678_000_000, "03:04:05.678000"),
        (column("string", f"{TIME}IsoTime"), "03:04:05.678Z", "03:04:05.678000"),
        (MILLIS, 1767323045678, "2026-01-02T03:04:05.678000"),
        (column("int64", f"{CONNECT}Timestamp"), 1767323045678, "2026-01-02T03:04:05.678000"),
        (MICROS, 1767323045678000, "2026-01-02T03:04:05.678000"),
        (NANOS, 1767323045678000000, "2026-01-02T03:04:05.678000"),
        (column("string", f"{TIME}IsoTimestamp"), "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678000"),
        # fractions
        (MICROS, 1767323045000000, "2026-01-02T03:04:05"),
        (MICROS, 1767323045000001, "2026-01-02T03:04:05.000001"),
        (NANOS, 1767323045000000001, "2026-01-02T03:04:05.000000001"),
        (column("int64", f"{TIME}NanoTime"), 1, "00:00:00.000000001"),
        # before 1970, and the ends of the calendar
        (MILLIS, -1, "1969-12-31T23:59:59.999000"),
        (NANOS, -1, "1969-12-31T23:59:59.999999999"),
        (column("int32", f"{TIME}Date"), -1, "1969-12-31"),
        (column("int32", f"{TIME}Date"), -719162, "0001-01-01"),
        (column("int32", f"{TIME}Date"), 2932896, "9999-12-31"),
        # PostgreSQL's time ends with the day, MySQL's is a duration
        (column("int64", f"{TIME}MicroTime"), 86_400_000_000, "24:00:00"),
        (column("int64", f"{TIME}MicroTime"), -3_020_399_000_000, "-838:59:59"),
        (column("string", f"{TIME}IsoTime"), "24:00:00Z", "24:00:00"),
        # with a zone
        (ZONED, "2026-01-02T01:04:05.678901Z", "2026-01-02T01:04:05.678901Z"),
        (ZONED, "2026-01-02T01:04:05.6Z", "2026-01-02T01:04:05.600000Z"),
        (ZONED, "2026-01-02T01:04:05.000000001Z", "2026-01-02T01:04:05.000000001Z"),
        (ZONED, "2026-01-02T01:04:05.000Z", "2026-01-02T01:04:05Z"),
        (ZONED, "2026-01-02T01:04:05+05:30", "2026-01-01T19:34:05Z"),
        (ZONED, "2026-12-31T23:59-01:00", "2027-01-01T00:59:00Z"),
        (column("string", f"{TIME}ZonedTime"), "10:15:30.5Z", "10:15:30.500000Z"),
        (column("string", f"{TIME}ZonedTime"), "00:15:30+01:00", "23:15:30Z"),
        # durations and years
        (column("string", f"{TIME}Interval"), "P1Y2M3DT4H5M6.7S", "P1Y2M3DT4H5M6.7S"),
        (column("int64", f"{TIME}MicroDuration"), 94_694_400_000_000, 94_694_400_000_000),
        (column("int64", f"{TIME}NanoDuration"), -5, -5),
        (column("int32", f"{TIME}Year"), 2026, 2026),
        # decimals, exactly
        (DECIMAL, "AJY=", "1.50"),
        (DECIMAL, "/2o=", "-1.50"),
        (DECIMAL, "AQ==", "0.01"),
        (DECIMAL, "AA==", "0.00"),
        (column("bytes", f"{CONNECT}Decimal", scale="0"), "Fg==", "22"),
        (column("bytes", f"{CONNECT}Decimal", scale="-3"), "Fg==", "22000"),
        (column("bytes", f"{CONNECT}Decimal", scale="-3"), "AA==", "0"),
        (
            column("bytes", f"{CONNECT}Decimal", scale="9"),
            "EAAAAAAAAAAAAAAAAA==",
            "1267650600228229401496.703205376",
        ),
        (DECIMAL, 1.5, "1.50"),  # decimal.format=NUMERIC
        (DECIMAL, 7, "7.00"),
        (DECIMAL, 9999999999999.99, "9999999999999.99"),
        (DECIMAL, 12345678901234567, "12345678901234567.00"),
        (VARIABLE, {"scale": 3, "value": "MDk="}, "12.345"),
        (VARIABLE, {"scale": 0, "value": "MDk="}, "12345"),
        # texts and bytes
        (JSON, '{"a": [1, 2]}', '{"a": [1, 2]}'),
        (column("string", f"{DATA}Xml"), "<a/>", "<a/>"),
        (
            column("string", f"{DATA}Uuid"),
            "7f2c1a52-8f6e-4a4c-9a55-3a6e3f0a1b2c",
            "7f2c1a52-8f6e-4a4c-9a55-3a6e3f0a1b2c",
        ),
        (column("string", f"{DATA}Enum", allowed="a,b"), "a", "a"),
        (column("string", f"{DATA}EnumSet", allowed="a,b,c"), "a,c", ["a", "c"]),
        (column("string", f"{DATA}EnumSet", allowed="a,b,c"), "", []),
        (column("string", f"{DATA}Ltree"), "Top.Science", "Top.Science"),
        (column("string", f"{DATA}TsVector"), "'a':1 'b':2", "'a':1 'b':2"),
        (column("bytes", f"{DATA}Bits", length="8"), "BQ==", "00000101"),
        (column("bytes", f"{DATA}Bits", length="3"), "BQ==", "101"),
        (column("bytes", f"{DATA}Bits", length="12"), "AQg=", "100000000001"),
        (column("bytes", f"{DATA}Bits", length="2147483647"), "BQ==", "00000101"),
        (column("bytes", f"{DATA}Bits", length="x"), "", ""),
        (column("bytes"), "3q2+7w==", "3q2+7w=="),
        (column("bytes"), "", ""),
        # numbers
        (column("int16"), -1, -1),
        (column("int64"), 2**63 - 1, 2**63 - 1),
        (column("double"), 1e300, 1e300),
        (column("float"), 5, 5),
        (column("boolean"), False, False),
        (column("string"), "", ""),
        # structures
        (column("array", items=column("string")), ["a", None], ["a", None]),
        (column("array", items=DECIMAL), ["AJY=", None], ["1.50", None]),
        (column("array", items=column("int32", f"{TIME}Date")), [0, 1], ["1970-01-01", "1970-01-02"]),
        (column("array", items=column("array", items=MILLIS)), [[0], []], [["1970-01-01T00:00:00"], []]),
        (column("array"), [1, "a"], [1, "a"]),
        (column("map", items=column("string")), {"a": "1", "b": None}, {"a": "1", "b": None}),
        (column("map", items=DECIMAL), {"a": "AJY="}, {"a": "1.50"}),
        (column("map"), [[1, "a"], [2, None]], {"1": "a", "2": None}),
        (column("struct", "own.Money"), {"amount": 1}, {"amount": 1}),
        (column("array", f"{DATA}FloatVector"), [0.5, 1], [0.5, 1]),
        (column("array", f"{DATA}DoubleVector"), [0.5], [0.5]),
        (
            column("struct", f"{DATA}SparseVector"),
            {"dimensions": 5, "vector": [[1, 0.5]]},
            {"dimensions": 5, "vector": {"1": 0.5}},
        ),
        # geometries, as well-known text
        (column("struct", f"{DATA}geometry.Point"), {"x": 1.0, "y": -2.5, "wkb": "", "srid": None}, "POINT (1 -2.5)"),
        (column("struct", f"{DATA}geometry.Geometry"), {"wkb": LINE, "srid": 4326}, "LINESTRING (1 2, 3 4)"),
        (column("struct", f"{DATA}geometry.Geography"), {"wkb": LINE, "srid": 4326}, "LINESTRING (1 2, 3 4)"),
        # a name of somebody's own is no reason to refuse
        (column("string", "own.Text"), "a", "a"),
        (column("own"), "a", "a"),
    ],
)
def test_a_value_becomes_what_its_schema_says(of: ColumnType, value: object, expected_value: object) -> None:
    assert by_schema(value, of) == expected_value
    assert by_schema(None, of) is None


@pytest.mark.parametrize(
    ("of", "value", "message"),
    [
        (MILLIS, 9223372036825200, "9223372036825200 is out of range (infinity?)"),
        (column("int32", f"{TIME}Date"), -622191234, "-622191234 is out of range (infinity?)"),
        (column("int32", f"{TIME}Date"), 2932897, "2932897 is out of range (infinity?)"),
        (column("int32", f"{TIME}Date"), -719163, "-719163 is out of range (infinity?)"),
        (MICROS, 2**63 - 1, "9223372036854775807 is out of range (infinity?)"),
        (MILLIS, 1767323045678000, "1767323045678000 is out of range (infinity?)"),  # microseconds: the year 57973
        (NANOS, "1", "'1' is not an integer count since 1970"),
        (NANOS, True, "True is not an integer count since 1970"),
        (column("int64", f"{TIME}MicroTime"), 3_020_400_000_000, "3020400000000 is out of range (infinity?)"),
        (column("int64", f"{TIME}MicroTime"), "1", "'1' is not an integer count since midnight"),
        (ZONED, "infinity", "'infinity' is out of range (infinity?)"),
        (ZONED, "-infinity", "'-infinity' is out of range (infinity?)"),
        (ZONED, "0000-01-01T00:00:00Z", "'0000-01-01T00:00:00Z' is no date or time: year 0 is out of range"),
        (ZONED, "+10000-01-01T00:00:00Z", "'+10000-01-01T00:00:00Z' is not a timestamp such as 2026-01-02T03:04:05Z"),
        (ZONED, "9999-12-31T23:59:59-01:00", "'9999-12-31T23:59:59-01:00' is out of range (infinity?)"),
        (ZONED, "2026-02-30T00:00:00Z", "'2026-02-30T00:00:00Z' is no date or time: day is out of range for month"),
        (ZONED, 1, "1 is not a timestamp such as 2026-01-02T03:04:05Z"),
        (column("string", f"{TIME}IsoDate"), "2026-13-01Z", "'2026-13-01Z' is no date or time: month must be in 1..12"),
        (column("string", f"{TIME}ZonedTime"), "25:00:00Z", "'25:00:00Z' is no date or time: hour must be in 0..23"),
        (column("string", f"{TIME}Interval"), "1 day", "'1 day' is not a duration such as P1DT2H"),
        (DECIMAL, "A", "'A' is not a decimal's bytes in base64"),
        (DECIMAL, "", "'' is not a decimal's bytes in base64"),
        (DECIMAL, "NaN", "'NaN' is not a finite number"),
        (DECIMAL, 1.555, "1.555 has more than 2 digits behind the point"),
        (DECIMAL, True, "True is not a decimal number"),
        (column("bytes", f"{CONNECT}Decimal"), "AJY=", "'AJY=' has no scale in its schema"),
        (column("bytes", f"{CONNECT}Decimal", scale="two"), "AJY=", "'AJY=' has no scale in its schema"),
        (
            column("bytes", f"{CONNECT}Decimal", scale="2147483647"),
            "AJY=",
            "'AJY=' (scale 2147483647) has more than 4300",
        ),
        (VARIABLE, {"scale": -2147483648, "value": "AQ=="}, "'AQ==' (scale -2147483648) has more than 4300 digits"),
        (VARIABLE, {"scale": True, "value": "AQ=="}, "is not a decimal as an object of scale and value"),
        (VARIABLE, {}, "{} is not a decimal as an object of scale and value"),
        (VARIABLE, {"scale": 2}, "None is not a decimal's bytes in base64"),
        (column("double"), "NaN", "'NaN' is not a finite number"),
        (column("float"), "-Infinity", "'-Infinity' is not a finite number"),
        (column("double"), "1.5", "'1.5' is not a number"),
        (column("int64"), 1.0, "1.0 is not an integer"),
        (column("int32"), "1", "'1' is not an integer"),
        (column("boolean"), 1, "1 is not true or false"),
        (column("string"), 1, "1 is not text"),
        (column("string"), ["a"], "['a'] is not text"),
        (column("bytes"), "%", "'%' is not base64"),
        (column("bytes"), 5, "5 is not base64"),
        (JSON, {"a": 1}, "{'a': 1} is not text"),
        (column("array", items=column("string")), "a", "'a' is not an array"),
        (DECIMAL, 12345678901234567.89, "JSON number of more than 15 digits"),
        (column("bytes", f"{CONNECT}Decimal", scale="20"), 0.12345678901234566, "decimal.format to BASE64"),
        (column("array", items=DECIMAL), ["AJY=", "%"], "'%' is not a decimal's bytes in base64"),
        (column("map"), [[1, 2, 3]], "[[1, 2, 3]] is not a map"),
        (column("map"), "a", "'a' is not a map"),
        (column("struct"), [1], "[1] is not an object"),
        (column("struct", f"{DATA}SparseVector"), {"dimensions": 5}, "None is not a map"),
        (column("struct", f"{DATA}geometry.Point"), {"x": "1", "y": 2}, "is not a point with finite x and y"),
        (column("struct", f"{DATA}geometry.Geometry"), {"wkb": "AQ=="}, "is not a geometry in well-known binary"),
        (column("struct", f"{DATA}geometry.Geometry"), {"wkb": "%"}, "is not a geometry in well-known binary"),
        (column("struct", f"{DATA}geometry.Geometry"), "POINT (1 2)", "is not a geometry in well-known binary"),
    ],
)
def test_a_value_that_is_not_what_its_schema_says_is_refused(of: ColumnType, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        by_schema(value, of)


@pytest.mark.parametrize(
    ("of", "value", "field_type", "expected_value"),
    [
        (JSON, '{"a": 1}', FieldType.JSON, {"a": 1}),
        (column("array", items=JSON), ['{"a": 1}', None], FieldType.JSON, [{"a": 1}, None]),
        (DECIMAL, "AJY=", FieldType.NUMBER, 1.5),
        (DECIMAL, "AJY=", FieldType.TEXT, "1.50"),
        (column("bytes", f"{CONNECT}Decimal", scale="0"), "Fg==", FieldType.INTEGER, 22),
        (column("int16"), 1, FieldType.BOOLEAN, True),
        (column("int64"), 5, FieldType.TEXT, "5"),
        (column("string"), "1.5", FieldType.NUMBER, 1.5),
    ],
)
def test_a_choice_is_applied_to_what_the_schema_gives(
    of: ColumnType, value: object, field_type: FieldType, expected_value: object
) -> None:
    assert convert(value, field_type, column=of) == expected_value


def test_a_schema_that_knows_better_wins_over_a_declared_reading() -> None:
    assert convert(1767323045678, FieldType.EPOCH_MICROS, column=MILLIS) == "2026-01-02T03:04:05.678000"
    assert convert("AJY=", FieldType.DECIMAL, 5, column=DECIMAL) == "1.50"


def test_a_declared_reading_is_used_where_the_schema_tells_only_a_base_type() -> None:
    bigint = column("int64")
    assert convert(0, FieldType.EPOCH_MILLIS, column=bigint) == "1970-01-01T00:00:00Z"
    assert convert([0], FieldType.EPOCH_MILLIS, column=column("array", items=bigint)) == ["1970-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("field_type", "of", "name"),
    [
        (FieldType.EPOCH_MILLIS, None, "epoch_millis"),
        (FieldType.EPOCH_MILLIS, column("int64"), "epoch_millis"),
        (FieldType.AS_IS, column("int64"), "int64"),
        (FieldType.EPOCH_MICROS, MILLIS, "io.debezium.time.Timestamp"),
        (FieldType.JSON, JSON, "io.debezium.data.Json, then json"),
    ],
)
def test_a_message_names_the_type_that_was_looked_for(field_type: FieldType, of: ColumnType | None, name: str) -> None:
    assert expected(field_type, of) == name
