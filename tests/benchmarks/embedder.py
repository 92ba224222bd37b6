"""The embedder beside one `SentenceTransformer.encode(all, batch_size=32)` in fp32: same model, texts and threads.

    python -m tests.benchmarks.embedder [--texts 800] [--rounds 3] [--threads 2] [--way fp32 --way bf16]

The texts are documentation strings of Python's standard library: real, most of them short, with a long tail. All ways
take turns, so that a round meets the machine in one mood; figures are medians over the rounds, ratios are of the same
round. The clock stands beside processor time, which tells more on a machine that others use too. `32 a call` is what
the worker does at its default `batch.embed_texts`; the others get all texts in one call, as `encode` does.

Cosines and recall@10 (each text searched for among all others, its ten nearest) are taken against the baseline.
`WAYS` is where another backend goes.
"""

import argparse
import asyncio
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from worker.adapters.processor import available_processors, avoid_illegal_instructions
from worker.app.model import build_embedder
from worker.demo.corpus import pick, read_corpus
from worker.demo.model import embedding_settings
from worker.ports import Embedder, Vectors
from worker.settings import EmbeddingSettings

GOAL: Final = "2.0 times the baseline at a mean cosine of 0.9999 or more, 3.0 times at 0.995"
CONVERTED: Final = "build/openvino"
NEAREST: Final = 10

Encode = Callable[[list[str]], Vectors]


def ours(runner: asyncio.Runner, settings: Mapping[str, object], a_call: int | None, threads: int) -> Encode:
    """Return the worker's embedder, loaded."""
    whole = EmbeddingSettings.model_validate({**embedding_settings(), "threads": threads, **settings})
    embedder = build_embedder(whole)
    runner.run(embedder.start())
    return partial(in_calls, runner, embedder, a_call)


def in_calls(runner: asyncio.Runner, embedder: Embedder, a_call: int | None, texts: list[str]) -> Vectors:
    size = a_call or len(texts)
    return np.concatenate([runner.run(embedder.embed(texts[at : at + size])) for at in range(0, len(texts), size)])


WAYS: Final[Mapping[str, Callable[[asyncio.Runner, int], Encode]]] = {
    "fp32": lambda runner, threads: ours(runner, {}, None, threads),
    "fp32, 32 a call": lambda runner, threads: ours(runner, {}, 32, threads),
    "bf16": lambda runner, threads: ours(runner, {"precision": "bf16"}, None, threads),
    "openvino fp32": lambda runner, threads: ours(runner, openvino("fp32"), None, threads),
    "openvino bf16": lambda runner, threads: ours(runner, openvino("bf16"), None, threads),
    "openvino int8": lambda runner, threads: ours(runner, openvino("int8"), None, threads),
}
"""Name -> what makes the embedding function, given an event loop and a number of threads."""


def openvino(precision: str) -> dict[str, object]:
    """Return settings that keep what is converted from run to run."""
    return {"backend": "openvino", "precision": precision, "openvino": {"cache_dir": CONVERTED}}


def can_run(name: str) -> bool:
    return not name.startswith("openvino") or importlib.util.find_spec("openvino") is not None


def baseline(threads: int) -> Encode:
    """Return the call that everybody writes."""
    path = embedding_settings()
    torch.set_num_threads(threads)
    model = SentenceTransformer(path.get("path", path["model"]), device="cpu")

    def encode(texts: list[str]) -> Vectors:
        vectors: Any = model.encode(texts, batch_size=32, show_progress_bar=False, normalize_embeddings=True)
        return np.asarray(vectors, dtype=np.float32)

    encode(["warm up"])
    return encode


@dataclass
class Timing:
    """Of one way: seconds by the clock and of the processors, round by round, and what came out."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))

    def take(self, encode: Encode, texts: list[str]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        self.vectors = encode(texts)
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(to, of, strict=True))


def nearest(vectors: Vectors) -> np.ndarray[Any, np.dtype[np.intp]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    found: np.ndarray[Any, np.dtype[np.intp]] = np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST]
    return found


def recall(vectors: Vectors, reference: Vectors) -> float:
    pairs = zip(nearest(vectors), nearest(reference), strict=True)
    return statistics.mean(len(set(one) & set(other)) / NEAREST for one, other in pairs)


def line(name: str, timing: Timing, base: Timing, tokens: int) -> str:
    count = len(timing.vectors)
    wall, processor = statistics.median(timing.wall), statistics.median(timing.processor)
    cosines = (timing.vectors * base.vectors).sum(axis=1)
    return (
        f"{name:<22}{count / wall:>9.1f}{tokens / wall:>10.0f}{ratio(timing.wall, base.wall):>8.2f}"
        f"{1000 * processor / count:>12.2f}{ratio(timing.processor, base.processor):>8.2f}"
        f"{cosines.mean():>11.6f}{cosines.min():>10.6f}{recall(timing.vectors, base.vectors):>9.4f}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_processors())
    parser.add_argument("--way", action="append", choices=list(WAYS), help="only these; all unless given")
    return parser.parse_args()


def main() -> None:
    """Print a table."""
    given = arguments()
    texts = [f"{document.title}. {document.content}" for document in pick(read_corpus(), given.texts)]
    avoid_illegal_instructions()
    chosen = given.way or list(WAYS)
    if missing := [name for name in chosen if not can_run(name)]:
        print(f"not run, for want of the extra 'openvino': {', '.join(missing)}")  # noqa: T201
    base, timings = Timing(), {name: Timing() for name in chosen if can_run(name)}
    with asyncio.Runner() as runner:
        encode = baseline(given.threads)
        ways = {name: WAYS[name](runner, given.threads) for name in timings}
        for _ in range(given.rounds):
            base.take(encode, texts)
            for name, timing in timings.items():
                timing.take(ways[name], texts)
    lengths = token_lengths(texts)
    heads = f"{'texts/s':>9}{'tokens/s':>10}{'ratio':>8}{'cpu ms/text':>12}{'ratio':>8}"
    print(  # noqa: T201
        f"{len(texts)} texts, {given.threads} threads, torch {torch.__version__}; tokens of a text: "
        f"mean {statistics.mean(lengths):.0f}, median {statistics.median(lengths):.0f}, "
        f"95 % up to {np.percentile(lengths, 95):.0f}, longest {max(lengths)} (the model takes {LONGEST})",
        f"{'':<22}{heads}{'mean cos':>11}{'min cos':>10}{'recall':>9}",
        line("encode, fp32, 32", base, base, tokens := sum(min(length, LONGEST) for length in lengths)),
        *(line(name, timing, base, tokens) for name, timing in timings.items()),
        f"the goal is {GOAL}",
        sep="\n",
    )


LONGEST: Final = 256


def token_lengths(texts: list[str]) -> list[int]:
    """Return how many tokens each text has, special ones included, before anything is cut."""
    path = embedding_settings()
    tokenizer = SentenceTransformer(path.get("path", path["model"]), device="cpu").tokenizer
    return [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]]


if __name__ == "__main__":
    main()
