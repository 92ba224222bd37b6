"""The version of a change: `version_epoch << 56 | position`, the position taken from the source database.

Never the Kafka offset (it restarts when a topic is made anew) and never a clock. PostgreSQL's position is the LSN of
the change, in bytes of its write-ahead log; it rises with every change of a row, snapshot rows included.
"""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason
from worker.records import Rejection
from worker.stages.decode.json_values import shown

POSITION_BITS: Final = 56
_POSITION_LIMIT: Final = 1 << POSITION_BITS


def version_of(source: Mapping[str, object], version_epoch: int) -> int | Rejection | None:
    """Return the version, or None for a row of an incremental snapshot, which has no position."""
    connector = source.get("connector")
    if connector != "postgresql":
        return Rejection(
            RejectReason.POSITION_INVALID,
            f"the event comes from connector {shown(connector)}; positions are known for 'postgresql' only",
        )
    position = source.get("lsn")
    if position is None:
        return None
    if not isinstance(position, int) or isinstance(position, bool) or not 0 < position < _POSITION_LIMIT:
        return Rejection(RejectReason.POSITION_INVALID, f"source.lsn {shown(position)} is not between 1 and 2^56")
    return version_epoch << POSITION_BITS | position
