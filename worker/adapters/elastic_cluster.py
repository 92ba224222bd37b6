"""How Elasticsearch is, and for how long the worker's API key is good."""

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from elasticsearch import ApiError
from typing_extensions import override

from worker.adapters.elastic_answers import readable
from worker.adapters.elastic_client import ReloadingClient, translated
from worker.errors import Halt, HaltReason
from worker.ports import ApiKey, ClusterInspector
from worker.stages.cluster_view import ClusterView, IndexView, cluster_view, index_view

_NOT_OFFERED: Final = frozenset({400, 404, 405, 410, 501})


class ElasticCluster(ClusterInspector):
    """`ports.ClusterInspector` on a client that somebody else closes."""

    def __init__(self, client: ReloadingClient, indices: Sequence[str]) -> None:
        """Look at these indices, or at what stands behind these aliases."""
        self._client = client
        self._indices = list(indices)

    @override
    async def cluster(self) -> ClusterView | None:
        health = await _allowed(self._client.cluster.health())
        if health is None:
            return None
        nodes = await _allowed(self._client.nodes.stats(metric=["fs", "thread_pool", "breaker"]))
        return cluster_view(health, nodes or {})

    @override
    async def index(self) -> IndexView | None:
        metrics = ["docs", "store", "search", "indexing"]
        stats = await _allowed(self._client.indices.stats(index=self._indices, metric=metrics))
        return None if stats is None else index_view(stats)

    @override
    async def api_key(self) -> ApiKey | None:
        if (key_id := self._client.api_key_id) is None:
            return None
        # Every key may ask for itself, by its id, whatever its privileges are.
        found = await _allowed(self._client.security.get_api_key(id=key_id))
        keys = (found or {}).get("api_keys", [])
        return ApiKey(str(keys[0].get("name", key_id)), keys[0].get("expiration")) if keys else None


async def _allowed(request: Awaitable[Any]) -> Any:  # noqa: ANN401 - bodies of any form
    """Return the answer's body; None where it is refused, or where the server has no such address."""
    try:
        with translated():
            return readable(await request)
    except Halt as refusal:
        if refusal.reason is not HaltReason.FORBIDDEN:
            raise
        return None
    except ApiError as error:
        if error.meta.status not in _NOT_OFFERED:
            raise
        return None
