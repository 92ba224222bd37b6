"""Many seeds at once, on several processors."""

import multiprocessing
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tests.simulation.drawing import NOTHING_MORE, Allowed, draw
from tests.simulation.perform import perform

_CHUNK: Final = 25
# Tasks that a story killed are never all let go: after some hundred stories a process is large and slow.
_CHUNKS_A_PROCESS: Final = 20


class Failure(NamedTuple):
    """A seed whose story violates something."""

    seed: int
    text: str


def failures(seeds: Sequence[int], allowed: Allowed = NOTHING_MORE) -> Iterator[Failure]:
    """Perform the stories of these seeds and yield those that fail."""
    for seed in seeds:
        if (violation := perform(draw(seed, allowed)).violation) is not None:
            yield Failure(seed, str(violation))


def in_parallel(
    first: int, count: int, jobs: int, allowed: Allowed = NOTHING_MORE
) -> Iterator[tuple[int, list[Failure]]]:
    """Yield, as they are done, how many stories a chunk had and which of them failed."""
    chunks = [
        (range(start, min(start + _CHUNK, first + count)), allowed) for start in range(first, first + count, _CHUNK)
    ]
    with multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=_CHUNKS_A_PROCESS) as pool:
        yield from pool.imap_unordered(_chunk, chunks)


def _chunk(what: tuple[range, Allowed]) -> tuple[int, list[Failure]]:
    seeds, allowed = what
    return len(seeds), list(failures(seeds, allowed))
