"""What it costs to locate rows whose places no event tells, beside the lookup that every batch pays for.

    python -m tests.benchmarks.locate [--servers jvm] [--documents 50000]

Prints milliseconds a batch, the median of several, on an index of documents with text and vectors. `lookup` is the
multi-get of a source whose events tell every place: the baseline. `bare` is the same without the vectors, and `+
vectors` a second multi-get after it that brings those of half of the rows. `+ search` is the same with the places
of the rows' keys in the multi-get and one search; `+ refresh` also refreshes before, as happens once a second; each
batch is written again before it, so that there is something to refresh. `written whole` is one bulk request for the
batch, to compare with. The last line is what an unpositioned change pays to be compared with what is stored: the
multi-get with whole bodies.
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tests.contract.index_bench import Bench, article, real_bench, send, vector, write
from tests.servers.addresses import Kind
from tests.servers.start import start
from worker.records import DocumentWrite, Place
from worker.stages.identity import key_place_id

BATCHES: Final = (1, 100, 500)
RUNS: Final = 7
TEXT: Final = "The quick brown fox jumps over the lazy dog, again and again. " * 16
TENANTS: Final = 20


def key(number: int) -> str:
    return f"articles/{number}"


def place(number: int) -> Place:
    tenant = f"tenant-{number % TENANTS}"
    return Place(f"{tenant}/{number}", tenant)


def key_place(number: int) -> Place:
    found = key_place_id(key(number))
    return Place(found, found)


def document(number: int, version: int) -> DocumentWrite:
    body = article(f"Title {number}", version, place(number).tenant, content=TEXT, embedding=vector(number % 100))
    body["sync"]["key"] = key(number)
    return write(place(number), version, body)


async def milliseconds(measured: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await measured()
    return 1000 * (time.perf_counter() - started)


class Measured:
    """One size of batch on one index."""

    def __init__(self, bench: Bench, size: int, documents: int) -> None:
        self._bench = bench
        self._chance = np.random.default_rng(size)
        self._size = size
        self._documents = documents
        self._version = 1
        self._numbers: Sequence[int] = ()

    async def row(self) -> str:
        """All take turns, so that they meet the machine in the same moods; other rows each time."""
        steps = {
            self.lookup: self._draw,
            self.bare: self._draw,
            self.in_two: self._draw,
            self.search: self._draw,
            self.refresh: self._write,
            self.rewrite: self._draw,
            self.whole: self._draw,
        }
        taken: list[list[float]] = [[] for _ in steps]
        for _ in range(RUNS):
            for times, (step, before) in zip(taken, steps.items(), strict=True):
                await before()
                times.append(await milliseconds(step))
            await self._bench.locator.refresh()
        lookup, bare, in_two, search, refresh, bulk, whole = map(statistics.median, taken)
        first = f"{self._size:>6}{lookup:>10.1f}{bare:>8.1f}{in_two:>11.1f}"
        return f"{first}{search:>10.1f}{refresh:>11.1f}{bulk:>15.1f}{whole:>14.1f}"

    async def _draw(self) -> None:
        self._numbers = sorted(set(self._chance.integers(self._documents, size=self._size).tolist()))

    async def lookup(self) -> None:
        await self._bench.store.stored([place(number) for number in self._numbers])

    async def bare(self) -> None:
        places = [place(number) for number in self._numbers]
        await self._bench.store.stored(places, bare=set(places))

    async def in_two(self) -> None:
        await self.bare()
        await self._bench.store.stored([place(number) for number in self._numbers[::2]])

    async def whole(self) -> None:
        places = [place(number) for number in self._numbers]
        await self._bench.store.stored(places, set(places))

    async def search(self) -> None:
        places = [one for number in self._numbers for one in (place(number), key_place(number))]
        await self._bench.store.stored(places)
        found = await self._bench.locator.places([key(number) for number in self._numbers])
        assert len(found) == len(self._numbers)

    async def refresh(self) -> None:
        await self._bench.locator.refresh()
        await self.search()

    async def rewrite(self) -> None:
        self._version += 1
        await send(self._bench.sink, *(document(number, self._version) for number in self._numbers))

    async def _write(self) -> None:
        await self._draw()
        await self.rewrite()


async def measure(url: str, documents: int) -> None:
    """Fill an index and print a table."""
    async with real_bench(url, keys=1000, page=1000) as bench:
        for begin in range(0, documents, 500):
            await send(bench.sink, *(document(number, 1) for number in range(begin, min(begin + 500, documents))))
        await bench.locator.refresh()
        print(f"{documents} documents in 5 shards; milliseconds a batch, median of {RUNS}")  # noqa: T201
        print("  rows    lookup    bare  + vectors  + search  + refresh  written whole  lookup whole")  # noqa: T201
        await Measured(bench, 100, documents).row()  # the server has to warm up
        for size in BATCHES:
            print(await Measured(bench, size, documents).row())  # noqa: T201


def main() -> None:
    """Start a server, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=Kind, default=Kind.EMBEDDED)
    parser.add_argument("--documents", type=int, default=50_000)
    given = parser.parse_args()
    # Whoever ends this by a signal must not leave its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # some servers run on another account
        with start(given.servers, data_dir=Path(folder)) as servers:
            asyncio.run(measure(servers.elasticsearch, given.documents))


if __name__ == "__main__":
    main()
