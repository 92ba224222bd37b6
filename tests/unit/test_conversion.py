import pytest

from worker.stages.conversion import convert, is_unavailable
from worker.stages.rules import FieldType


@pytest.mark.parametrize("field_type", FieldType)
def test_null_stays_null(field_type: FieldType) -> None:
    assert convert(None, field_type) is None


@pytest.mark.parametrize("value", ["text", "", 0, -1.5, True, [], ["a", None], {"a": {"b": 1}}])
def test_as_is_changes_nothing(value: object) -> None:
    assert convert(value, FieldType.AS_IS) is value


@pytest.mark.parametrize(
    ("value", "field_type", "expected"),
    [
        (20778, FieldType.EPOCH_DAYS, "2026-11-21"),
        (0, FieldType.EPOCH_DAYS, "1970-01-01"),
        (-719162, FieldType.EPOCH_DAYS, "0001-01-01"),
        (1767323045678, FieldType.EPOCH_MILLIS, "2026-01-02T03:04:05.678000Z"),
        (-1, FieldType.EPOCH_MILLIS, "1969-12-31T23:59:59.999000Z"),
        (1767323045678901, FieldType.EPOCH_MICROS, "2026-01-02T03:04:05.678901Z"),
        (253402300799999999, FieldType.EPOCH_MICROS, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_counts_since_1970_become_dates_and_moments(value: int, field_type: FieldType, expected: str) -> None:
    assert convert(value, field_type) == expected


@pytest.mark.parametrize(
    ("value", "field_type"),
    [
        (9223372036825200, FieldType.EPOCH_MILLIS),  # what Debezium writes for 'infinity'
        (-622191234, FieldType.EPOCH_DAYS),
        (2**63 - 1, FieldType.EPOCH_MICROS),
        (2**63 - 1, FieldType.EPOCH_DAYS),
        (-(2**63), FieldType.EPOCH_MILLIS),
        (2932897, FieldType.EPOCH_DAYS),  # the first day of the year 10000
    ],
)
def test_infinity_and_what_else_no_calendar_holds_is_out_of_range(value: int, field_type: FieldType) -> None:
    with pytest.raises(ValueError, match=f"{value} is out of range"):
        convert(value, field_type)


@pytest.mark.parametrize("value", [True, 1.0, "20778", "infinity", {}])
@pytest.mark.parametrize("field_type", [FieldType.EPOCH_DAYS, FieldType.EPOCH_MILLIS, FieldType.EPOCH_MICROS])
def test_what_is_no_integer_is_no_moment(value: object, field_type: FieldType) -> None:
    with pytest.raises(ValueError, match="not an integer count since 1970"):
        convert(value, field_type)


@pytest.mark.parametrize(
    ("text", "expected"), [('{"k": 1}', {"k": 1}), ("[1,null]", [1, None]), ('"t"', "t"), ("null", None), ("5", 5)]
)
def test_json_text_is_read(text: str, expected: object) -> None:
    assert convert(text, FieldType.JSON) == expected


@pytest.mark.parametrize("value", ["{", "", "NaN", "[" * 201 + "]" * 201, "[" * 1000 + "]" * 1000, {"k": 1}, 5, True])
def test_what_is_no_json_text_or_nested_too_deep_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON text"):
        convert(value, FieldType.JSON)


@pytest.mark.parametrize("field_type", [FieldType.JSON, FieldType.EPOCH_DAYS])
def test_a_long_value_is_cut_in_the_message(field_type: FieldType) -> None:
    with pytest.raises(ValueError, match=r"x\.\.\.' is not") as refused:
        convert("x" * 100_000, field_type)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "value",
    [
        "__debezium_unavailable_value",
        ["__debezium_unavailable_value"],  # text[], varchar[] and the like
        [ord(letter) for letter in "__debezium_unavailable_value"],  # int[] and bigint[]
        "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",  # bytea
    ],
)
def test_every_form_of_the_placeholder_of_an_unchanged_value_is_known(value: object) -> None:
    assert is_unavailable(value)


@pytest.mark.parametrize(
    "value",
    [None, "", "__debezium_unavailable_value ", ["__debezium_unavailable_value", "x"], [], {}, 0, "value", [[1]]],
)
def test_other_values_are_no_placeholder(value: object) -> None:
    assert not is_unavailable(value)
