"""How changes of a row are ordered: by version, and where versions do not tell it by their places in the log.

A version is a position in the database's log, and a change with a higher one is newer. Two things break that rule. A
row of an incremental snapshot has no position: it is newer than what stands before it in its partition. And a
transaction that was open while others committed stands behind them with lower positions. So a row that a snapshot has
read takes the version of what it replaces: whatever has changed the row since has a higher one, wherever its watermark
is by then. What came before it in the log, and is read again, is told by the log's place, which is stored with it.
"""

from collections.abc import Iterable
from typing import Final

from worker.records import Change, LogPlace, Stored

_POSITION_BITS: Final = 56


def is_refused(change: Change, version: int) -> bool:
    """Whether a change comes too late where one of `version` waits in front of it.

    A positioned change must be newer: of two with one position the first stays. One that is ordered only by its place
    in the partition may also be equal: it has the version of what was before it.
    """
    return change.version <= version if change.positioned else change.version < version


def is_undecided(waiting: Change, incoming: Change) -> bool:
    """Whether only what is stored can tell which of two changes is newer; `incoming` came after `waiting` in the log.

    Below the watermark of a row without a position stands what was committed after it, and what is sent again.
    """
    return incoming.positioned and not waiting.positioned and incoming.version <= waiting.version


def is_earlier(other: Change, change: Change) -> bool:
    """Whether a change of another row, which came in first, is older than a positioned one.

    The watermark of a row without a position tells nothing: a transaction that was open then may commit below it.
    """
    if other.positioned:
        return other.version < change.version
    here, there = other.log_place, change.log_place
    return other.hides < change.version and _in_one_partition(here, there) and here.offset < there.offset


def comes_too_late(change: Change, stored: Stored) -> bool:
    """Whether what is stored is as new as a change, or newer.

    One partition says what came first in it. A log that was copied or begun anew has other offsets: a positioned
    change is refused for its place only if offset and watermark agree.
    """
    there = stored.log_place
    if change.positioned:
        return change.version <= stored.version or (there is not None and _stands_before(change.log_place, there))
    here = change.log_place
    if there is None:
        return here.watermark < stored.version
    if here.watermark == there.watermark and _in_one_partition(here, there):
        return here.offset <= there.offset
    return here.watermark < there.watermark


def _stands_before(here: LogPlace, there: LogPlace) -> bool:
    return _in_one_partition(here, there) and here.offset < there.offset and here.watermark <= there.watermark


def _in_one_partition(here: LogPlace, there: LogPlace) -> bool:
    return (here.topic, here.partition) == (there.topic, there.partition)


def version_of_unpositioned(change: Change, replaced: Iterable[Stored]) -> int:
    """Return the version under which a change without a position is stored in place of what is older.

    The highest that the row is known to have had: above it is what has changed the row since. The watermark would hide
    changes of transactions that are still open. Where nothing is known of the row, everything is newer, but for what
    belongs to an earlier `version_epoch`.
    """
    lowest = change.version >> _POSITION_BITS << _POSITION_BITS
    return max(lowest, change.hides, *(one.version for one in replaced))
