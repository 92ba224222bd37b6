"""The embedder beside one `SentenceTransformer.encode(all, batch_size=32)` in fp32: same model, texts and threads.

    python -m tests.benchmarks.embedder [--texts 800] [--rounds 3] [--threads 2] [--way fp32 --way bf16]

The texts are documentation strings of Python's standard library: real, most of them short, with a long tail; then some
at the edges (`embedder_texts.cases`). All ways take turns, each in a process of its own, so that a round meets the
machine in one mood; figures are medians over the rounds, ratios are of the same round. The clock stands beside
processor time, which tells more on a machine that others use too. `32 a call` is what the worker does at its default
`batch.embed_texts`; the others get all texts in one call, as `encode` does. `products` are the model's matrix products
for these texts' tokens alone, without padding, in torch's fp32: no way that computes in torch and fp32 can be faster.

Cosines and recall@10 (each text searched for among all others, its ten nearest) are taken against the baseline.
"""

import argparse
import contextlib
import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from tests.benchmarks.embedder_texts import Case, cases
from tests.benchmarks.results import Reach
from tests.benchmarks.ways import BASELINE, FULL, PRODUCTS, Alone, Taken, can_run, loaded
from worker.adapters.processor import available_processors
from worker.ports import Vectors

NEAREST: Final = 10
GOALS: Final = ((2.0, 0.9999), (3.0, 0.995))
"""Times the baseline, at which mean cosine."""
COLUMNS: Final = ("", "is", "texts/s", "tokens/s", "CPU ms/text", "CPU is", "mean cosine", "least", "recall@10")


@dataclass
class Timing:
    """Of one way: seconds by the clock and of the processors, round by round, and what came out."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def add(self, taken: Taken) -> None:
        self.wall.append(taken.wall)
        self.processor.append(taken.processor)
        self.vectors = self.vectors if taken.vectors is None else taken.vectors


@dataclass
class Measured:
    """A case, and what each way took."""

    case: Case
    tokens: list[int]
    longest: int
    timings: dict[str, Timing]

    @property
    def computed(self) -> int:
        """Tokens that the model computes, special ones included: what is longer than it takes is cut."""
        return sum(min(length, self.longest) for length in self.tokens)

    def times_baseline(self, way: str) -> float:
        return ratio(self.timings[way].wall, self.timings[BASELINE].wall)

    def cosines(self, way: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        found: np.ndarray[Any, np.dtype[np.float32]] = np.vecdot(
            self.timings[way].vectors, self.timings[BASELINE].vectors
        )
        return found

    def rows(self) -> list[list[str]]:
        return [self._row(way, timing) for way, timing in self.timings.items()]

    def _row(self, way: str, timing: Timing) -> list[str]:
        base, count = self.timings[BASELINE], len(self.case.texts)
        wall, processor = statistics.median(timing.wall), statistics.median(timing.processor)
        row = [
            way,
            f"{ratio(timing.wall, base.wall):.2f}x",
            f"{count / wall:,.1f}",
            f"{self.computed / wall:,.0f}",
            f"{1000 * processor / count:.2f}",
            f"{ratio(timing.processor, base.processor):.2f}x",
        ]
        if not len(timing.vectors):
            return [*row, "", "", ""]
        cosines, found = self.cosines(way), recall(timing.vectors, base.vectors)
        return [*row, f"{cosines.mean():.6f}", f"{cosines.min():.6f}", "" if found is None else f"{found:.4f}"]

    def told(self) -> str:
        """The case in a sentence."""
        lengths = self.tokens
        return (
            f"{self.case.name}: {len(lengths)} texts; tokens of a text: mean {statistics.mean(lengths):,.0f}, median "
            f"{statistics.median(lengths):,.0f}, 95 % up to {np.percentile(lengths, 95):,.0f}, longest "
            f"{max(lengths):,} (the model takes {self.longest})"
        )


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(to, of, strict=True))


def nearest(vectors: Vectors) -> np.ndarray[Any, np.dtype[np.intp]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    found: np.ndarray[Any, np.dtype[np.intp]] = np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST]
    return found


def recall(vectors: Vectors, reference: Vectors) -> float | None:
    """The share of the ten nearest that are the same; none where there are hardly more than ten."""
    if len(vectors) < 2 * NEAREST:
        return None
    pairs = zip(nearest(vectors), nearest(reference), strict=True)
    return statistics.mean(len(set(one) & set(other)) / NEAREST for one, other in pairs)


def measured(case: Case, rounds: int, threads: int) -> Measured:
    """Let all ways take turns at the texts of a case, each in a process of its own."""
    model = loaded(case.model)
    tokens = [len(ids) for ids in model.tokenizer(case.texts, truncation=False, verbose=False)["input_ids"]]
    names = (BASELINE, *case.ways, PRODUCTS)
    found = Measured(case, tokens, int(model.max_seq_length or 512), {name: Timing() for name in names})
    with ExitStack() as closing:
        ways = {name: closing.enter_context(contextlib.closing(Alone(name, case.model, threads))) for name in names}
        for way in ways.values():
            way.take(case.texts[:8], 1)
        for _ in range(rounds):
            for name, way in ways.items():
                found.timings[name].add(way.take(case.texts, found.computed))
    return found


def reached(first: Measured) -> list[Reach]:
    """The best way at each quality asked for."""
    found = []
    for goal, quality in GOALS:
        good = [way for way in first.case.ways if first.cosines(way).mean() >= quality]
        best = max(good, key=first.times_baseline, default=None)
        what = f"best at a mean cosine >= {quality}" + (f" ({best})" if best else "")
        found.append(Reach(what, None if best is None else first.times_baseline(best), goal))
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_processors())
    parser.add_argument("--way", action="append", choices=list(FULL), help="only these; all unless given")
    parser.add_argument("--few", action="store_true", help="only the real texts")
    parser.add_argument("--json", type=Path, help="write what was found into this file, too")
    return parser.parse_args()


def main() -> None:
    """Print a table for each case."""
    given = arguments()
    chosen = given.way or list(FULL)
    if missing := [name for name in chosen if not can_run(name)]:
        print(f"not run, for want of the extra 'openvino': {', '.join(missing)}")  # noqa: T201
    print(f"{given.threads} threads, torch {torch.__version__}")  # noqa: T201
    found = []
    there = cases(given.texts, tuple(name for name in chosen if can_run(name)))
    for case in islice(there, 1 if given.few else None):
        one = measured(case, given.rounds, given.threads)
        found.append(one)
        lines = [COLUMNS, *one.rows()]
        print("", one.told(), *("".join(f"{cell:>13}" for cell in line) for line in lines), sep="\n", flush=True)  # noqa: T201
    for goal in reached(found[0]):
        print(f"to reach: {goal.what}: >= {goal.goal}, reached {goal.value or 0:.2f}")  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(_as_json(found, missing, given.threads)))


def _as_json(found: Sequence[Measured], missing: Sequence[str], threads: int) -> dict[str, Any]:
    goals = [{"what": one.what, "value": one.value, "goal": one.goal} for one in reached(found[0])]
    told = [{"told": one.told(), "name": one.case.name, "rows": one.rows()} for one in found]
    return {"threads": threads, "columns": COLUMNS, "cases": told, "missing": list(missing), "reach": goals}


if __name__ == "__main__":
    main()
