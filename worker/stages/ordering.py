"""The one rule by which changes of a row are ordered: Elasticsearch's own for external versions.

Whether two changes meet while they wait, or one of them is stored already, the outcome must be the same: else it would
depend on how records happen to fall into batches.
"""

from worker.records import Change


def is_refused(change: Change, version: int) -> bool:
    """Whether a change comes too late where `version` is in place: waiting in front of it, or stored.

    A positioned change must be newer (`external`): of two with one position the first stays. One that is ordered only
    by its place in the partition may also be equal (`external_gte`): it has the version of what was before it.
    """
    return change.version <= version if change.positioned else change.version < version
