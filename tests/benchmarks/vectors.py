"""What a vector costs as base64 and as an array of numbers: bytes, serialising, and a server's time.

    python -m tests.benchmarks.vectors [URL]

Prints, for documents as the worker writes them, the bytes and the microseconds of processor time to serialise one.
With the URL of an Elasticsearch of 9.3 or later also the milliseconds of a bulk request of them: the two forms take
turns, each round into an index of its own, and the median of the rounds counts.
"""

import asyncio
import statistics
import sys
import time
import timeit
from typing import Final

from tests.builders import change
from tests.contract.index_bench import DIMENSIONS, real_bench, vector
from worker.records import DocumentWrite
from worker.stages.bulk import item_bytes
from worker.stages.documents import document

DOCUMENTS: Final = 1000
ROUNDS: Final = 7
FORMS: Final = {"floats": False, "base64": True}
VECTORS: Final = [vector(number) for number in range(DOCUMENTS)]
FIELDS: Final = {"title": "How change events keep an index in step", "content": "A row changes, the log tells. " * 10}


def writes(*, packed: bool) -> list[DocumentWrite]:
    """One document for each vector."""
    return [
        document(change(1, row_id=number), FIELDS, "hash", "model", one, packed=packed)
        for number, one in enumerate(VECTORS)
    ]


def serialising_us(*, packed: bool) -> float:
    timer = timeit.Timer(lambda: writes(packed=packed), timer=time.process_time)
    return min(timer.repeat(ROUNDS, 1)) / DOCUMENTS * 1e6


async def bulk_ms(url: str) -> dict[str, float]:
    """Return the median time of one bulk request in each form."""
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(ROUNDS):
        for name, packed in FORMS.items():
            async with real_bench(url) as bench:
                items = [item_bytes(write, bench.sink.target) for write in writes(packed=packed)]
                started = time.perf_counter()
                responses = await bench.sink.bulk(b"".join(items), len(items))
                times[name].append((time.perf_counter() - started) * 1000)
                assert all(response.status == 201 for response in responses), responses[0]
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print a table."""
    served = asyncio.run(bulk_ms(sys.argv[1])) if len(sys.argv) > 1 else {}
    print(f"{DOCUMENTS} documents, {DIMENSIONS} dimensions")  # noqa: T201
    print(f"{'vectors':<10}{'bytes':>8}{'serialise us':>14}{'bulk ms':>10}")  # noqa: T201
    for name, packed in FORMS.items():
        size = sum(len(write.body) for write in writes(packed=packed)) / DOCUMENTS
        bulk = f"{served[name]:.0f}" if served else "-"
        print(f"{name:<10}{size:>8.0f}{serialising_us(packed=packed):>14.1f}{bulk:>10}")  # noqa: T201


if __name__ == "__main__":
    main()
