"""An embedder without a model: a text's hash is the seed of its vector."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from typing_extensions import override

from worker.errors import OperatorError
from worker.ports import Embedder, Vectors


async def _at_once(_texts: Sequence[str]) -> None:
    return


class FakeEmbedder(Embedder):
    def __init__(self, model: str = "fake-model", dimensions: int = 8, *, broken: bool = False) -> None:
        """A `broken` one cannot be loaded."""
        self.calls: list[list[str]] = []
        self.fail_with: Exception | None = None
        self.before_embed: Callable[[Sequence[str]], Awaitable[None]] = _at_once
        """Awaited at the begin of every call: latency, or a gate that a test holds."""
        self._broken = broken
        self._model = model
        self._dimensions = dimensions

    @property
    def texts(self) -> list[str]:
        """Every text that was embedded, in order, with repetitions."""
        return [text for call in self.calls for text in call]

    @property
    @override
    def model(self) -> str:
        return self._model

    @property
    @override
    def dimensions(self) -> int:
        return self._dimensions

    @override
    async def start(self) -> None:
        if self._broken:
            raise OperatorError(f"embedding: the model {self._model!r} cannot be loaded")

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        await self.before_embed(texts)
        if self.fail_with is not None:
            raise self.fail_with
        return np.stack([vector_of(text, self._dimensions) for text in texts])

    @override
    async def close(self) -> None:
        return


def vector_of(text: str, dimensions: int = 8) -> Vectors:
    """Return the vector of a text: always the same, and of unit length."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
