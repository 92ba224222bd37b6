"""Finding the documents of rows by their source keys, or of a whole source, on all shards: nobody knows the routing."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_client import JSON, describe, translated
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.ports import Locator, SourcePage
from worker.records import Place, RowPlace
from worker.stages.documents import SYNC_FIELD

KEYS: Final = 1000
"""Keys in one search; Elasticsearch takes 65,536 by default, an operator may have lowered it."""
PAGE: Final = 1000
"""Hits in one page; Elasticsearch gives 10,000 by default."""
_NOT_FOUND: Final = 404


class ElasticLocator(Locator):
    """`ports.Locator` on the write alias."""

    def __init__(self, client: AsyncElasticsearch, write_alias: str, *, keys: int = KEYS, page: int = PAGE) -> None:
        self._client = client
        self._alias = write_alias
        self._keys = keys
        self._page = page

    @override
    async def refresh(self) -> None:
        """Refresh all shards behind the alias."""
        try:
            answer = await self._ask("_refresh", None)
        except Halt as halt:
            if halt.reason is not HaltReason.FORBIDDEN:
                raise
            raise Halt(
                HaltReason.FORBIDDEN,
                "to find rows whose events do not tell their tenant, or all rows of a truncated table, the worker must "
                f"be able to refresh the index: grant it the privilege 'maintenance' on {self._alias}, or set locate: "
                f"never and truncate: reject for their sources ({halt})",
            ) from halt
        _refuse_partial(answer)

    @override
    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        """Search for the keys, so many at a time, page by page."""
        found: dict[str, set[Place]] = {}
        for start in range(0, len(keys), self._keys):
            async for hit in self._hits({"terms": {f"{SYNC_FIELD}.key": list(keys[start : start + self._keys])}}):
                found.setdefault(hit["_source"][SYNC_FIELD]["key"], set()).add(_place(hit))
        return {key: frozenset(places) for key, places in found.items()}

    @override
    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        """Search for one page."""
        wanted: list[dict[str, Any]] = [
            {"term": {f"{SYNC_FIELD}.source": source}},
            {"range": {f"{SYNC_FIELD}.version": {"lt": below}}},
        ]
        hits = await self._page_of(wanted, None if after is None else [after.key, after.place.tenant])
        documents = [RowPlace(hit["_source"][SYNC_FIELD]["key"], _place(hit)) for hit in hits]
        return SourcePage(documents, documents[-1] if len(documents) == self._page else None)

    async def _hits(self, wanted: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        after = None
        while True:
            hits = await self._page_of([wanted], after)
            for hit in hits:
                yield hit
            if len(hits) < self._page:
                return
            after = hits[-1]["sort"]

    async def _page_of(
        self, wanted: Sequence[Mapping[str, Any]], after: Sequence[str] | None
    ) -> Sequence[Mapping[str, Any]]:
        body: dict[str, Any] = {
            "size": self._page,
            "query": {"bool": {"filter": wanted, "must_not": [{"term": {f"{SYNC_FIELD}.deleted": True}}]}},
            "_source": ["tenant", f"{SYNC_FIELD}.key"],
            # No two documents of a row have one tenant, so no page can end between equals.
            "sort": [f"{SYNC_FIELD}.key", "tenant"],
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        answer = await self._ask("_search?allow_partial_search_results=false", body)
        _refuse_partial(answer)
        hits: Sequence[Mapping[str, Any]] = answer["hits"]["hits"]
        return hits

    async def _ask(self, what: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        with self._explained(), translated():
            response = await self._client.perform_request("POST", f"/{self._alias}/{what}", headers=JSON, body=body)
        answer: Mapping[str, Any] = response.body
        return answer

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            missing = error.meta.status == _NOT_FOUND
            reason = HaltReason.TARGET_MISSING if missing else HaltReason.TARGET_MISCONFIGURED
            raise Halt(reason, f"{self._alias}: {describe(error)}") from error


def _refuse_partial(answer: Mapping[str, Any]) -> None:
    """What one shard did not tell could be the copy that another tenant goes on reading."""
    if failed := answer["_shards"]["failed"]:
        raise RetryLater(RetryReason.SERVER_ERROR, f"{failed} shards did not answer: what they hold is not known")
    if answer.get("timed_out"):
        raise RetryLater(RetryReason.TIMEOUT, "the search ran into its time limit: its hits are incomplete")


def _place(hit: Mapping[str, Any]) -> Place:
    """The routing is the tenant; the embedded server does not tell it."""
    return Place(hit["_id"], hit.get("_routing") or hit["_source"]["tenant"])
