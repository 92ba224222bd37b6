"""Bulk writes through the write alias: sends once, and says what Elasticsearch answered."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_answers import readable
from worker.adapters.elastic_client import NDJSON, NOT_ALLOWED, describe, has_newer_credentials, translated
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.ports import RequestTooLargeError, Sink
from worker.records import ItemResponse

# Less to parse, and no parts of documents: error reasons are cut down to what names the fault.
_FILTER: Final = (
    "errors,items.*.status,items.*.result,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)

# The items name the alias: not every server checks `require_alias` before it resolves an alias in the path.
_PATH: Final = f"/_bulk?require_alias=true&filter_path={_FILTER}"


class ElasticSink(Sink):
    """`ports.Sink` on the write alias. `require_alias` keeps a missing alias from becoming an index."""

    def __init__(self, client: AsyncElasticsearch, write_alias: str, *, packs_vectors: bool = False) -> None:
        self._client = client
        self._alias = write_alias
        self._packs_vectors = packs_vectors

    @property
    @override
    def target(self) -> str:
        """The write alias."""
        return self._alias

    @property
    @override
    def packs_vectors(self) -> bool:
        """As it was given: `elastic_client.takes_base64_vectors` knows it."""
        return self._packs_vectors

    @override
    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        """Send one body. POST, because aiohttp silently sends a PUT twice when a kept connection drops."""
        try:
            with translated():
                response = await self._client.perform_request("POST", _PATH, headers=NDJSON, body=body)
        except ApiError as error:
            raise self._request_fault(error) from error
        items = response.body.get("items") if isinstance(response.body, Mapping) else None
        if not isinstance(items, list) or len(items) != count:
            found = len(items) if isinstance(items, list) else "no"
            raise RetryLater(RetryReason.UNREADABLE_RESPONSE, f"sent {count} items, the answer has {found}")
        responses = [_item_response(item) for item in items]
        if any(one.error_type == NOT_ALLOWED for one in responses):
            await has_newer_credentials(self._client)  # the next request may know more
        return responses

    def _request_fault(self, error: ApiError) -> Exception:
        match error.meta.status:
            case 413:
                return RequestTooLargeError(describe(error))
            case 404:
                return Halt(HaltReason.TARGET_MISSING, f"{self._alias}: {describe(error)}")
            case _:
                return Halt(HaltReason.TARGET_MISCONFIGURED, f"{self._alias}: {describe(error)}")

    @override
    async def probe(self) -> None:
        """Check that the write alias exists."""
        try:
            with translated():
                found = readable(await self._client.indices.get_alias(name=self._alias))
        except ApiError as error:
            raise self._request_fault(error) from error
        # A proxy answers everything, too.
        if not any(isinstance(one, Mapping) and self._alias in one.get("aliases", ()) for one in found.values()):
            raise RetryLater(RetryReason.UNREADABLE_RESPONSE, f"the answer names no index of {self._alias}")

    @override
    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()


def _item_response(item: Mapping[str, Any]) -> ItemResponse:
    (answer,) = item.values()
    error = answer.get("error")
    if not error:
        return ItemResponse(answer["status"], dropped=answer.get("result") == "noop")
    reason = error.get("reason", "")
    if cause := (error.get("caused_by") or {}).get("reason"):
        reason = f"{reason}: {cause}"
    return ItemResponse(status=answer["status"], error_type=error.get("type", ""), reason=reason)
