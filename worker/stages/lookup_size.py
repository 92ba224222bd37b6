"""How many rows are looked up at once, where their whole documents are needed."""

from collections.abc import Iterable
from typing import Final

from worker.records import Unit, needs_whole
from worker.stages.planning import NeedsVector, Owing, Plan, Ready

_BYTES: Final = 16 * 1024 * 1024
"""Of documents a batch; each is there parsed and serialised, and once more in the request that writes it."""
_FIRST: Final = 64


class LookupSize:
    """As many rows as come to some 16 MiB of documents, as the last ones did; at first few, then up to twice as many.

    A change that leaves values out is small, its document may be large: what the source's records take says nothing.
    """

    def __init__(self, most: int) -> None:
        """`most` rows at a time, however small they are."""
        self._most = most
        self._rows = min(most, _FIRST)

    @property
    def rows(self) -> int:
        """How many rows that need their whole documents to take at most; at least one."""
        return self._rows

    def note(self, plans: Iterable[tuple[Unit, Plan]]) -> None:
        """Learn from what a batch has come to."""
        sizes = [bytes_of(decision) for unit, decision in plans if needs_whole(unit.change)]
        if sizes:
            fitting = _BYTES * len(sizes) // max(1, sum(sizes))
            self._rows = max(1, min(self._most, 2 * self._rows, fitting))


def bytes_of(decision: Plan) -> int:
    """Return about how much memory the documents of a plan take, in bytes."""
    match decision:
        case Ready(writes) | Owing(writes):
            return sum(len(write.body) for write in writes)
        case NeedsVector():
            return sum(len(value) for value in decision.fields.values() if isinstance(value, str))
        case _:
            return 0
