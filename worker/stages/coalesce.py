"""Newest change per row wins, and nothing that the others knew is lost."""

from collections.abc import Mapping
from dataclasses import replace

from worker.records import Change, Operation, Place, Stay
from worker.stages.ordering import is_refused


def coalesce(waiting: Change, incoming: Change) -> Change:
    """Return the one change that stands for both; `incoming` came after `waiting` in the log.

    The waiting one stays if the incoming one would be refused where it is stored. Places that the loser mentions are
    places that the row has left. Values that the winner does not carry (unchanged TOAST columns) are taken from the
    loser only if that came before it: then it holds the value that the winner left unchanged. So with the places of a
    former key, where older values still are. The loser may yet be an old event that was sent again; so its version is
    remembered with the values, and a newer stored document has better ones.
    """
    if is_refused(incoming, waiting.version):
        return _standing_for(waiting, incoming)
    winner = _standing_for(incoming, waiting)
    if waiting.operation is not Operation.UPSERT or incoming.operation is not Operation.UPSERT:
        return winner
    return with_values_of(winner, waiting)


def with_values_of(change: Change, earlier: Change) -> Change:
    """Return the change with the values that it leaves out and an earlier state of its row has.

    That may have been under another key, at a place that was another row's before.
    """
    known = change.absent & earlier.fields.keys()
    former, born = _stays(change, earlier), max(change.born, earlier.born)
    if not known:
        is_known = (former, born) == (change.former, change.born)
        return change if is_known else replace(change, former=former, born=born)
    fields = {**change.fields, **{name: earlier.fields[name] for name in known}}
    inherited = {**change.inherited, **{name: earlier.inherited.get(name, earlier.version) for name in known}}
    absent = change.absent - known
    return replace(change, fields=fields, absent=absent, former=former, inherited=inherited, born=born)


def _stays(change: Change, earlier: Change) -> Mapping[Place, tuple[Stay, ...]]:
    """All stays that both tell. That under the earlier one's key began when the row came under that key."""
    stays = dict(change.former)
    if change.key != earlier.key and earlier.place in stays:
        stays[earlier.place] = tuple(
            stay._replace(since=max(stay.since, earlier.born)) for stay in stays[earlier.place]
        )
    for place, others in earlier.former.items():
        stays[place] = tuple(dict.fromkeys((*others, *stays.get(place, ()))))
    return stays


def _standing_for(winner: Change, loser: Change) -> Change:
    """The winner, with the loser's places and all that must be known of it when the winner is planned."""
    key_places = winner.key_places | loser.key_places
    left = _left(winner, loser, key_places)
    return replace(
        winner,
        left=left,
        left_at=_left_at(winner, loser, left),
        key_places=key_places,
        locates=winner.locates or loser.locates,
        # Somebody else's belief in the place is proof enough.
        doubt=None if loser.doubt is None else winner.doubt,
        hides=winner.hides if winner.positioned else max(winner.hides, loser.hides, _position(loser)),
    )


def _left(winner: Change, loser: Change, key_places: frozenset[Place]) -> frozenset[Place]:
    """A row that is there again has not left its key's place: a tombstone of its own version there would hide it."""
    left = (winner.left | loser.left | {loser.place}) - {winner.place}
    return left - key_places if key_places and winner.operation is Operation.UPSERT else left


def _left_at(winner: Change, loser: Change, left: frozenset[Place]) -> Mapping[Place, int]:
    """When changes come one by one, each tombstone has the version of the change that mentions its place."""
    mentioned = {loser.place: loser.version}
    for change in (winner, loser):
        for place in change.left:
            mentioned[place] = max(mentioned.get(place, 0), change.left_at.get(place, change.version))
    return {place: version for place, version in mentioned.items() if place in left and version < winner.version}


def _position(change: Change) -> int:
    return change.version if change.positioned else 0
