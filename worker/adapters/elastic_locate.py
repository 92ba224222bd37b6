"""Finding the documents of rows by their source keys, or of a whole source, on all shards: nobody knows the routing."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_answers import hits_of, readable, refuse_partial, source_of
from worker.adapters.elastic_client import JSON, describe, translated
from worker.errors import Halt, HaltReason
from worker.ports import Locator, SourcePage
from worker.records import Place, RowPlace
from worker.stages.documents import LOG_FIELD, SYNC_FIELD, stands_behind

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
        refuse_partial(answer)

    @override
    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        """Search for the keys, so many at a time, page by page."""
        found: dict[str, set[Place]] = {}
        for start in range(0, len(keys), self._keys):
            async for hit in self._hits({"terms": {f"{SYNC_FIELD}.key": list(keys[start : start + self._keys])}}):
                if (row := _row(hit)) is not None:
                    found.setdefault(row.key, set()).add(row.place)
        return {key: frozenset(places) for key, places in found.items()}

    @override
    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        """Search for one page."""
        wanted: list[dict[str, Any]] = [
            {"term": {f"{SYNC_FIELD}.source": source}},
            {"range": {f"{SYNC_FIELD}.version": {"lt": below}}},
        ]
        hits = await self._page_of(wanted, None if after is None else [after.key, after.place.tenant])
        found = [(hit, row) for hit in hits if (row := _row(hit)) is not None]
        older = [row for hit, row in found if not stands_behind(hit["_source"][SYNC_FIELD], below)]
        return SourcePage(older, _last(hits[-1]) if len(hits) == self._page else None)

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
            "_source": ["tenant", f"{SYNC_FIELD}.key", f"{SYNC_FIELD}.{LOG_FIELD}"],
            # No two documents of a row have one tenant, so no page can end between equals.
            "sort": [f"{SYNC_FIELD}.key", "tenant"],
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        return hits_of(await self._ask("_search?allow_partial_search_results=false", body))

    async def _ask(self, what: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        with self._explained(), translated():
            response = await self._client.perform_request("POST", f"/{self._alias}/{what}", headers=JSON, body=body)
        return readable(response)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            missing = error.meta.status == _NOT_FOUND
            reason = HaltReason.TARGET_MISSING if missing else HaltReason.TARGET_MISCONFIGURED
            raise Halt(reason, f"{self._alias}: {describe(error)}") from error


def _row(hit: Mapping[str, Any]) -> RowPlace | None:
    """Return which row's document this is, and where; None for what somebody else has written there, of another form.

    The routing is the tenant; the embedded server does not tell it.
    """
    body = source_of(hit)
    match body.get(SYNC_FIELD), hit.get("_routing") or body.get("tenant"):
        case {"key": str(key)}, str(tenant):
            return RowPlace(key, Place(hit["_id"], tenant))
        case _:
            return None


def _last(hit: Mapping[str, Any]) -> RowPlace:
    """Return where the next page begins, by what the hits are sorted by: the last may be of another form."""
    key, tenant = hit["sort"]
    return RowPlace(key, Place(hit["_id"], tenant))
