"""Newest change per row wins, and nothing that the others knew is lost."""

from dataclasses import replace

from worker.records import Change, Operation, Place


def coalesce(waiting: Change, incoming: Change) -> Change:
    """Return the one change that stands for both; `incoming` came after `waiting` in the log.

    The higher version wins, and of equal ones the later. Places that the loser mentions are places that the row has
    left. Values that the winner does not carry (unchanged TOAST columns) are taken from the loser only if that came
    before it: then it holds the value that the winner left unchanged. A repeated older event would not. So with the
    places of a former key, where older values still are.
    """
    if incoming.version < waiting.version:
        return replace(waiting, left=_left(waiting, incoming))
    left = _left(incoming, waiting)
    if waiting.operation is not Operation.UPSERT or incoming.operation is not Operation.UPSERT:
        return replace(incoming, left=left)
    known = incoming.absent & waiting.fields.keys()
    fields = {**incoming.fields, **{name: waiting.fields[name] for name in known}} if known else incoming.fields
    former = incoming.former | waiting.former
    return replace(incoming, left=left, fields=fields, absent=incoming.absent - known, former=former)


def _left(winner: Change, loser: Change) -> frozenset[Place]:
    return (winner.left | loser.left | {loser.place}) - {winner.place}
