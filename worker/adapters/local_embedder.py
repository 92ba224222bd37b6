"""A model of this process behind the `Embedder` port: texts to batches of tokens, vectors back in order.

One long-lived thread is the only user of the model: more of them would share its processors and win nothing, and a
thread per call leaks memory. Heavy libraries are imported in that thread, so that the event loop never waits for them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from typing_extensions import override

from worker.errors import Halt, HaltReason, OperatorError
from worker.metrics import Metrics
from worker.ports import Embedder, EmbeddingModel, ModelShape, Vectors
from worker.settings import EmbeddingSettings, LongTexts
from worker.stages.packing import averaged, normalised, packed, pieces, shared_start, windows
from worker.stages.vectors import check_shape, check_vectors, of_documents

# What lies behind so many is not tokenised: a huge text costs seconds and memory there. Far above the longest real
# tokens for the one window that `truncate` keeps; for many windows, above any language's average.
_LONGEST_TOKEN: Final = 40
_LONG_TOKEN: Final = 10
_BEGINNINGS: Final = ("", "a", "the")
"""Texts that have nothing in common but what a model wants before each."""
_Tokenise = Callable[[Sequence[str]], Sequence[Sequence[int]]]
_WITH_SENTENCES: Final = (OSError, ValueError, ImportError, RuntimeError)
"""What the libraries raise when they tell a person what is wrong; a KeyError's text is a key."""


class LocalEmbedder(Embedder):
    """`ports.Embedder` on an `EmbeddingModel`. Every vector is of unit length."""

    def __init__(self, model: EmbeddingModel, settings: EmbeddingSettings, metrics: Metrics | None = None) -> None:
        self._local = model
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._most_windows = settings.long_text_windows if settings.long_texts is LongTexts.MEAN else 1
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._shape = ModelShape(0, 0, 0)
        self._prompt_tokens = 0

    @property
    @override
    def model(self) -> str:
        """What is stored as the origin of a vector: see `stages.vectors`."""
        identity = self._settings.identity
        return of_documents(identity) if self._shape.tells_documents else identity

    @property
    @override
    def dimensions(self) -> int:
        """Length of a vector; known after `start`."""
        return self._shape.dimensions

    @override
    async def start(self) -> None:
        """Load the model and embed a short and a long text, so that the first record does not pay for it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._load)
        except (OperatorError, Halt):
            raise
        except Exception as error:  # a SafetensorError is a plain one, and a file that lacks a key may bring up any
            place = self._settings.path or self._settings.model
            raise OperatorError(
                f"embedding: the model {str(place)!r} cannot be loaded ({_said(error)}): set embedding.model to a "
                "sentence-transformers model that can be reached, or embedding.path to a folder with one"
            ) from error

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector a text."""
        return await self._called(list(texts), self._local.tokens, self._prompt_tokens)

    @override
    async def embed_question(self, words: str) -> Vectors:
        """Return the vector of what is searched for; one that is too long has the prompt only in its first window."""
        return await self._called([words], self._local.question_tokens, 0)

    async def _called(self, texts: list[str], tokenise: _Tokenise, prompt_tokens: int) -> Vectors:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._embed, texts, tokenise, prompt_tokens)
        except (OperatorError, Halt):  # they say themselves what is wrong
            raise
        except Exception as error:  # tokenisers raise plain ones, torch an IndexError: a text may bring up any
            raise Halt(
                HaltReason.EMBEDDER_FAILED, f"the model failed on {len(texts)} texts: {type(error).__name__}: {error}"
            ) from error

    @override
    async def close(self) -> None:
        """Wait for the call in progress; texts that wait behind it are dropped."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

    def _load(self) -> None:
        self._shape = self._local.load()
        self._prompt_tokens = shared_start(self._local.tokens(_BEGINNINGS))
        if self._prompt_tokens >= self._shape.max_tokens:
            raise ValueError(
                f"its prompt for documents has {self._prompt_tokens} tokens, and it takes {self._shape.max_tokens}: no "
                "text fits in"
            )
        for size in (1, min(self._shape.max_tokens, self._settings.batch_tokens)):
            tokens = self._local.tokens(["warm up " * size])[0][:size]
            self._vectors([tokens])

    def _embed(self, texts: list[str], tokenise: _Tokenise, prompt_tokens: int) -> Vectors:
        """Each window has the prompt before it: it is embedded as a text of its own."""
        started = time.perf_counter()
        kept = [text[: self._most_characters] for text in texts]
        tokens = tokenise(kept)
        counts, room = [max(0, len(one) - prompt_tokens) for one in tokens], self._shape.max_tokens - prompt_tokens
        cuts = [windows(count, room, self._most_windows) for count in counts]
        cut = [piece for one, its in zip(tokens, cuts, strict=True) for piece in pieces(one, prompt_tokens, its)]
        vectors = averaged(self._vectors(cut), cuts)
        check_vectors(vectors, len(texts), self._shape.dimensions)
        self._metrics.model_seconds.inc(time.perf_counter() - started)
        for text, count, its in zip(texts, counts, cuts, strict=True):
            self._count_lost(text, count, its[-1].stop)
        return normalised(vectors)

    def _vectors(self, cut: Sequence[Sequence[int]]) -> Vectors:
        shape = self._shape
        lengths = [len(piece) + shape.special_tokens for piece in cut]
        vectors = np.empty((len(cut), shape.dimensions), dtype=np.float32)
        for batch in packed(lengths, self._settings.batch_tokens, padded=shape.padded):
            made = self._local.embed([cut[position] for position in batch])
            check_shape(made, len(batch), shape.dimensions)
            vectors[batch] = made
            tokens = sum(lengths[position] for position in batch)
            self._metrics.tokens.inc(tokens)
            self._metrics.token_places.inc(len(batch) * lengths[batch[0]] if shape.padded else tokens)
        return vectors

    @property
    def _most_characters(self) -> int:
        most = max(_LONGEST_TOKEN, _LONG_TOKEN * self._most_windows)
        return most * max(self._shape.max_tokens, 1)

    def _count_lost(self, text: str, tokens: int, kept: int) -> None:
        """Characters that were not tokenised count as tokens of the same text's average length."""
        unseen = max(0, len(text) - self._most_characters)
        lost = tokens - kept + round(unseen * tokens / self._most_characters)
        if lost:
            self._metrics.truncated_texts.inc()
            self._metrics.lost_tokens.inc(lost)


def _said(error: Exception) -> str:
    """Return the first line of what an exception says, with its type where that alone is no sentence."""
    first_line = str(error).strip().split("\n")[0]
    if first_line and isinstance(error, _WITH_SENTENCES):
        return first_line
    return ": ".join(part for part in (type(error).__name__, first_line) if part)
