"""What the dashboard shows: its questions, and the panels that answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

JOB: Final = 'job=~"$job"'
_BUDGET: Final = "0.01"


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries` maps legends to PromQL; `limits` are the values from which a number turns yellow and red."""

    title: str
    about: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 6
    limits: tuple[float, float] | None = None
    is_good: bool = False
    """Whether large numbers are the good ones."""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question, and what answers it."""

    title: str
    height: int
    panels: Sequence[Panel] = field(default_factory=tuple)
    collapsed: bool = False
    """Whether it is opened by hand: what all need at once has to fit on a screen."""


def rate(metric: str, by: str, **labels: str) -> str:
    """Return how fast a counter rises, summed over workers."""
    chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f"sum by ({by}) (rate({metric}{{{JOB}{chosen}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "le") -> str:
    """Return a quantile of a histogram over all workers."""
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{JOB}}}[$__rate_interval])))"


def highest(metric: str, by: str = "", **labels: str) -> str:
    """Return the highest value of a gauge over all workers."""
    chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f"max{f' by ({by})' if by else ''} ({metric}{{{JOB}{chosen}}})"


def missed(window: str) -> str:
    """Return the share of changes that took longer than promised."""
    late = f"sum(increase(syncline_freshness_missed_total{{{JOB}}}[{window}]))"
    return f"{late} / sum(increase(syncline_freshness_seconds_count{{{JOB}}}[{window}]))"


ROWS: Final = (
    Row(
        "Is search fresh?",
        5,
        (
            Panel(
                "Fresh, last hour",
                "Share of the changes that were searchable within the promise after their commit.",
                {"fresh": f"1 - ({missed('1h')})"},
                unit="percentunit",
                kind="stat",
                width=3,
                limits=(0.95, 0.99),
                is_good=True,
            ),
            Panel(
                "Behind",
                "Age of the oldest change that is not indexed.",
                {"behind": highest("syncline_lag_seconds")},
                unit="s",
                kind="stat",
                width=3,
                limits=(10, 300),
            ),
            Panel(
                "Budget left, 30 days",
                "What is left of the 1 % of changes that may be late.",
                {"left": f"1 - ({missed('30d')}) / {_BUDGET}"},
                unit="percentunit",
                kind="stat",
                width=3,
                limits=(0.1, 0.5),
                is_good=True,
            ),
            Panel(
                "Freshness",
                "From the commit in the database to the acknowledgement by Elasticsearch.",
                {
                    "p50": quantile(0.5, "syncline_freshness_seconds"),
                    "p95": quantile(0.95, "syncline_freshness_seconds"),
                    "p99": quantile(0.99, "syncline_freshness_seconds"),
                    "promise": highest("syncline_freshness_slo_seconds"),
                },
                unit="s",
                width=8,
            ),
            Panel(
                "Lag",
                "Records that are not resolved, by partition.",
                {"{{topic}} {{partition}}": f"sum by (topic, partition) (syncline_lag_records{{{JOB}}})"},
                width=7,
                stacked=True,
            ),
        ),
    ),
    Row(
        "What is the bottleneck?",
        5,
        (
            Panel(
                "Busy, by stage",
                "Seconds of work a second: a stage at 1 (bulk: at its concurrency) for each worker is the bottleneck.",
                {"{{stage}}": rate("syncline_stage_duration_seconds_sum", "stage")},
            ),
            Panel(
                "Waiting before a stage",
                "The queue before the bottleneck is full, those after it are empty.",
                {"{{stage}}": f"sum by (stage) (syncline_stage_queue_bytes{{{JOB}}})"},
                unit="bytes",
            ),
            Panel(
                "Records by verdict",
                "What became of the records, a second; consumed is what comes in.",
                {
                    "{{verdict}}": rate("syncline_records_total", "verdict"),
                    "consumed": f"sum(rate(syncline_records_consumed_total{{{JOB}}}[$__rate_interval]))",
                },
                unit="cps",
            ),
            Panel(
                "Retries and bulk outcomes",
                "Why requests are sent again, and how bulk requests end.",
                {
                    "{{operation}} {{reason}}": rate("syncline_retries_total", "operation, reason"),
                    "bulk {{outcome}}": rate("syncline_bulk_requests_total", "outcome"),
                },
                unit="cps",
            ),
        ),
    ),
    Row(
        "Which tenant?",
        5,
        (
            Panel(
                "Busiest tenants",
                "Records a second; tenants without a name of their own count as other.",
                {"{{tenant}}": f"topk(10, {rate('syncline_tenant_records_total', 'tenant')})"},
                unit="cps",
                width=8,
            ),
            Panel(
                "Tenants with late changes",
                "Changes that took longer than the promise, a second.",
                {"{{tenant}}": f"topk(10, {rate('syncline_tenant_freshness_missed_total', 'tenant')})"},
                unit="cps",
                width=8,
            ),
            Panel(
                "Tenants with rejected records",
                "Records in the dead-letter topic, a second.",
                {"{{tenant}}": f"topk(10, {rate('syncline_tenant_records_total', 'tenant', verdict='dead_lettered')})"},
                unit="cps",
                width=8,
            ),
        ),
    ),
    Row(
        "What now?",
        5,
        (
            Panel(
                "Alerts that fire",
                "Each has an entry in deploy/README.md.",
                {
                    "{{alertname}} {{severity}} {{reason}}": "count by (alertname, severity, reason) "
                    '(ALERTS{alertname=~"Syncline.*", alertstate="firing"})'
                },
                kind="stat",
                width=8,
                limits=(1, 2),
            ),
            Panel(
                "Halted, because",
                "1 while a worker consumes nothing, by reason: docs/halts.md.",
                {"{{reason}}": f"{highest('syncline_halted', 'reason')} > 0"},
                kind="stat",
                width=4,
                limits=(0.5, 1),
            ),
            Panel(
                "Dead letters, by reason",
                "`syncline dead-letters list` shows them.",
                {"{{reason}}": f"sum by (reason) (increase(syncline_dead_letters_total{{{JOB}}}[1h])) > 0"},
                width=4,
            ),
            Panel(
                "Workers",
                "Workers with their partitions; one with 0 is one too many.",
                {"{{instance}}": f"syncline_assigned_partitions{{{JOB}}}"},
                width=4,
            ),
            Panel(
                "Rebalances and commits that failed",
                "In the last 15 minutes.",
                {
                    "rebalances {{instance}}": f"increase(syncline_rebalances_total{{{JOB}}}[15m])",
                    "commits {{outcome}}": "sum by (outcome) "
                    f'(increase(syncline_commits_total{{{JOB}, outcome!="ok"}}[15m]))',
                },
                width=4,
            ),
        ),
    ),
    Row(
        "More on the bottleneck",
        7,
        (
            Panel(
                "One step, p99",
                "How long one call of a stage takes.",
                {"{{stage}}": quantile(0.99, "syncline_stage_duration_seconds", by="le, stage")},
                unit="s",
            ),
            Panel(
                "Memory and pressure",
                "In flight between fetch and verdict; fetching pauses when it is too much.",
                {
                    "resident, the largest worker": highest("process_resident_memory_bytes"),
                    "in flight": f"sum(syncline_in_flight_bytes{{{JOB}}})",
                    "workers paused": f"sum(syncline_fetch_paused{{{JOB}}})",
                },
                unit="bytes",
            ),
            Panel(
                "Bulk requests at a time",
                "The limit falls while Elasticsearch is overloaded.",
                {"{{instance}}": f"syncline_bulk_concurrency_limit{{{JOB}}}"},
            ),
            Panel(
                "Event loop, p99",
                "How late the loop wakes a timer: more than 0.1 s is something that blocks it.",
                {"delay": quantile(0.99, "syncline_event_loop_delay_seconds")},
                unit="s",
            ),
        ),
        collapsed=True,
    ),
    Row(
        "What does embedding cost?",
        6,
        (
            Panel(
                "Spared, last hour",
                "Documents that needed no call of the model, because their text has a vector.",
                {
                    "spared": f"sum(increase(syncline_reused_vectors_total{{{JOB}}}[1h])) "
                    f"/ (sum(increase(syncline_reused_vectors_total{{{JOB}}}[1h])) "
                    f"+ sum(increase(syncline_embedded_texts_total{{{JOB}}}[1h])))"
                },
                unit="percentunit",
                kind="stat",
                width=3,
            ),
            Panel(
                "Vectors",
                "Embedded by the model, or taken from the document, the cache or another text of the same call.",
                {
                    "embedded": f"sum(rate(syncline_embedded_texts_total{{{JOB}}}[$__rate_interval]))",
                    "{{origin}}": rate("syncline_reused_vectors_total", "origin"),
                },
                unit="cps",
                width=6,
                stacked=True,
            ),
            Panel(
                "Model at work",
                "Seconds of work a second: at 1 a worker's model has no time left, and more workers help.",
                {"{{instance}}": rate("syncline_embedding_seconds_total", "instance")},
                width=5,
            ),
            Panel(
                "Tokens",
                "Embedded, and computed with the padding of batches.",
                {
                    "embedded": f"sum(rate(syncline_embedded_tokens_total{{{JOB}}}[$__rate_interval]))",
                    "with padding": f"sum(rate(syncline_embedding_token_places_total{{{JOB}}}[$__rate_interval]))",
                },
                unit="cps",
                width=5,
            ),
            Panel(
                "Cut texts",
                "Longer than the model takes: no search by meaning finds their ends (embedding.long_texts).",
                {"texts": f"sum(rate(syncline_truncated_texts_total{{{JOB}}}[$__rate_interval]))"},
                unit="cps",
                width=5,
            ),
        ),
        collapsed=True,
    ),
    Row(
        "Is Elasticsearch well?",
        6,
        (
            Panel(
                "Health",
                "0 green, 1 yellow, 2 red; empty where no worker may look (privilege monitor).",
                {
                    "status": f"{highest('syncline_cluster_status', status='yellow')} "
                    f"+ 2 * {highest('syncline_cluster_status', status='red')}"
                },
                kind="stat",
                width=3,
                limits=(1, 2),
            ),
            Panel(
                "Key expires in",
                "When the worker's API key ends.",
                {"{{name}}": f"min by (name) (syncline_api_key_expiry_timestamp_seconds{{{JOB}}}) - time()"},
                unit="s",
                kind="stat",
                width=3,
                limits=(86_400, 604_800),
                is_good=True,
            ),
            Panel(
                "Disks",
                "Used share by node: from 85 % on trouble begins.",
                {"{{node}}": highest("syncline_cluster_disk_used_ratio", "node")},
                unit="percentunit",
                width=4,
            ),
            Panel(
                "Average query and write",
                "On a shard, by whomever.",
                {
                    "query": f"sum(rate(syncline_cluster_query_seconds_total{{{JOB}}}[$__rate_interval])) "
                    f"/ sum(rate(syncline_cluster_queries_total{{{JOB}}}[$__rate_interval]))",
                    "write": f"sum(rate(syncline_cluster_indexing_seconds_total{{{JOB}}}[$__rate_interval])) "
                    f"/ sum(rate(syncline_cluster_indexed_total{{{JOB}}}[$__rate_interval]))",
                    "promise": highest("syncline_query_slo_seconds"),
                },
                unit="s",
                width=5,
            ),
            Panel(
                "Rejected, tripped",
                "Requests that found no room, or no memory.",
                {
                    "{{node}} {{pool}}": rate("syncline_cluster_rejected_threads_total", "node, pool"),
                    "{{node}} {{breaker}}": rate("syncline_cluster_breaker_trips_total", "node, breaker"),
                },
                unit="cps",
                width=4,
            ),
            Panel(
                "Index",
                "Size with copies, and documents.",
                {
                    "{{index}} bytes": highest("syncline_index_store_bytes", "index"),
                    "{{index}} documents": highest("syncline_index_documents", "index"),
                },
                width=5,
            ),
        ),
        collapsed=True,
    ),
)
