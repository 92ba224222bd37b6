"""`syncline demo`: the whole path on one machine, on real text, in a few minutes; what a newcomer runs first.

Embedded servers, `apply`, a change feed in Debezium's form through Kafka into the worker as it is, then the check that
index and table agree, and searches that show what it is for.
"""

import asyncio
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from rich.console import Console

from worker import logs
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_scan import scan
from worker.adapters.kafka_feed import create_topic, kafka_feed
from worker.app.index import apply_index
from worker.app.worker import served_pipeline
from worker.control.apply import render
from worker.demo.compare import Comparison, compare
from worker.demo.corpus import pick, read_corpus
from worker.demo.embedded import EmbeddedServers, EmbeddedServersError
from worker.demo.ending import Ending
from worker.demo.feed import FeedRecord, expected_rows, feed
from worker.demo.model import embedding_settings
from worker.demo.searches import show_searches
from worker.demo.showing import Figures, watched
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.runtime.daemon import first_cause
from worker.runtime.pipeline import Pipeline
from worker.settings import Settings
from worker.settings.worker import LogSettings

TOPIC: Final = "demo.public.articles"
DEAD_LETTER_TOPIC: Final = "demo.dead-letters"
_SEED: Final = 7
_INTERRUPTED: Final = 130
_PARTITIONS: Final = 2
_CHUNK: Final = 100
_POLL_SECONDS: Final = 0.1
_SHARE_OF_ROWS: Final = 0.6
"""The first part of the events is the snapshot of the table, the rest are changes of it."""


def run_demo(*, events: int, keep: bool) -> int:
    """Run the demo; return the exit code: 0 if index and table agree at the end.

    Raises:
        OperatorError: the extra `demo` is not installed, or `events` is too small to show anything.
    """
    if events < 100:  # noqa: PLR2004 - a handful shows nothing
        raise OperatorError(f"demo: --events {events} is too few to show anything: give at least 100")
    console = Console(highlight=False)
    logs.configure(LogSettings(level="warning"))
    ending, stopped = Ending(), 0 if keep else _INTERRUPTED
    # Its servers are processes of their own: they must not outlive it, however it is asked to end.
    with ending.heeded(), (place := tempfile.TemporaryDirectory(prefix="syncline-demo-")) as folder:
        try:
            with EmbeddedServers(Path(folder)) as servers:
                ending.leave = partial(_leave, console, servers, place, stopped)
                content = demo_content(servers.kafka_bootstrap, servers.elasticsearch_url)
                file = Path(folder) / "syncline.yaml"
                file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
                settings = Settings.model_validate(content)
                return asyncio.run(ending.cancels(_demo(console, settings, events, file if keep else None, ending)))
        except BaseExceptionGroup as group:
            raise first_cause(group) or group from group
        except EmbeddedServersError as error:
            raise OperatorError(f"demo: {error}") from error
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("\nstopped")
            return stopped


def _leave(
    console: Console, servers: EmbeddedServers, place: tempfile.TemporaryDirectory[str], exit_code: int
) -> NoReturn:
    """End without waiting for the model, which loads in a thread that nothing can stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        servers.stop()
        place.cleanup()
        console.print("\nstopped")
        console.file.flush()
    finally:
        os._exit(exit_code)


def demo_content(kafka: str, elasticsearch: str) -> dict[str, Any]:
    """Return what the settings file of the demo's worker holds."""
    fields = {name: name for name in ("title", "content", "tags", "published", "url")}
    source = {
        "name": "articles",
        "topics": [TOPIC],
        "id": ["id"],
        "tenant": "tenant",
        "fields": fields,
        "embed": ["title", "content"],
    }
    return {
        "kafka": {"bootstrap_servers": [kafka], "group_id": "syncline-demo", "dead_letter_topic": DEAD_LETTER_TOPIC},
        "elasticsearch": {"hosts": [elasticsearch]},
        "sources": [source],
        "embedding": embedding_settings(),
        "server": {"port": 0},
    }


async def _demo(console: Console, settings: Settings, events: int, file: Path | None, ending: Ending) -> int:
    """Do all of it; with the settings' `file`, stay up. Until the model is loaded, there is nothing to finish."""
    console.rule("Syncline demo", align="left")
    console.print(f"Kafka at {settings.kafka.bootstrap_servers[0]}, Elasticsearch at {settings.elasticsearch.urls[0]}")
    console.print("\n[bold]1. syncline apply[/bold]: the index and its aliases")
    console.print(render(await apply_index(settings, dry_run=False)))
    await create_topic(settings.kafka, TOPIC, _PARTITIONS)
    await create_topic(settings.kafka, DEAD_LETTER_TOPIC, 1)
    metrics = Metrics(settings.metrics)
    async with served_pipeline(settings, metrics) as (pipeline, url):
        ending.leave = None
        running = asyncio.create_task(pipeline.run())
        try:
            agrees = await _stream_and_search(console, settings, metrics, pipeline, running, events)
            _where_next(console, settings, url, file)
            if file is not None:
                await running
        finally:
            pipeline.stop()
            await running
    return 0 if agrees else 1


