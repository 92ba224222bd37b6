"""Looks at Elasticsearch now and then, for the metrics: one worker of the group does it for all.

What it finds steers nothing, and what goes wrong with it disturbs nothing. Each worker asks for its own API key.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from worker.errors import SynclineError
from worker.metrics import Metrics
from worker.ports import ClusterInspector
from worker.stages.cluster_view import STATUSES, ClusterView, Count, IndexView, rises

_log = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 10.0
# A privilege that is missing is asked for this seldom: each time may be a line in somebody's audit log.
_REFUSED_TURNS: Final = 20


class ClusterWatch:
    """One task beside the pipeline."""

    def __init__(self, inspector: ClusterInspector, is_elected: Callable[[], bool], metrics: Metrics) -> None:
        """`is_elected` is asked before each look at what one worker watches for all."""
        self._inspector = inspector
        self._is_elected = is_elected
        self._metrics = metrics
        self._counters = {
            "rejected": metrics.cluster_rejected,
            "trips": metrics.cluster_trips,
            "queries": metrics.cluster_queries,
            "query_seconds": metrics.cluster_query_seconds,
            "indexed": metrics.cluster_indexed,
            "indexing_seconds": metrics.cluster_indexing_seconds,
        }
        self._before: dict[str, Mapping[Count, float]] = {}
        self._turns_to_skip = 0
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look at every interval, for ever."""
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self.look()
            except (SynclineError, TimeoutError) as fault:
                self._failed(str(fault) or "no answer in time")
            except Exception as error:  # noqa: BLE001 - no answer, however odd, may end the worker
                self._failed(repr(error))
            await asyncio.sleep(self._metrics.settings.cluster_interval)

    async def look(self) -> None:
        """Look once. Raises like the inspector."""
        await self._look_at_key()
        if not self._metrics.settings.cluster or not self._is_elected():
            self._forget()
            self._turns_to_skip = 0
            return
        if self._turns_to_skip:
            self._turns_to_skip -= 1
            return
        cluster, index = await self._inspector.cluster(), await self._inspector.index()
        self._forget_gauges()
        if cluster is not None:
            self._show_cluster(cluster)
        if index is not None:
            self._show_index(index)
        if cluster is None or index is None:
            self._refused(cluster is None, index is None)
        if cluster is None and index is None:
            self._turns_to_skip = _REFUSED_TURNS
        else:
            self._metrics.cluster_up.set(1)
            self._told.discard("failed")

    async def _look_at_key(self) -> None:
        key = await self._inspector.api_key()
        self._metrics.api_key_expiry.clear()
        if key is not None and key.expires_ms is not None:
            self._metrics.api_key_expiry.labels(key.name).set(key.expires_ms / 1000)

    def _show_cluster(self, view: ClusterView) -> None:
        for status in STATUSES:
            self._metrics.cluster_status.labels(status).set(status == view.status)
        for node, used in view.disks.items():
            self._metrics.cluster_disk.labels(node).set(used)
        self._count("cluster", view.counts)

    def _show_index(self, view: IndexView) -> None:
        for name, size in view.sizes.items():
            self._metrics.index_bytes.labels(name).set(size.store_bytes)
            self._metrics.index_documents.labels(name).set(size.documents)
        self._count("index", view.counts)

    def _count(self, part: str, now: Mapping[Count, float]) -> None:
        for count, risen in rises(self._before.get(part), now):
            counter = self._counters[count.name]
            (counter.labels(*count.labels) if count.labels else counter).inc(risen)
        self._before[part] = now

    def _forget(self) -> None:
        """Show nothing that is another's to show, or that may be old; counters stay, they tell of the past."""
        self._before.clear()
        self._forget_gauges()

    def _forget_gauges(self) -> None:
        m = self._metrics
        m.cluster_up.set(0)
        for gauge in (m.cluster_status, m.cluster_disk, m.index_bytes, m.index_documents):
            gauge.clear()

    def _refused(self, cluster: bool, index: bool) -> None:  # noqa: FBT001 - which of the two
        missing = " and ".join(what for what, is_missing in (("cluster", cluster), ("index", index)) if is_missing)
        self._tell(
            "refused",
            f"no metrics of the {missing}: Elasticsearch does not tell them; grant the privilege monitor on the "
            f"{missing} to the worker's credentials, or set metrics.cluster to false",
        )

    def _failed(self, detail: str) -> None:
        self._forget()
        self._tell("failed", f"no metrics of Elasticsearch for now: {detail[:500]}")

    def _tell(self, action: str, message: str) -> None:
        """Say it once, until it is otherwise."""
        if action not in self._told:
            self._told.add(action)
            _log.info(message, extra={"action": f"cluster_view_{action}"})
