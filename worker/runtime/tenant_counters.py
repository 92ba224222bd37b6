"""Counters by tenant, under a bounded number of names."""

from worker.metrics import Metrics
from worker.records import Verdict
from worker.stages.tenant_labels import TenantLabels


class TenantCounters:
    """A tenant that loses its name loses its series: one that goes on elsewhere would seem to have stood still.

    What it had is not added to `other`: there it would look like traffic of this moment.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._labels = TenantLabels(metrics.settings.tenants)

    def count(self, tenant: str, verdict: Verdict, records: int = 1) -> None:
        """Count records of a tenant."""
        for former in self._labels.seen(tenant, records):
            self._metrics.tenant_records.remove_by_labels({"tenant": former})
            self._metrics.tenant_freshness_missed.remove_by_labels({"tenant": former})
        self._metrics.tenant_records.labels(self._labels.label(tenant), verdict.value).inc(records)

    def missed(self, tenant: str) -> None:
        """Count a record of a tenant that took longer than promised."""
        self._metrics.tenant_freshness_missed.labels(self._labels.label(tenant)).inc()
