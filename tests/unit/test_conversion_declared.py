"""Values whose type the operator declares, because no schema comes with them."""

import re

import pytest

from worker.stages.conversion import convert
from worker.stages.conversion.unavailable import is_unavailable
from worker.stages.rules import FieldType as T


@pytest.mark.parametrize(
    ("field_type", "value", "expected"),
    [
        (T.EPOCH_NANOS, 1767323045678901234, "2026-01-02T03:04:05.678901234Z"),
        (T.EPOCH_NANOS, 1767323045678901000, "2026-01-02T03:04:05.678901Z"),
        (T.EPOCH_MILLIS, 1767323045678, "2026-01-02T03:04:05.678000Z"),
        (T.LOCAL_MILLIS, 1767323045678, "2026-01-02T03:04:05.678000"),
        (T.LOCAL_MICROS, 1767323045678901, "2026-01-02T03:04:05.678901"),
        (T.LOCAL_NANOS, 1767323045678901234, "2026-01-02T03:04:05.678901234"),
        (T.LOCAL_TIMESTAMP, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
        (T.LOCAL_TIME, "03:04:05Z", "03:04:05"),
        (T.TIME_MILLIS, 0, "00:00:00"),
        (T.TIME_MICROS, 11_045_000_000, "03:04:05"),
        (T.TIME_NANOS, 86_399_999_999_999, "23:59:59.999999999"),
        (T.DATE, "2026-01-02", "2026-01-02"),
        (T.TIME, "03:04", "03:04:00"),
        (T.TIME, "03:04:05+00", "03:04:05Z"),
        (T.TIMESTAMP, "2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        (T.TIMESTAMP, "2026-01-02 03:04:05+02", "2026-01-02T01:04:05Z"),
        (T.DECIMAL, "1.50", "1.50"),
        (T.DECIMAL, "-0.0", "-0.0"),
        (T.DECIMAL, "1e3", "1000"),
        (T.DECIMAL, "1.5E-3", "0.0015"),
        (T.DECIMAL, 7, "7"),
        (T.DECIMAL, 0.1, "0.1"),
        (T.DECIMAL, 1e22, "10000000000000000000000"),
        (T.DECIMAL, {"scale": 3, "value": "MDk="}, "12.345"),
        (T.BASE64, "3q2+7w==", "3q2+7w=="),
        (T.NUMBER, 5, 5),
        (T.NUMBER, 1.5, 1.5),
        (T.NUMBER, "5", 5),
        (T.NUMBER, "5.0", 5.0),
        (T.NUMBER, "18446744073709551616", 18446744073709551616.0),
        (T.NUMBER, {"scale": 3, "value": "MDk="}, 12.345),
        (T.INTEGER, 5, 5),
        (T.INTEGER, 5.0, 5),
        (T.INTEGER, "5.00", 5),
        (T.INTEGER, 2**64 - 1, 2**64 - 1),
        (T.INTEGER, "18446744073709551615", 2**64 - 1),
        (T.INTEGER, "-9223372036854775808", -(2**63)),
        (T.INTEGER, "0" * 30 + "7", 7),
        (T.INTEGER, "0e4300", 0),
        (T.NUMBER, "-9223372036854775808", -(2**63)),
        (T.BOOLEAN, True, True),
        (T.BOOLEAN, 0, False),
        (T.BOOLEAN, "t", True),
        (T.BOOLEAN, "F", False),
        (T.BOOLEAN, " no ", False),
        (T.TEXT, "a", "a"),
        (T.TEXT, 5, "5"),
        (T.TEXT, True, "true"),
        (T.TEXT, [1, {"a": None}], '[1,{"a":null}]'),
        (T.JSON, '{"k": [1, null]}', {"k": [1, None]}),
        (T.EPOCH_DAYS, [0, None], ["1970-01-01", None]),
        (T.DECIMAL, ["1.50", 2], ["1.50", "2"]),
    ],
)
def test_a_value_becomes_what_is_declared(field_type: T, value: object, expected: object) -> None:
    found = convert(value, field_type)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        ("AJY=", 2, "1.50"),
        ("1234", 0, "-2658824"),  # four characters of base64, whatever they look like
        (1.5, 2, "1.50"),
        (1.5, 1, "1.5"),
        (3, 0, "3"),
        (3, -2, "3"),
        ({"scale": 3, "value": "MDk="}, 2, "12.345"),
    ],
)
def test_with_a_scale_text_is_bytes(value: object, scale: int, expected: str) -> None:
    assert convert(value, T.DECIMAL, scale) == expected


