"""Counters by tenant, under a bounded number of names."""

from typing import TYPE_CHECKING

from worker.metrics import Metrics
from worker.records import Verdict
from worker.stages.tenant_labels import TenantLabels

if TYPE_CHECKING:
    from collections.abc import Callable


class TenantCounters:
    """A tenant that loses its name loses its series: one that goes on elsewhere would seem to have stood still.

    What it had is not added to `other`: there it would look like traffic of this moment.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labels = TenantLabels(metrics.settings.tenants)
        # Finding a series by its labels takes longer than all the rest, and is done for every record.
        self._rise: dict[tuple[str, Verdict], Callable[[float], None]] = {}

    def count(self, tenant: str, verdict: Verdict, records: int = 1) -> None:
        """Count records of a tenant."""
        for former in self._labels.seen(tenant, records):
            self._forget(former)
        label = self._labels.label(tenant)
        rise = self._rise.get((label, verdict))
        if rise is None:
            rise = self._rise[label, verdict] = self._metrics.tenant_records.labels(label, verdict.value).inc
        rise(records)

    def missed(self, tenant: str, records: int = 1) -> None:
        """Count records of a tenant that took longer than promised."""
        self._metrics.tenant_freshness_missed.labels(self._labels.label(tenant)).inc(records)

    def _forget(self, tenant: str) -> None:
        self._metrics.tenant_records.remove_by_labels({"tenant": tenant})
        self._metrics.tenant_freshness_missed.remove_by_labels({"tenant": tenant})
        for verdict in Verdict:
            self._rise.pop((tenant, verdict), None)
