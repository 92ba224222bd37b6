"""Every metric of the worker, declared once: name, type, labels and help.

Names follow Prometheus' practice: one prefix, base units, plural unit suffixes, `_total` for counters. Labels are
bounded: never a document's name, and of the tenants only the busiest (`stages/tenant_labels.py`). A label whose values
are known has all its series from the start on: an increase from nothing to one is no increase to Prometheus.
`docs/metrics.md` is generated from this module.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.samples import Sample

from worker.errors import HaltReason, RejectReason
from worker.settings import MetricsSettings

FRESHNESS_EDGES: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600)
"""Seconds. The client's default ends at 10 s, which is where a stale index begins."""
_DURATION_EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


# A series more for each counter, which no dashboard reads.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one worker, in a registry of its own, so that tests can have many."""

    def __init__(self, settings: MetricsSettings | None = None) -> None:
        self.settings = settings or MetricsSettings()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._of_records()
        self._of_work()
        self._of_the_process()
        self._of_the_cluster()
        self._begin()

    def _of_records(self) -> None:
        r = self.registry
        self.consumed = Counter(
            "syncline_records_consumed", "Records taken from Kafka under a valid assignment.", ["topic"], registry=r
        )
        self.records = Counter(
            "syncline_records",
            "Records by what became of them; every consumed record is counted once. `reason` is empty where the "
            "verdict says it all.",
            ["verdict", "reason"],
            registry=r,
        )
        self.lag = Gauge(
            "syncline_lag_records",
            "Records of a partition that are not resolved: to the end of the log, as of the last fetch. What Kafka "
            "has deleted does not count, and a partition that is taken away has no series any more.",
            ["topic", "partition"],
            registry=r,
        )
        self.lag_seconds = Gauge(
            "syncline_lag_seconds",
            "Age of the oldest record of a partition that is not resolved, by its timestamp in Kafka. Where none of "
            "the unread ones could be fetched: how long it is since there was nothing to read.",
            ["topic", "partition"],
            registry=r,
        )
        self.freshness = Histogram(
            "syncline_freshness_seconds",
            "From the commit in the source database to Elasticsearch's acknowledgement, per record.",
            buckets=sorted({*FRESHNESS_EDGES, self.settings.freshness_slo}),
            registry=r,
        )
        self.freshness_missed = Counter(
            "syncline_freshness_missed",
            "Records of that histogram that took longer than `metrics.freshness_slo`: what alerts divide by its count.",
            registry=r,
        )
        self.freshness_slo = Gauge("syncline_freshness_slo_seconds", "The setting `metrics.freshness_slo`.", registry=r)
        self.tenant_records = Counter(
            "syncline_tenant_records",
            "Records by tenant and by what became of them: the busiest tenants by name (`metrics.tenants` of them), "
            "the rest as `other`. Records whose tenant was not read are not counted.",
            ["tenant", "verdict"],
            registry=r,
        )
        self.tenant_freshness_missed = Counter(
            "syncline_tenant_freshness_missed",
            "Records that took longer than `metrics.freshness_slo`, by tenant as above.",
            ["tenant"],
            registry=r,
        )
        self.oldest_unresolved = Gauge(
            "syncline_oldest_unresolved_seconds", "Age since its fetch of the oldest unresolved record.", registry=r
        )
        self.in_flight = Gauge(
            "syncline_in_flight_bytes", "Estimated memory of the records between fetch and verdict.", registry=r
        )

    def _of_work(self) -> None:
        r = self.registry
        self.paused = Gauge("syncline_fetch_paused", "1 while fetching is paused to bound memory.", registry=r)
        self.queued = Gauge("syncline_stage_queue_bytes", "Bytes waiting before a stage.", ["stage"], registry=r)
        self.stage = Histogram(
            "syncline_stage_duration_seconds",
            "Time of one step of a stage: reading what one fetch brought (`decode`), one lookup, one search or refresh "
            "to locate rows, one call of the model, one bulk request, one dead letter, one commit of offsets.",
            ["stage"],
            buckets=_DURATION_EDGES,
            registry=r,
        )
        self.texts = Counter("syncline_embedded_texts", "Texts that were given to the model.", registry=r)
        self.tokens = Counter(
            "syncline_embedded_tokens",
            "Tokens that the model embedded, special ones included, padding not.",
            registry=r,
        )
        self.token_places = Counter(
            "syncline_embedding_token_places",
            "Tokens and padding that the model computed: embedded tokens divided by these tell how full batches are.",
            registry=r,
        )
        self.model_seconds = Counter(
            "syncline_embedding_seconds", "Time that the model's thread was at work, tokenising included.", registry=r
        )
        self.truncated_texts = Counter(
            "syncline_truncated_texts",
            "Texts with more tokens than the model takes (`embedding.long_texts`), of which the end is in no vector.",
            registry=r,
        )
        self.lost_tokens = Counter(
            "syncline_truncated_tokens",
            "Tokens of those ends; estimated for what lies so far behind that it is not even tokenised.",
            registry=r,
        )
        self.reused = Counter(
            "syncline_reused_vectors",
            "Documents that needed no embedding because their text has a vector: `stored` with the document, in the "
            "`cache`, or of another document in the `same_call`.",
            ["origin"],
            registry=r,
        )
        self.cache_misses = Counter(
            "syncline_vector_cache_misses", "Texts that were looked for in the cache and not found.", registry=r
        )
        self.cache_bytes = Gauge("syncline_vector_cache_bytes", "Memory of the vectors in the cache.", registry=r)
        self.located = Counter(
            "syncline_located",
            "Rows that the index was searched for because no event tells all their places, by where they were found: "
            "`here` (only where the change writes), `elsewhere` (the row had moved, or is deleted), `nowhere`.",
            ["where"],
            registry=r,
        )
        self.truncated = Counter(
            "syncline_truncated_documents",
            "Documents that became tombstones because their table was truncated (`truncate: delete_all`).",
            ["source"],
            registry=r,
        )
        self.bulk_items = Counter("syncline_bulk_items", "Bulk items by HTTP status class.", ["status"], registry=r)
        self.bulk_requests = Counter(
            "syncline_bulk_requests",
            "Bulk requests by outcome: `answered` item by item, `too_large`, or why there was no such answer.",
            ["outcome"],
            registry=r,
        )
        self.bulk_bytes = Counter("syncline_bulk_bytes", "Bytes of bulk bodies sent, retries included.", registry=r)
        self.retries = Counter(
            "syncline_retries", "Requests or items sent again, by reason.", ["operation", "reason"], registry=r
        )
        self.rebalances = Counter("syncline_rebalances", "Assignments of partitions to this worker.", registry=r)
        self.partitions = Gauge(
            "syncline_assigned_partitions", "Partitions that this worker reads: 0 is one worker too many.", registry=r
        )
        self.commits = Counter("syncline_commits", "Offset commits by outcome.", ["outcome"], registry=r)
        self.ready = Gauge(
            "syncline_ready",
            "1 while `/readyz` answers that the worker is ready: in its group, not halted, not backing off, with Kafka "
            "and the write alias within reach. 0 while it starts, too.",
            registry=r,
        )
        self.halted = Gauge(
            "syncline_halted",
            "1 while the worker consumes nothing because of a fault that is no record's, by reason; else 0.",
            ["reason"],
            registry=r,
        )
        self.halts = Counter(
            "syncline_halts",
            "Halts declared, by reason: a short one may fall between two scrapes.",
            ["reason"],
            registry=r,
        )
        self.bulk_limit = Gauge(
            "syncline_bulk_concurrency_limit",
            "Bulk requests that may be in flight now; falls under pressure, grows back up to batch.bulk_concurrency.",
            registry=r,
        )
        self.embed_limit = Gauge(
            "syncline_embed_concurrency_limit",
            "Calls of the model that may be in flight now: 2 for a model of this process; behind HTTP the limit falls "
            "under pressure, and grows back up to embedding.http.concurrency.",
            registry=r,
        )
        self.nulled = Counter(
            "syncline_nulled_fields",
            "Field values that could not be converted and became null, by `on_bad_field: null`.",
            ["source"],
            registry=r,
        )
        self.dead_letters = Counter(
            "syncline_dead_letters", "Records written to the dead-letter topic.", ["reason"], registry=r
        )

    def _of_the_process(self) -> None:
        r = self.registry
        self.last_progress = Gauge(
            "syncline_last_progress_timestamp_seconds",
            "When a record was resolved last, or work on one went on that takes long by nature: deleting the documents "
            "of a truncated table.",
            registry=r,
        )
        self.loop_delay = Histogram(
            "syncline_event_loop_delay_seconds",
            "How late the event loop wakes a timer: what it was blocked for.",
            buckets=_DURATION_EDGES,
            registry=r,
        )
        self.loop_delay_max = Gauge(
            "syncline_event_loop_delay_max_seconds", "Longest such delay since the start.", registry=r
        )
        self.build_info = Gauge(
            "syncline_build_info",
            "Always 1; version of the worker, and the model it embeds with.",
            ["version", "model"],
            registry=r,
        )
        self.model_info = Gauge(
            "syncline_model_info",
            "Always 1; the model, the length of its vectors, and how it runs.",
            ["model", "dimensions", "device", "precision"],
            registry=r,
        )
        self.api_key_expiry = Gauge(
            "syncline_api_key_expiry_timestamp_seconds",
            "When the worker's API key of Elasticsearch expires; absent for a key that does not, and for a password.",
            ["name"],
            registry=r,
        )

    def _of_the_cluster(self) -> None:
        """Set by the one worker that looks at Elasticsearch for all (`runtime/cluster_watch.py`)."""
        r = self.registry
        self.cluster_up = Gauge(
            "syncline_cluster_view_up",
            "1 while this worker is the one that asks Elasticsearch how it is, and gets an answer. Where it is 0, none "
            "of the gauges below has a series.",
            registry=r,
        )
        self.cluster_status = Gauge(
            "syncline_cluster_status", "1 for what the cluster's health is, 0 for the others.", ["status"], registry=r
        )
        self.cluster_disk = Gauge(
            "syncline_cluster_disk_used_ratio",
            "Share of the disk that is used, by node: of its fullest data path.",
            ["node"],
            registry=r,
        )
        self.cluster_rejected = Counter(
            "syncline_cluster_rejected_threads",
            "Requests that a thread pool had no room for, since this worker first looked.",
            ["node", "pool"],
            registry=r,
        )
        self.cluster_trips = Counter(
            "syncline_cluster_breaker_trips",
            "Requests that a circuit breaker refused to save memory, since this worker first looked.",
            ["node", "breaker"],
            registry=r,
        )
        self.cluster_queries = Counter(
            "syncline_cluster_queries", "Queries of the index, counted once a shard, by whomever.", registry=r
        )
        self.cluster_query_seconds = Counter(
            "syncline_cluster_query_seconds", "Time that those queries took on their shards.", registry=r
        )
        self.cluster_indexed = Counter(
            "syncline_cluster_indexed", "Documents written to the index, counted once a copy, by whomever.", registry=r
        )
        self.cluster_indexing_seconds = Counter(
            "syncline_cluster_indexing_seconds", "Time that those writes took.", registry=r
        )
        self.query_slo = Gauge("syncline_query_slo_seconds", "The setting `metrics.query_slo`.", registry=r)
        self.index_bytes = Gauge(
            "syncline_index_store_bytes", "Size on disk, copies included, by index.", ["index"], registry=r
        )
        self.index_documents = Gauge(
            "syncline_index_documents",
            "Documents, the marks of deleted rows included, by index.",
            ["index"],
            registry=r,
        )

    def totals(self) -> dict[str, object]:
        """Return how many records were consumed, and how many had each verdict, with its reason where it has one."""
        consumed = sum(int(one.value) for one in _samples(self.consumed))
        verdicts = {
            ": ".join(filter(None, (one.labels["verdict"], one.labels["reason"]))): int(one.value)
            for one in _samples(self.records)
        }
        return {"consumed": consumed, "verdicts": verdicts}

    def _begin(self) -> None:
        self.freshness_slo.set(self.settings.freshness_slo)
        self.query_slo.set(self.settings.query_slo)
        for reason in RejectReason:
            self.dead_letters.labels(reason.value)
        for halt in HaltReason:
            self.halts.labels(halt.value)
        for outcome in ("ok", "refused", "failed"):
            self.commits.labels(outcome)


def _samples(counter: Counter) -> Iterator[Sample]:
    """Yield what a counter counts, by its labels."""
    return (sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total"))
