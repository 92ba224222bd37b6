"""Newest change per row wins, and nothing that the others knew is lost."""

from dataclasses import replace

from worker.records import Change, Operation, Place


def coalesce(waiting: Change, incoming: Change) -> Change:
    """Return the one change that stands for both; `incoming` came after `waiting` in the log.

    The higher version wins, and of equal ones the later. Places that the loser mentions are places that the row has
    left. Values that the winner does not carry (unchanged TOAST columns) are taken from the loser only if that came
    before it: then it holds the value that the winner left unchanged. So with the places of a former key, where older
    values still are. The loser may yet be an old event that was sent again; so its version is remembered with the
    values, and a newer stored document has better ones.
    """
    if incoming.version < waiting.version:
        return replace(waiting, left=_left(waiting, incoming))
    left = _left(incoming, waiting)
    if waiting.operation is not Operation.UPSERT or incoming.operation is not Operation.UPSERT:
        return replace(incoming, left=left)
    known = incoming.absent & waiting.fields.keys()
    former = incoming.former | waiting.former
    if not known:
        return replace(incoming, left=left, former=former)
    fields = {**incoming.fields, **{name: waiting.fields[name] for name in known}}
    inherited = {**incoming.inherited, **{name: waiting.inherited.get(name, waiting.version) for name in known}}
    absent = incoming.absent - known
    return replace(incoming, left=left, fields=fields, absent=absent, former=former, inherited=inherited)


def _left(winner: Change, loser: Change) -> frozenset[Place]:
    return (winner.left | loser.left | {loser.place}) - {winner.place}
