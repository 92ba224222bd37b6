"""What a server and a credential are, asked with the least privileges; what may not be seen is None, not a fault."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_answers import readable, refuse_partial
from worker.adapters.elastic_client import JSON, translated
from worker.errors import Halt, HaltReason
from worker.ports import ServerInspector
from worker.stages.cluster_view import write_blocks
from worker.stages.documents import SYNC_FIELD
from worker.stages.index_state import Held

_NOT_OFFERED: Final = frozenset({400, 404, 405, 410, 501})
_TOMBSTONES: Final = {"term": {f"{SYNC_FIELD}.deleted": True}}
_Answer = TypeVar("_Answer")


class ElasticInspector(ServerInspector):
    """`ports.ServerInspector` on a client that somebody else closes."""

    def __init__(self, client: AsyncElasticsearch) -> None:
        self._client = client

    @override
    async def version(self) -> str | None:
        # `GET /` needs the privilege `monitor`, which a worker has no other use for.
        found = await _if_shown(self._client.info())
        return None if found is None else str(readable(found, "version")["version"]["number"])

    @override
    async def granted(self, index: str, privileges: Sequence[str]) -> frozenset[str] | None:
        answer = await self._has_privileges(index=[{"names": [index], "privileges": list(privileges)}])
        return None if answer is None else _granted(answer["index"][index])

    @override
    async def granted_on_cluster(self, privileges: Sequence[str]) -> frozenset[str] | None:
        answer = await self._has_privileges(cluster=list(privileges))
        return None if answer is None else _granted(answer["cluster"])

    async def _has_privileges(self, **asked: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - as the client's
        try:
            with translated():
                found = await self._client.security.has_privileges(**asked)
        except ApiError as error:
            _refuse_unless_not_offered(error)
            return None
        return readable(found, *asked)

    @override
    async def write_blocks(self) -> Sequence[str] | None:
        found = await _if_shown(self._client.cluster.get_settings(flat_settings=True))
        return None if found is None else write_blocks(readable(found))

    @override
    async def held(self, alias: str) -> Held | None:
        answer = await self._search(alias, {"track_total_hits": True, "aggs": {"them": {"filter": _TOMBSTONES}}})
        if answer is None:
            return None
        refuse_partial(answer)
        tombstones = int(answer["aggregations"]["them"]["doc_count"])
        return Held(int(answer["hits"]["total"]["value"]) - tombstones, tombstones)

    @override
    async def clock_ms(self, alias: str) -> int | None:
        # `now` is worked out by the server, whose answers carry no date.
        ranges = {"date_range": {"field": f"{SYNC_FIELD}.deleted_at", "ranges": [{"from": "now"}]}}
        answer = await self._search(alias, {"aggs": {"clock": ranges}})
        if answer is None or not (buckets := answer["aggregations"].get("clock", {}).get("buckets")):
            return None
        return int(buckets[0]["from"])

    async def _search(self, alias: str, body: dict[str, Any]) -> Mapping[str, Any] | None:
        """Ask for aggregations only; None where this credential may not search, or there is nothing to search."""
        path = f"/{quote(alias, safe='')}/_search"
        asked = self._client.perform_request("POST", path, headers=JSON, body={"size": 0, **body})
        found = await _if_shown(asked)
        return None if found is None else readable(found, "hits", "aggregations")


def _granted(answer: Mapping[str, bool]) -> frozenset[str]:
    return frozenset(name for name, granted in answer.items() if granted)


async def _if_shown(asked: Awaitable[_Answer]) -> _Answer | None:
    """Return what the server answers; None where this credential may not see it, or there is no such address."""
    try:
        with translated():
            return await asked
    except Halt as halt:
        _refuse_unless_forbidden(halt)
    except ApiError as error:
        _refuse_unless_not_offered(error)
    return None


def _refuse_unless_forbidden(halt: Halt) -> None:
    """Only a privilege that is missing is a thing not to be seen: a block, or a key that is refused, is a fault."""
    if halt.reason is not HaltReason.FORBIDDEN:
        raise halt


def _refuse_unless_not_offered(error: ApiError) -> None:
    """A server without security, or a distribution without the root page, has no such address."""
    if error.meta.status not in _NOT_OFFERED:
        raise error
