"""What is measured beside the worker's own work, and what it is compared with."""

from pydantic import Field

from worker.settings.types import Group, Seconds


class MetricsSettings(Group):
    """Promises, labels, and the view of Elasticsearch."""

    freshness_slo: Seconds = Field(default=10.0, gt=0)
    """Seconds from a row's commit in the database to its acknowledgement by Elasticsearch that are promised: what took
    longer is counted, and alerts divide by it. The histogram has an edge there."""
    query_slo: Seconds = Field(default=0.1, gt=0)
    """Seconds that a query of the index may take on a shard, on average, before an alert says so."""
    tenants: int = Field(default=20, ge=0, le=1000)
    """How many tenants a worker counts by name, the busiest; the rest counts as `other`. Each costs six series in
    Prometheus, for each worker. 0 where names of tenants must not leave the worker."""
    cluster: bool = True
    """Whether one worker of the group (the one that has the first topic's partition 0) also watches Elasticsearch:
    health, disks, rejected requests, query times, sizes. It needs the privilege `monitor`, on the cluster and on the
    index; without it a line in the log says so once, and nothing else happens."""
    cluster_interval: Seconds = Field(default=30.0, ge=1)
    """Seconds between two looks at Elasticsearch, and at the expiry of the worker's API key."""
