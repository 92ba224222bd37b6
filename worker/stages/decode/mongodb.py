"""Documents of Debezium's MongoDB connector: texts of Extended JSON instead of rows.

`{"$oid": "64f0..."}` and the like become the plain values that they stand for, so that a document's `_id` reads the
same in the row and in the Kafka key.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Final

from worker.errors import RejectReason
from worker.records import Rejection
from worker.stages.decode.json_values import loads, shown

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def document(text: str) -> Mapping[str, object] | Rejection:
    """Return the columns of a document, or why the text holds none."""
    try:
        found = _plain(loads(text))
    except ValueError as error:
        return Rejection(RejectReason.INVALID_JSON, f"the document of a MongoDB event is not JSON: {error}")
    if isinstance(found, dict):
        return found
    return Rejection(RejectReason.INVALID_JSON, f"the document of a MongoDB event is not an object: {shown(text, 60)}")


def key_of(key: Mapping[str, object]) -> Mapping[str, object]:
    """Return the key's columns, under the name that the document has for them: `{"id": "1004"}` is `{"_id": 1004}`."""
    text = key.get("id")
    if not isinstance(text, str):
        return key
    try:
        identifier = _plain(loads(text))
    except ValueError:
        return key
    return key if identifier is None else {"_id": identifier}


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (name, inner), *_ = value.items()
        if (reading := _FORMS.get(name)) is not None and (plain := reading(inner)) is not None:
            return plain
    return {name: _plain(inner) for name, inner in value.items()}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    if not isinstance(value, str) or not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if -(2**63) <= number < 2**63 else None


def _moment(value: object) -> str | None:
    if isinstance(value, dict) and value.keys() == {"$numberLong"}:
        value = _integer(value["$numberLong"])
    if type(value) is not int:
        return _text(value)
    try:
        return (_EPOCH + dt.timedelta(milliseconds=value)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


def _bytes(value: object) -> str | None:
    return _text(value.get("base64")) if isinstance(value, dict) else None


_FORMS: Final[Mapping[str, Callable[[object], object]]] = {
    "$oid": _text,
    "$uuid": _text,
    "$symbol": _text,
    "$numberInt": _integer,
    "$numberLong": _integer,
    "$numberDouble": _text,
    "$numberDecimal": _text,
    "$date": _moment,
    "$binary": _bytes,
}
