"""Reading a whole alias, for comparing it with what it should hold."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_scan

from worker.adapters.elastic_client import translated


class ScannedDocument(NamedTuple):
    """One document as a reader of the alias can see it. The embedded server does not tell the routing."""

    document_id: str
    routing: str | None
    version: int
    body: Mapping[str, Any]


async def scan(client: AsyncElasticsearch, alias: str) -> AsyncIterator[ScannedDocument]:
    """Yield every document behind an alias after a refresh, in no order."""
    with translated():
        await client.indices.refresh(index=alias)
        async for hit in async_scan(client, index=alias, query={"query": {"match_all": {}}, "version": True}, size=500):
            yield ScannedDocument(hit["_id"], hit.get("_routing"), hit["_version"], hit["_source"])
