"""Days, times and moments: counts since 1970 or since midnight, and ISO 8601 texts, to one form each.

A date is `2026-01-02`, a time `03:04:05.678901`, a local timestamp `2026-01-02T03:04:05.678901`, a moment the same in
UTC with a `Z`. The fraction is left out where it is zero and has nine digits only where six lose something. Years
are 1 to 9999: `infinity` and a wrong unit (which lands in the year 50000) are out of range.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import Final, TypeVar

from worker.stages.decode.json_values import shown

Converter = Callable[[object], object]
_T = TypeVar("_T", dt.date, dt.datetime, dt.time)

_LIMIT: Final = 60
"""Characters of a value in a message."""
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive: the zone is a matter of the text's last letter
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_NANOS: Final = 1_000_000_000
# MySQL's TIME is a duration of up to 838:59:59 hours, of either sign; PostgreSQL's ends at 24:00:00.
_LONGEST_TIME: Final = (838 * 3600 + 59 * 60 + 60) * _NANOS

_TIME: Final = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
_ZONE: Final = r"(Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?"
_DATE_TEXT: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:Z|[+-]00:?00)?", re.ASCII)
_TIMESTAMP: Final = "a timestamp such as 2026-01-02T03:04:05Z"
_TIME_TEXT: Final = re.compile(_TIME + _ZONE, re.ASCII)
_TIMESTAMP_TEXT: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d)[T ]{_TIME} ?{_ZONE}", re.ASCII)


def _count(value: object, since: str) -> int:
    if type(value) is not int:
        raise ValueError(f"{shown(value, _LIMIT)} is not an integer count since {since}")
    return value


def _out_of_range(value: object) -> ValueError:
    return ValueError(f"{shown(value, _LIMIT)} is out of range (infinity?)")


def epoch_days(value: object) -> str:
    """Return the date that is so many days after 1970-01-01."""
    try:
        return dt.date.fromordinal(_EPOCH_DAY + _count(value, "1970")).isoformat()
    except (OverflowError, ValueError) as error:
        if type(value) is not int:
            raise error from None
        raise _out_of_range(value) from None


def timestamp(per_second: int, suffix: str) -> Converter:
    """Return the conversion of counts since 1970, of which there are `per_second`; `suffix` is `Z` for a moment."""
    micros, nanos = 1_000_000 // per_second, 1000 if per_second == _NANOS else 1

    def converter(value: object) -> str:
        count = _count(value, "1970")
        rest = 0
        if nanos > 1:
            count, rest = divmod(count, nanos)
        else:
            count *= micros
        try:
            moment = _EPOCH + dt.timedelta(0, 0, count)
        except OverflowError:
            raise _out_of_range(value) from None
        if rest:
            return f"{moment.isoformat(timespec='microseconds')}{rest:03}{suffix}"
        return moment.isoformat() + suffix

    return converter


def time_of_day(per_second: int) -> Converter:
    """Return the conversion of counts since midnight, of which there are `per_second`."""
    nanos = _NANOS // per_second

    def converter(value: object) -> str:
        total = abs(_count(value, "midnight")) * nanos
        if total >= _LONGEST_TIME:
            raise _out_of_range(value)
        seconds, rest = divmod(total, _NANOS)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        sign = "-" if type(value) is int and value < 0 else ""
        return f"{sign}{hour:02}:{minute:02}:{second:02}{_fraction(f'{rest:09}')}"

    return converter


def _fraction(digits: str | None) -> str:
    """A fraction's digits in the one form: none, six, or nine."""
    nine = (digits or "").ljust(9, "0")
    if nine == "000000000":
        return ""
    return f".{nine[:6]}" if nine.endswith("000") else f".{nine}"


def _matched(value: object, pattern: re.Pattern[str], what: str) -> re.Match[str]:
    match = pattern.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, str) and value.strip("+-").lower() in {"infinity", "inf"}:
            raise _out_of_range(value)
        raise ValueError(f"{shown(value, _LIMIT)} is not {what}")
    return match


def _offset(zone: str | None) -> dt.timedelta:
    if zone is None or zone == "Z":
        return dt.timedelta()
    digits = zone[1:].replace(":", "").ljust(6, "0")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return -offset if zone[0] == "-" else offset


def _clock(hour: str, minute: str, second: str | None) -> str:
    return f"{hour}:{minute}:{second or '00'}"


def iso_date(value: object) -> str:
    """Return a date from its text; Debezium's `2026-01-02Z` loses its letter."""
    text = _matched(value, _DATE_TEXT, "a date such as 2026-01-02")[1]
    return _checked(value, dt.date.fromisoformat, text).isoformat()


def iso_timestamp(value: object) -> str:
    """Return a moment where the text has a zone, else a local timestamp."""
    zone = _matched(value, _TIMESTAMP_TEXT, _TIMESTAMP)[6]
    return _utc(value) + ("" if zone is None else "Z")


def iso_local_timestamp(value: object) -> str:
    """Return a local timestamp, which `time.precision.mode: isostring` writes as if it were in UTC."""
    return _utc(value)


def _utc(value: object) -> str:
    match = _matched(value, _TIMESTAMP_TEXT, _TIMESTAMP)
    date, hour, minute, second, fraction, zone = match.groups()
    local = _checked(value, dt.datetime.fromisoformat, f"{date}T{_clock(hour, minute, second)}")
    try:
        return (local - _offset(zone)).isoformat() + _fraction(fraction)
    except OverflowError:
        raise _out_of_range(value) from None


def iso_time(value: object) -> str:
    """Return a time of the day in UTC with a `Z` where the text has a zone, else as it stands."""
    zone = _matched(value, _TIME_TEXT, "a time such as 03:04:05")[5]
    return iso_local_time(value) + ("" if zone is None else "Z")


def iso_local_time(value: object) -> str:
    """Return a time of the day, which `time.precision.mode: isostring` writes as if it were in UTC."""
    hour, minute, second, fraction, zone = _matched(value, _TIME_TEXT, "a time such as 03:04:05").groups()
    text = _clock(hour, minute, second)
    if text == "24:00:00" and not _fraction(fraction):
        return text
    time = dt.datetime.combine(_EPOCH, _checked(value, dt.time.fromisoformat, text))
    return ((time - _offset(zone)).time()).isoformat() + _fraction(fraction)


def _checked(value: object, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{shown(value, _LIMIT)} is no date or time: {error}") from None


def iso_duration(value: object) -> str:
    """Return an interval's text, `P1Y2M3DT4H5M6.7S`, as it is."""
    if isinstance(value, str) and value.lstrip("+-").startswith("P"):
        return value
    raise ValueError(f"{shown(value, _LIMIT)} is not a duration such as P1DT2H")
