"""A cluster that is as a test wants it."""

from typing_extensions import override

from worker.ports import ApiKey, ClusterInspector
from worker.stages.cluster_view import ClusterView, Count, IndexSize, IndexView


class FakeClusterInspector(ClusterInspector):
    """`fault` is raised by every method; None for a view: the credential may not see it."""

    def __init__(self, key: ApiKey | None = None) -> None:
        self.view: ClusterView | None = ClusterView(
            "green", {"node-1": 0.4}, {Count("rejected", ("node-1", "write")): 5}
        )
        self.indices: IndexView | None = IndexView({"articles-v000001": IndexSize(1000, 10)}, {Count("queries"): 100})
        self.key = key
        self.fault: Exception | None = None
        self.asked = 0

    @override
    async def cluster(self) -> ClusterView | None:
        self.asked += 1
        self._raise()
        return self.view

    @override
    async def index(self) -> IndexView | None:
        self._raise()
        return self.indices

    @override
    async def api_key(self) -> ApiKey | None:
        self._raise()
        return self.key

    def _raise(self) -> None:
        if self.fault is not None:
            raise self.fault
