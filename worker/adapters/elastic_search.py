"""Search on Elasticsearch: one `_msearch` a query, each of its searches routed to the tenant's shard."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from elastic_transport import ApiResponseMeta
from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_answers import hits_of, readable
from worker.adapters.elastic_client import describe, translated
from worker.errors import OperatorError, RetryLater, RetryReason
from worker.ports import Searcher
from worker.stages.search import Found, Query, bodies, read_hits, routing


class ElasticSearcher(Searcher):
    """Searches through the reader alias. Owns the client it is given: `close` closes it."""

    def __init__(self, client: AsyncElasticsearch, alias: str) -> None:
        self._client = client
        self._alias = alias

    @override
    async def search(self, query: Query) -> Sequence[Sequence[Found]]:
        """Ask for all rankings in one request."""
        route = routing(query.tenant)
        header = {"index": self._alias} if route is None else {"index": self._alias, "routing": route}
        searches = [line for body in bodies(query) for line in (header, body)]
        try:
            with translated():
                response = await self._client.msearch(searches=searches)
                answers = readable(response, "responses")["responses"]
                for answer in answers:
                    _raise_error(answer, response.meta)
        except ApiError as error:
            raise self._refused(error) from error
        if 2 * len(answers) != len(searches):
            raise RetryLater(
                RetryReason.UNREADABLE_RESPONSE, f"{len(answers)} answers to {len(searches) // 2} searches"
            )
        return [read_hits(answer) for answer in answers]

    @override
    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.close()

    def _refused(self, error: ApiError) -> OperatorError:
        if "index_not_found_exception" in describe(error):
            return OperatorError(f"index.alias: there is no {self._alias} to search: create it with 'syncline apply'")
        return OperatorError(f"Elasticsearch refuses to search {self._alias}: {describe(error)}")


def _raise_error(answer: Mapping[str, Any], meta: ApiResponseMeta) -> None:
    """Raise the error of one search of several as if it had been asked alone; also where its hits are incomplete."""
    if (fault := answer.get("error")) is None:
        hits_of(answer)
        return
    status = int(answer.get("status", meta.status))
    raise ApiError(str(status), dataclasses.replace(meta, status=status), {"error": fault})