async def _stream_and_search(
    console: Console, settings: Settings, metrics: Metrics, pipeline: Pipeline, worker: asyncio.Task[None], events: int
) -> bool:
    documents = pick(await asyncio.to_thread(read_corpus), max(50, int(events * _SHARE_OF_ROWS)))
    steps = events - len(documents)
    tenants = len({document.tenant for document in documents})
    console.print("\n[bold]2. syncline run[/bold]: a change feed in Debezium's form")
    console.print(
        f"  a table of {len(documents)} documentation strings of Python's standard library, whose\n"
        f"  {tenants} modules are the tenants; then {steps} updates, deletes, moves to other tenants"
    )
    records = list(feed(documents, steps, _SEED))
    figures = Figures(metrics.registry)
    live = feed(documents, steps, _SEED, clock=lambda: time.time_ns() // 1_000_000)
    await watched(console, figures, len(records), _stream(settings, live, figures, len(records)), worker)
    _figures(console, figures)

    console.print("\n[bold]3. Do table and index agree?[/bold]")
    async with build_client(settings.elasticsearch) as client:
        comparison = await compare(expected_rows(documents, steps, _SEED), scan(client, settings.index.reader_alias))
    _told(console, comparison)
    console.print("\n[bold]4. The same question, two tenants[/bold]")
    await show_searches(console, settings, pipeline.embedder, documents)
    return comparison.agrees


async def _stream(settings: Settings, records: Iterable[FeedRecord], figures: Figures, total: int) -> None:
    """Send the feed a piece at a time, as time passes in the database, and wait until the worker has done it all."""
    async with kafka_feed(settings.kafka) as writer:
        for piece in _pieces(records):
            await writer.send(TOPIC, [(record.key, record.value, record.headers) for record in piece])
            sent_ahead = 2 * _CHUNK
            while (
                figures.total("syncline_records_consumed_total") - figures.total("syncline_records_total") > sent_ahead
            ):
                await asyncio.sleep(_POLL_SECONDS)
    while figures.total("syncline_records_total") < total:
        await asyncio.sleep(_POLL_SECONDS)


def _pieces(records: Iterable[FeedRecord]) -> Iterator[list[FeedRecord]]:
    iterator = iter(records)
    while piece := list(itertools.islice(iterator, _CHUNK)):
        yield piece


def _figures(console: Console, figures: Figures) -> None:
    verdicts = figures.by("syncline_records_total", "verdict")
    console.print("  verdicts: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    console.print(
        f"  {figures.total('syncline_embedded_texts_total'):.0f} texts embedded, "
        f"{figures.total('syncline_reused_vectors_total'):.0f} vectors reused, "
        f"freshness p99 < {figures.freshness(0.99):g} s"
    )


def _told(console: Console, comparison: Comparison) -> None:
    console.print(
        f"  {comparison.rows} rows, {comparison.documents} documents that readers can see: "
        f"{len(comparison.missing)} missing, {len(comparison.ghosts)} ghosts, {len(comparison.different)} different"
    )
    console.print("  [green]they agree[/green]" if comparison.agrees else "  [red]they do not agree[/red]")


def _where_next(console: Console, settings: Settings, url: str, file: Path | None) -> None:
    console.print("\n[bold]Where next[/bold]")
    if file is not None:
        hosts = settings.elasticsearch.urls[0]
        console.print(f"  metrics        {url}/metrics   (also /livez and /readyz)")
        search = f"{hosts}/{settings.index.reader_alias}/_search?routing=asyncio&q=content:task"
        console.print(f"  Elasticsearch  {search}", soft_wrap=True)
        console.print(f"  Kafka          {settings.kafka.bootstrap_servers[0]}, topic {TOPIC}")
        console.print(f"  bad records    topic {DEAD_LETTER_TOPIC}, with the reason in their headers")
        console.print(f"  settings       {file}, for every command:", soft_wrap=True)
        console.print(f"                 syncline status --config {file} --worker {url}", soft_wrap=True)
        console.print("  Ctrl-C ends it.")
    else:
        console.print("  syncline demo --keep        stays up, with addresses to look at")
        console.print("  syncline config schema      every setting, with its reason")
        console.print("  docs/architecture.md        how it works, on one page")
