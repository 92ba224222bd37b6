"""Texts to vectors: each text once, and a text that the model fails on is told from a model that fails.

A batch holds texts of many rows, and one of them must not hold up the others, let alone halt the worker.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import Halt, HaltReason, RejectReason
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.vector_cache import VectorCache

Vector = NDArray[np.float32]

_PLAIN_TEXT: Final = "a plain text"


class Embedding:
    """Calls the model, a batch at a time, for texts that have no vector yet."""

    def __init__(self, embedder: Embedder, metrics: Metrics, clock: Clock, cache: VectorCache | None = None) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._clock = clock
        self._cache = cache or VectorCache(0)

    async def vectors(self, texts: Sequence[str]) -> list[Vector | Rejection]:
        """Return a vector for every text, or why the model has none for it. Vectors may be shared.

        Raises:
            Halt: the model fails on a plain text as well.
        """
        known = self._known(texts)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        made = dict(zip(new, await self._made(new), strict=True)) if new else {}
        self._keep(made)
        self._count(texts, made)
        return [known[text] if text in known else made[text] for text in texts]

    def _known(self, texts: Sequence[str]) -> dict[str, Vector]:
        if self._cache.is_off:
            return {}
        model = self._embedder.model
        return {text: vector for text in texts if (vector := self._cache.get(model, text)) is not None}

    def _keep(self, made: dict[str, Vector | Rejection]) -> None:
        if self._cache.is_off:
            return
        for text, vector in made.items():
            if not isinstance(vector, Rejection):
                self._cache.put(self._embedder.model, text, vector)
        self._metrics.cache_bytes.set(self._cache.size)

    def _count(self, texts: Sequence[str], made: dict[str, Vector | Rejection]) -> None:
        """Only now, when all went well: a call that halts is made again."""
        self._metrics.texts.inc(len(made))
        if not self._cache.is_off:
            self._metrics.cache_misses.inc(len(made))
        from_cache = sum(text not in made for text in texts)
        self._metrics.reused.labels("cache").inc(from_cache)
        self._metrics.reused.labels("same_call").inc(len(texts) - from_cache - len(made))

    async def _made(self, texts: Sequence[str]) -> list[Vector | Rejection]:
        try:
            return list(await self._call(texts))
        except Halt as fault:
            if fault.reason is not HaltReason.EMBEDDER_FAILED:
                raise
            # Past the cache, which would answer for a model that is broken by now.
            await self._call([_PLAIN_TEXT])
            if len(texts) == 1:
                return [Rejection(RejectReason.EMBEDDING_FAILED, str(fault))]
        # Halves, down to the texts that it fails on: few calls, where a text a call would be many.
        middle = len(texts) // 2
        return [*await self._made(texts[:middle]), *await self._made(texts[middle:])]

    async def _call(self, texts: Sequence[str]) -> NDArray[np.float32]:
        started = self._clock.monotonic()
        try:
            return await self._embedder.embed(texts)
        finally:
            self._metrics.stage.labels("embed").observe(self._clock.monotonic() - started)