@pytest.mark.parametrize(
    ("field_type", "value", "message"),
    [
        (T.EPOCH_MILLIS, 1767323045678000, "1767323045678000 is out of range (infinity?)"),
        (T.TIMESTAMP, "infinity", "'infinity' is out of range (infinity?)"),
        (T.TIMESTAMP, "2026-01-02", "'2026-01-02' is not a timestamp"),
        (T.DATE, "02.01.2026", "'02.01.2026' is not a date such as 2026-01-02"),
        (T.TIME, "noon", "'noon' is not a time such as 03:04:05"),
        (T.DECIMAL, "NaN", "'NaN' is not a finite number"),
        (T.DECIMAL, "1,5", "'1,5' is not a decimal number"),
        (T.DECIMAL, "1e99999", "'1e99999' has more than 4300 digits"),
        (T.DECIMAL, "1" * 5000, "has more than 4300 digits"),
        (T.DECIMAL, False, "False is not a decimal number"),
        (T.NUMBER, "Infinity", "'Infinity' is not a finite number"),
        (T.NUMBER, "1e400", "'1e400' is too large for a float"),
        (T.NUMBER, True, "True is not a number"),
        (T.NUMBER, "", "'' is not a decimal number"),
        (T.INTEGER, 1.5, "1.5 is not an integer"),
        (T.INTEGER, "1.5", "'1.5' is not an integer"),
        (T.INTEGER, 2**64, "18446744073709551616 does not fit 64 bits"),
        (T.INTEGER, -(2**63) - 1, "-9223372036854775809 does not fit 64 bits"),
        (T.INTEGER, 1e300, "1e+300 does not fit 64 bits"),
        (T.INTEGER, "18446744073709551616", "'18446744073709551616' does not fit 64 bits"),
        (T.INTEGER, "-9223372036854775809", "'-9223372036854775809' does not fit 64 bits"),
        (T.INTEGER, "1e4300", "'1e4300' does not fit 64 bits"),
        (T.INTEGER, "-1.0e4300", "'-1.0e4300' does not fit 64 bits"),
        (T.INTEGER, {"scale": -4300, "value": "MDk="}, "'value': 'MDk='} does not fit 64 bits"),
        (T.NUMBER, "1e4300", "'1e4300' is too large for a float"),
        (T.NUMBER, {"scale": -4300, "value": "MDk="}, "'value': 'MDk='} is too large for a float"),
        (T.BOOLEAN, 2, "2 is not true or false, 0 or 1, t or f"),
        (T.BOOLEAN, "maybe", "'maybe' is not true or false, 0 or 1, t or f"),
        (T.BOOLEAN, 1.0, "1.0 is not true or false, 0 or 1, t or f"),
        (T.BASE64, "a", "'a' is not base64"),
        (T.EPOCH_DAYS, [0, "x"], "'x' is not an integer count since 1970"),
    ],
)
def test_a_value_that_is_not_what_is_declared_is_refused(field_type: T, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        convert(value, field_type)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", ["é", "1.5é", "\u0661\u0662", "\uff11\uff12", "\u00bd", "1 "])
@pytest.mark.parametrize("scale", [None, 2])
def test_a_decimal_of_other_letters_or_digits_is_refused_with_its_value(value: str, scale: int | None) -> None:
    what = "a decimal number" if scale is None else "a decimal's bytes in base64"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{value!r} is not {what}')}$"):
        convert(value, T.DECIMAL, scale)


PLACEHOLDER = "__debezium_unavailable_value"


@pytest.mark.parametrize("value", [{PLACEHOLDER: PLACEHOLDER}, f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}'])
def test_an_hstore_that_was_left_out_is_known_as_a_map_and_as_json(value: object) -> None:
    assert is_unavailable(value)


@pytest.mark.parametrize(
    "value", ["\x01gone", "AWdvbmU=", "01676f6e65", ["\x01gone"], [1, 103, 111, 110, 101], "hex:01676f6e65"]
)
def test_a_placeholder_of_ones_own_is_known_in_every_form(value: object) -> None:
    assert is_unavailable(value, "hex:01676f6e65")
    assert not is_unavailable(value)
    assert not is_unavailable(PLACEHOLDER, "hex:01676f6e65")


def test_a_placeholder_that_only_begins_like_bytes_is_a_text() -> None:
    assert is_unavailable("hex:nothing", "hex:nothing")
