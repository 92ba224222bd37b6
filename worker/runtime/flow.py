"""Memory and fairness: fetching pauses above a high mark and resumes below half of it, and pauses while the worker is
halted; decoding lets others run.
"""

from typing import Final

from typing_extensions import override

from worker.metrics import Metrics
from worker.ports import Source
from worker.records import Position
from worker.runtime.halting import Halting
from worker.runtime.intake import Reading
from worker.runtime.ledger import Ledger

# Decoding this much takes a few milliseconds; then the event loop serves heartbeats, probes and other stages.
_BREATH_BYTES: Final = 128 * 1024
# From the deletion of a former key, over a tombstone, to the row's new key.
_OFFSETS_OF_A_KEY_CHANGE: Final = 2


class Flow(Reading):
    """Watches the bytes between fetch and acknowledgement."""

    def __init__(self, source: Source, ledger: Ledger, halting: Halting, high_mark: int, metrics: Metrics) -> None:
        """`high_mark` is in bytes."""
        self._source = source
        self._ledger = ledger
        self._halting = halting
        self._high = high_mark
        self._metrics = metrics
        self._full = False
        self._paused = False
        self._since_breath = 0

    @property
    @override
    def lacks_room(self) -> bool:
        return self._full and not self._halting.halted

    @override
    def is_next_unread(self, position: Position) -> bool:
        """Between the two halves of a key change stands a tombstone at most."""
        partition = position.topic_partition
        next_offset = self._source.positions().get(partition)
        if next_offset is None or next_offset > position.offset + _OFFSETS_OF_A_KEY_CHANGE:
            return False
        return self._source.lag().get(partition, 0) > 0

    def adjust(self) -> None:
        """Pause or resume fetching, as the bytes in flight and the halts want it."""
        # What is remembered of resolved records behind a stuck one counts too: else it would grow without a bound.
        in_flight = self._ledger.bytes_in_flight + self._ledger.bytes_kept
        self._full = in_flight > (self._high // 2 if self._full else self._high)
        paused = self._full or self._halting.halted
        if paused and not self._paused:
            self._source.pause()
        elif self._paused and not paused:
            self._source.resume()
        self._paused = paused
        self._metrics.paused.set(paused)

    def is_out_of_breath(self, size: int) -> bool:
        """Whether, with so many bytes decoded more, it is time to let other tasks run."""
        self._since_breath += size
        if self._since_breath < _BREATH_BYTES:
            return False
        self._since_breath = 0
        return True
