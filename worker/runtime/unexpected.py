"""A defect of ours that one record brings to light: that record is put aside, and the others go on.

A worker that ends at such a record ends at it again after each restart, and everything behind it waits. Where every
record meets the defect, the breaker halts (`rejecting`): nothing is drained into the dead-letter topic.
"""

import logging
from typing import Final

from worker.errors import RejectReason
from worker.records import Position, Rejection
from worker.stages.decode.json_values import cut

_log = logging.getLogger(__name__)
_LONGEST: Final = 200


def unexpected(error: Exception, stage: str, position: Position) -> Rejection:
    """Return what becomes of a record, or of a row's newest one, that a stage could not deal with; logs where.

    Raises `error` again if it is one of memory: that is the process's, which starts anew.
    """
    if isinstance(error, MemoryError):
        raise error
    told = cut(f"{type(error).__name__}: {error}", _LONGEST)
    _log.error(
        "a record has brought up a defect of Syncline and is put aside",
        exc_info=error,
        extra={"action": "unexpected", "stage": stage, **position._asdict(), "detail": told},
    )
    return Rejection(
        RejectReason.UNEXPECTED_ERROR,
        f"Syncline could not {stage} it, which is a defect of Syncline, not of the record ({told}): "
        "report it with the worker's log, and replay the record with a version that has it mended",
    )
