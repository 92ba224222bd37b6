"""Numbers: exact decimals as text, because a float would lose digits, and what fits into JSON as numbers.

Elasticsearch reads a number in text as that number, so a decimal's text suits numeric and keyword fields alike.
"""

import base64
import decimal
import math
import re
import sys
from collections.abc import Mapping
from typing import Final

from worker.stages.decode.json_values import shown

_LIMIT: Final = 60
_LOWEST, _HIGHEST = -(1 << 63), (1 << 64) - 1
"""What JSON is written with: Elasticsearch's `long` and `unsigned_long`."""
_TELLING: Final = 22
"""First characters of an integer that show whether it fits 64 bits: it has 20 digits at most then, and a sign."""
_MAX_DIGITS: Final = 4300
"""Python's own limit for integers in text, whose conversion takes quadratic time. A huge scale would fill memory."""
_MAX_BYTES: Final = 1785
_EXACT_DIGITS: Final = sys.float_info.dig
"""Every decimal of so many digits comes back from a JSON number as it was; of a longer one nobody knows."""
_LONG: Final = 1000
"""Characters of a number that Elasticsearch still reads."""
_DECIMAL_TEXT: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf(inity)?)", re.IGNORECASE)


def _refused(value: object, what: str) -> ValueError:
    if isinstance(value, str) and _NOT_FINITE.fullmatch(value.strip()):
        return ValueError(f"{shown(value, _LIMIT)} is not a finite number")
    return ValueError(f"{shown(value, _LIMIT)} is not {what}")


def decimal_of_bytes(value: object, scale: int) -> str:
    """Return the decimal whose unscaled value is written as base64 of a big-endian two's complement integer."""
    octets = _octets(value)
    if len(octets) > _MAX_BYTES or abs(scale) > _MAX_DIGITS:
        raise ValueError(f"{shown(value, _LIMIT)} (scale {scale}) has more than {_MAX_DIGITS} digits")
    return _scaled(int.from_bytes(octets, "big", signed=True), scale)


def _octets(value: object) -> bytes:
    try:
        octets = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:  # also of a letter that is not ASCII, which is no binascii.Error
        octets = b""
    if not octets:
        raise _refused(value, "a decimal's bytes in base64")
    return octets


def _scaled(unscaled: int, scale: int) -> str:
    sign, digits = ("-" if unscaled < 0 else ""), str(abs(unscaled))
    if scale <= 0:
        return sign + digits + "0" * (-scale if unscaled else 0)
    digits = digits.rjust(scale + 1, "0")
    return _shortened(f"{sign}{digits[:-scale]}.{digits[-scale:]}")


def variable_decimal(value: object) -> str:
    """Return the decimal of Debezium's `{"scale": 3, "value": "MDk="}`, each value with a scale of its own."""
    if isinstance(value, Mapping):
        scale = value.get("scale")
        if type(scale) is int:
            return decimal_of_bytes(value.get("value"), scale)
    raise _refused(value, "a decimal as an object of scale and value")


def scaled_decimal(value: object, scale: int) -> str:
    """Return a decimal with so many digits behind the point, from its bytes or from a number."""
    if isinstance(value, str):
        return decimal_of_bytes(value, scale)
    if isinstance(value, Mapping):
        return variable_decimal(value)
    return _with_scale(value, scale)


def _with_scale(value: object, scale: int) -> str:
    text = plain_decimal(value)
    if isinstance(value, float) and len(decimal.Decimal(repr(value)).as_tuple().digits) > _EXACT_DIGITS:
        told = f"{shown(value, _LIMIT)} is a JSON number of more than {_EXACT_DIGITS} digits, of which some may be lost"
        raise ValueError(f"{told}: set the converter's decimal.format to BASE64, or decimal.handling.mode to string")
    if scale < 0:
        return text
    whole, _, fraction = text.partition(".")
    if len(fraction.rstrip("0")) > scale or scale > _MAX_DIGITS:
        raise ValueError(f"{shown(value, _LIMIT)} has more than {scale} digits behind the point")
    return f"{whole}.{fraction[:scale].ljust(scale, '0')}" if scale else whole


def plain_decimal(value: object) -> str:
    """Return a decimal from any form that tells its scale itself: a number, its text, `{scale, value}`."""
    if isinstance(value, Mapping):
        return variable_decimal(value)
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return _plain(value, repr(value))
    if isinstance(value, str) and _DECIMAL_TEXT.fullmatch(value):
        return _plain(value, value)
    raise _refused(value, "a decimal number")


def _plain(value: object, text: str) -> str:
    """Write out an exponent."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{shown(value, _LIMIT)} has more than {_MAX_DIGITS} digits")
    number = decimal.Decimal(text)
    if abs(number.adjusted()) > _MAX_DIGITS:
        raise ValueError(f"{shown(value, _LIMIT)} has more than {_MAX_DIGITS} digits")
    return _shortened(format(number, "f"))


def _shortened(text: str) -> str:
    """Leave out zeros that say nothing where there are very many: Elasticsearch reads no number that long.

    Debezium gives PostgreSQL's `numeric(5,-2)` a scale of 2046.
    """
    return text.rstrip("0").rstrip(".") if len(text) > _LONG and "." in text else text


def number(value: object) -> int | float:
    """Return a number that JSON can hold; a decimal becomes a float, which has some 15 digits."""
    if type(value) is int:
        return value if _LOWEST <= value <= _HIGHEST else float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (str, Mapping)):
        text = plain_decimal(value)
        if "." not in text and _LOWEST <= (whole := int(text[:_TELLING])) <= _HIGHEST:
            return whole
        if math.isfinite(found := float(text)):
            return found
        raise ValueError(f"{shown(value, _LIMIT)} is too large for a float")
    raise _refused(value, "a number")


def integer(value: object) -> int:
    """Return an integer of at most 64 bits, also from a float or a text that is one."""
    found: int | None = None
    if type(value) is int:
        found = value
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    elif isinstance(value, (str, Mapping)):
        whole, _, fraction = plain_decimal(value).partition(".")
        found = None if fraction.strip("0") else int(whole[:_TELLING])
    if found is None:
        raise _refused(value, "an integer")
    if not _LOWEST <= found <= _HIGHEST:
        raise ValueError(f"{shown(value, _LIMIT)} does not fit 64 bits")
    return found


def whole(value: object) -> int:
    """Return an integer that is written as one."""
    if type(value) is not int:
        raise _refused(value, "an integer")
    return value


def floating(value: object) -> float | int:
    """Return a float that is written as a number; Debezium writes NaN and the infinities as text."""
    if type(value) is int or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise _refused(value, "a number")


_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("t", "true", "1", "y", "yes", "on"), True),
    **dict.fromkeys(("f", "false", "0", "n", "no", "off"), False),
}


def boolean(value: object) -> bool:
    """Return a boolean, also from 0 and 1 and from the texts that databases write."""
    if isinstance(value, bool):
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    found = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise _refused(value, "true or false, 0 or 1, t or f")
    return found
