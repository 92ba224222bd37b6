"""The version of a change: `version_epoch << 56 | position`.

The position is the source database's, or a declared column's. Never the Kafka offset (it restarts when a topic is
made anew) and never a clock. A change without a position has no version: None, not an error.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason
from worker.records import Operation, Rejection
from worker.stages.decode.json_values import cut, shown
from worker.stages.decode.position import POSITION_BITS, POSITION_LIMIT, position_of
from worker.stages.rules import SourceRules

_YEAR_10000_MS: Final = 253_402_300_800_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MAX_DIGITS: Final = 17


def version_of(
    source: Mapping[str, object], row: Mapping[str, object], operation: Operation, rules: SourceRules
) -> int | Rejection | None:
    """Return the version of a change that a Debezium `source` block describes, None where it has none."""
    if rules.version_column is not None:
        return version_in_row(row, operation, rules)
    try:
        position = position_of(source)
    except ValueError as error:
        return Rejection(RejectReason.POSITION_INVALID, str(error))
    return None if position is None else rules.version_epoch << POSITION_BITS | position


def version_in_row(row: Mapping[str, object], operation: Operation, rules: SourceRules) -> int | Rejection | None:
    """Return the version that the declared column holds.

    A delete has none: what its event holds is the column's last value, which the stored document has already.
    """
    column = rules.version_column
    if operation is Operation.DELETE or column is None:
        return None
    if column not in row:
        known = cut(", ".join(sorted(row)), 120)
        return Rejection(RejectReason.POSITION_INVALID, f"the row has no version column {column!r}; it has: {known}")
    try:
        position = _position_in(row[column])
    except ValueError as error:
        return Rejection(RejectReason.POSITION_INVALID, f"version column {column!r} {error}")
    return rules.version_epoch << POSITION_BITS | position


def _position_in(value: object) -> int:
    position: object = value
    if isinstance(value, str):
        if len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
            position = int(value)
        else:
            position = _microseconds(value)
    if type(position) is not int or not 0 <= position < POSITION_LIMIT:
        raise ValueError(f"is {shown(value)}, not an integer from 0 to below 2^56 or a time with its zone")
    return position


def _microseconds(text: str) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // dt.timedelta(microseconds=1)


def time_of(value: object) -> int | None:
    """Return a source's time in milliseconds since 1970, None where it is none of the years 1970 to 9999."""
    return value if type(value) is int and 0 < value < _YEAR_10000_MS else None
