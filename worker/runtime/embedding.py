"""Texts to vectors: a text that the model fails on is told from a model that fails.

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

_PLAIN_TEXT: Final = "a plain text"


class Embedding:
    """Calls the model, a batch at a time."""

    def __init__(self, embedder: Embedder, metrics: Metrics, clock: Clock) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._clock = clock

    async def vectors(self, texts: Sequence[str]) -> list[NDArray[np.float32] | Rejection]:
        """Return a vector for every text, or why the model has none for it.

        Raises:
            Halt: the model fails on a plain text as well.
        """
        try:
            return list(await self._call(texts))
        except Halt as fault:
            if fault.reason is not HaltReason.EMBEDDER_FAILED:
                raise
            await self._call([_PLAIN_TEXT])
            if len(texts) == 1:
                return [Rejection(RejectReason.EMBEDDING_FAILED, str(fault))]
        # Halves, down to the texts that it fails on: few calls, where a text a call would be many.
        middle = len(texts) // 2
        return [*await self.vectors(texts[:middle]), *await self.vectors(texts[middle:])]

    async def _call(self, texts: Sequence[str]) -> NDArray[np.float32]:
        started = self._clock.monotonic()
        try:
            return await self._embedder.embed(texts)
        finally:
            self._metrics.stage.labels("embed").observe(self._clock.monotonic() - started)
