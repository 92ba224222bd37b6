"""Finding old tombstones behind the write alias, and deleting those that nothing has touched since they were found.

Deletes name the sequence number and primary term of the write that was found. Elasticsearch then deletes that write or
nothing; a version could not say as much, since a change without a position may write the version that a tombstone has.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import orjson
from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError
from typing_extensions import override

from worker.adapters.elastic_answers import hits_of, readable, refuse_partial, source_of
from worker.adapters.elastic_client import JSON, NDJSON, describe, translated
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason, SynclineError
from worker.ports import Tombstones
from worker.records import OldTombstone, Removal
from worker.stages.documents import SYNC_FIELD

_KEEP: Final = "5m"
_LOST_SCROLL: Final = "search_context_missing_exception"
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404
_REFUSED: Final = 400


class ElasticTombstones(Tombstones):
    """`ports.Tombstones` on the write alias."""

    def __init__(self, client: AsyncElasticsearch, write_alias: str) -> None:
        self._client = client
        self._alias = write_alias

    @override
    async def found(self, before_ms: int, size: int) -> AsyncIterator[Sequence[OldTombstone]]:
        body = {
            "query": _older(before_ms),
            "size": size,
            "sort": ["_doc"],
            "seq_no_primary_term": True,
            "_source": [f"{SYNC_FIELD}.deleted_at"],
        }
        answer = await self._ask(f"/{self._alias}/_search?scroll={_KEEP}", body)
        try:
            while hits := hits_of(answer):
                yield [one for hit in hits if (one := _tombstone(hit)) is not None]
                scroll = {"scroll": _KEEP, "scroll_id": answer["_scroll_id"]}
                answer = await self._ask("/_search/scroll", scroll)
        finally:
            await self._forget(answer["_scroll_id"])

    async def _ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with translated():
                response = await self._client.perform_request("POST", path, headers=JSON, body=body)
        except NotFoundError as error:
            if _LOST_SCROLL in describe(error):
                raise OperatorError(
                    f"Elasticsearch has given up the search for old tombstones in {self._alias} (a node was lost, or a "
                    f"page took over {_KEEP}): run 'syncline purge' again; what was removed is removed"
                ) from error
            raise Halt(HaltReason.TARGET_MISSING, f"{self._alias}: {describe(error)}") from error
        except ApiError as error:
            raise OperatorError(f"Elasticsearch refuses to search {self._alias}: {describe(error)}") from error
        answer = readable(response, "_scroll_id")
        refuse_partial(answer)
        return answer

    async def _forget(self, scroll_id: str) -> None:
        # What has been done, or has failed, is to be told all the same: the scroll ends by itself, too.
        with contextlib.suppress(ApiError, TransportError, SynclineError):
            await self._client.options(ignore_status=_NOT_FOUND).clear_scroll(scroll_id=scroll_id)

    @override
    async def remove(self, tombstones: Sequence[OldTombstone]) -> Sequence[tuple[Removal, str]]:
        if not tombstones:
            return []
        body = b"".join(b"%b\n" % orjson.dumps({"delete": _action(one)}) for one in tombstones)
        try:
            with translated():
                response = await self._client.perform_request("POST", "/_bulk", headers=NDJSON, body=body)
        except ApiError as error:
            raise OperatorError(f"Elasticsearch refuses deletes in {self._alias}: {describe(error)}") from error
        items = readable(response, "items")["items"]
        if len(items) != len(tombstones):
            raise RetryLater(
                RetryReason.UNREADABLE_RESPONSE, f"sent {len(tombstones)} items, the answer has {len(items)}"
            )
        return [_removal(item["delete"]) for item in items]


def _action(tombstone: OldTombstone) -> dict[str, Any]:
    return {
        "_index": tombstone.index,
        "_id": tombstone.document_id,
        "routing": tombstone.routing,
        "if_seq_no": tombstone.sequence,
        "if_primary_term": tombstone.term,
    }


def _older(before_ms: int) -> Mapping[str, Any]:
    old = {"lt": before_ms, "format": "epoch_millis"}
    clauses = [{"term": {f"{SYNC_FIELD}.deleted": True}}, {"range": {f"{SYNC_FIELD}.deleted_at": old}}]
    return {"bool": {"filter": clauses}}


def _tombstone(hit: Mapping[str, Any]) -> OldTombstone | None:
    """Return a hit as what it is; None for what somebody else has written there, of another form."""
    match source_of(hit).get(SYNC_FIELD):
        case {"deleted_at": int(deleted_at)}:
            pass
        case _:
            return None
    return OldTombstone(
        index=hit["_index"],
        document_id=hit["_id"],
        routing=hit.get("_routing", hit["_id"]),  # a document without a routing is routed by its id
        sequence=hit["_seq_no"],
        term=hit["_primary_term"],
        deleted_at_ms=deleted_at,
    )


def _removal(answer: Mapping[str, Any]) -> tuple[Removal, str]:
    status: int = answer["status"]
    error = answer.get("error") or {}
    if status < _REFUSED:
        return Removal.REMOVED, ""
    if status == _CONFLICT:
        return Removal.CHANGED, ""
    if status == _NOT_FOUND and not error:
        return Removal.GONE, ""
    return Removal.FAILED, f"{error.get('type', status)}: {error.get('reason', '')}"
