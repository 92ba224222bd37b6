"""What an answer must be before it is believed: JSON of the wanted form, and from all shards.

What stands between here and Elasticsearch (a proxy, a load balancer) may answer in its place, with status 200 and a
page of its own. And Elasticsearch itself answers with what it has got where a shard fails or its time is up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from elastic_transport import ApiResponse

from worker.errors import Halt, HaltReason, RetryLater, RetryReason


def readable(response: ApiResponse[Any], *names: str) -> Mapping[str, Any]:
    """Return an answer's body, which has these names.

    Raises:
        RetryLater: it is no JSON object, or has them not.
    """
    body = response.body
    if not isinstance(body, Mapping):
        raise _unreadable("is no JSON object")
    if missing := [name for name in names if name not in body]:
        raise _unreadable(f"has no {', '.join(missing)}")
    return body


def refuse_partial(answer: Mapping[str, Any]) -> None:
    """Refuse what is not from all shards: what one did not tell could be the very document that is looked for.

    Raises:
        RetryLater: some shards failed, the time was up, or the answer does not say.
    """
    match answer.get("_shards"):
        case {"failed": int(failed)}:
            pass
        case _:
            raise _unreadable("does not tell its shards")
    if failed:
        raise RetryLater(RetryReason.SERVER_ERROR, f"{failed} shards did not answer: what they hold is not known")
    if answer.get("timed_out"):
        raise RetryLater(
            RetryReason.SERVER_ERROR, "a search ran into Elasticsearch's own time limit: its hits are incomplete"
        )


def hits_of(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the hits of one search.

    Raises:
        RetryLater: they are not from all shards, or there is no list of them.
    """
    refuse_partial(answer)
    match answer.get("hits"):
        case {"hits": list(hits)}:
            return hits
        case _:
            raise _unreadable("has no hits")


def source_of(hit: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a hit's document, as far as it was asked for.

    Raises:
        Halt: its index keeps none, so that nobody can tell whose it is.
    """
    if (source := hit.get("_source")) is None:
        raise Halt(
            HaltReason.TARGET_MISCONFIGURED,
            f"{hit.get('_index')} keeps no _source, which tells the rows of its documents: write to an index that has "
            "it, such as 'syncline apply' creates",
        )
    found: Mapping[str, Any] = source
    return found


def _unreadable(what: str) -> RetryLater:
    return RetryLater(RetryReason.UNREADABLE_RESPONSE, f"the answer {what}")
