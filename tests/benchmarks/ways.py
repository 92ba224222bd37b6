"""The ways to embed that the embedder's benchmark lets take turns: the worker's embedder in all forms, and `encode`."""

import asyncio
import importlib.util
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from worker.adapters.processor import avoid_illegal_instructions
from worker.app.model import build_embedder
from worker.ports import Embedder, Vectors
from worker.settings import EmbeddingSettings

Encode = Callable[[list[str]], Vectors]
Model = Mapping[str, str]
"""Settings that name a model: `model`, and `path` where it lies in a folder."""

BASELINE: Final = "encode, fp32, 32"
PRODUCTS: Final = "products"
CONVERTED: Final = "build/openvino"
A_CALL: Final = 32
_TOKENS: Final = 1024
"""In a batch, as `embedding.batch_tokens` has it."""
FULL: Final[Mapping[str, Mapping[str, Any]]] = {
    "fp32": {},
    "fp32, 32 a call": {},
    "bf16": {"precision": "bf16"},
    "openvino fp32": {"backend": "openvino", "precision": "fp32", "openvino": {"cache_dir": CONVERTED}},
    "openvino bf16": {"backend": "openvino", "precision": "bf16", "openvino": {"cache_dir": CONVERTED}},
    "openvino int8": {"backend": "openvino", "precision": "int8", "openvino": {"cache_dir": CONVERTED}},
}
"""Name -> settings of the embedder. This is where another backend goes."""


def can_run(name: str) -> bool:
    return not name.startswith("openvino") or importlib.util.find_spec("openvino") is not None


class Alone:
    """A way in a process of its own: torch's threads for two callers in one process take turns at the processors."""

    def __init__(self, name: str, model: Model, threads: int) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _prepare, (name, model, threads))

    def take(self, texts: list[str], tokens: int) -> "Taken":
        """Embed the texts, of so many tokens in all."""
        return self._pool.submit(_take, texts, tokens).result()

    def close(self) -> None:
        self._pool.shutdown()


class Taken(NamedTuple):
    """Seconds by the clock and of the processors, and the vectors, if there are any."""

    wall: float
    processor: float
    vectors: Vectors | None


_act: Callable[[list[str], int], Vectors | None]
"""What this process does when its turn comes."""


def _prepare(name: str, model: Model, threads: int) -> None:
    global _act  # noqa: PLW0603 - the only state that a pool's process has
    avoid_illegal_instructions()
    torch.set_num_threads(threads)
    if name == PRODUCTS:
        products = Products(loaded(model))
        _act = lambda _, tokens: products.take(tokens)  # noqa: E731
    else:
        encode = baseline(loaded(model)) if name == BASELINE else ours(asyncio.Runner(), name, model, threads)
        _act = lambda texts, _: encode(texts)  # noqa: E731


def _take(texts: list[str], tokens: int) -> Taken:
    wall, processor = time.perf_counter(), time.process_time()
    vectors = _act(texts, tokens)
    return Taken(time.perf_counter() - wall, time.process_time() - processor, vectors)


def ours(runner: asyncio.Runner, name: str, model: Model, threads: int) -> Encode:
    """Return the worker's embedder, loaded. With `32 a call` it gets as many texts at once as from the worker."""
    embedder = build_embedder(EmbeddingSettings.model_validate({**model, "threads": threads, **FULL[name]}))
    runner.run(embedder.start())
    return partial(_in_calls, runner, embedder, A_CALL if "a call" in name else None)


def _in_calls(runner: asyncio.Runner, embedder: Embedder, a_call: int | None, texts: list[str]) -> Vectors:
    size = a_call or len(texts)
    return np.concatenate([runner.run(embedder.embed(texts[at : at + size])) for at in range(0, len(texts), size)])


def loaded(model: Model) -> SentenceTransformer:
    return SentenceTransformer(model.get("path", model["model"]), device="cpu")


def baseline(model: SentenceTransformer) -> Encode:
    """Return the call that everybody writes."""

    def encode(texts: list[str]) -> Vectors:
        vectors: Any = model.encode(texts, batch_size=32, show_progress_bar=False, normalize_embeddings=True)
        return np.asarray(vectors, dtype=np.float32)

    encode(["warm up"])
    return encode


class Products:
    """The matrix products of a model, alone, in torch's fp32: whatever embeds by them takes at least as long."""

    def __init__(self, model: SentenceTransformer) -> None:
        transformer: Any = model[0]
        config = transformer.auto_model.config
        width, inner = config.hidden_size, config.intermediate_size
        shapes = [*[(width, width)] * 4, (width, inner), (inner, width)]
        self._layers: int = config.num_hidden_layers
        self._inputs = {size: torch.randn(_TOKENS, size) for size in (width, inner)}
        self._weights = [torch.randn(out, into) for into, out in shapes]

    def take(self, tokens: int) -> None:
        """Compute those for so many tokens, and nothing else."""
        with torch.inference_mode():
            for begin in range(0, tokens, _TOKENS):
                batch = {size: rows[: tokens - begin] for size, rows in self._inputs.items()}
                for weight in self._weights * self._layers:
                    torch.nn.functional.linear(batch[weight.shape[1]], weight)
