"""What the demo prints while it runs."""

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_INTERVAL: Final = 0.25
_LINE_SECONDS: Final = 10
Result = TypeVar("Result")


class Figures:
    """The worker's own metrics, read as its operators read them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def value(self, name: str, **labels: str) -> float:
        """Return one sample, 0 where it has not been set yet."""
        return self._registry.get_sample_value(name, labels or None) or 0.0

    def total(self, name: str) -> float:
        """Return the sum of a metric over all its labels."""
        return sum(
            sample.value for family in self._registry.collect() for sample in family.samples if sample.name == name
        )

    def by(self, name: str, label: str) -> dict[str, int]:
        """Return a counter's values by one of its labels."""
        values: dict[str, int] = {}
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.name == name:
                    key = sample.labels[label]
                    values[key] = values.get(key, 0) + int(sample.value)
        return values

    def freshness(self, quantile: float) -> float:
        """Return an upper bound in seconds of a quantile of the freshness: the edge of its bucket."""
        buckets = {
            float(sample.labels["le"]): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == "syncline_freshness_seconds_bucket"
        }
        wanted = quantile * max(buckets.values(), default=0)
        return next((edge for edge in sorted(buckets) if buckets[edge] >= wanted), 0.0)


async def watched(
    console: Console, figures: Figures, total: int, run: Coroutine[None, None, Result], worker: asyncio.Task[None]
) -> Result:
    """Await `run` under a progress bar of records, with rate, lag and freshness.

    Raises what `worker` ends with, if it ends first.
    """
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:>5.0f}/s  lag {task.fields[lag]:>5}  fresh {task.fields[fresh]}"),
        TimeElapsedColumn(),
    )
    task = asyncio.create_task(run)
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("records", total=total, rate=0.0, lag=total, fresh="-")
        started, told = asyncio.get_running_loop().time(), 0.0
        while True:
            ended, _ = await asyncio.wait([task, worker], timeout=_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
            done = int(figures.total("syncline_records_total"))
            seconds = asyncio.get_running_loop().time() - started
            fresh = figures.freshness(0.5)
            progress.update(
                bar, completed=done, rate=done / seconds, lag=total - done, fresh=f"< {fresh:g} s" if fresh else "-"
            )
            if not console.is_terminal and seconds >= told + _LINE_SECONDS:
                told = seconds
                console.print(f"  {done} of {total} records, {done / seconds:.0f}/s")
            if worker in ended:
                task.cancel()
                await worker
            if ended:
                return await task
