"""Stand-ins for a pipeline that is to decide and to write nothing."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from typing_extensions import override

from worker.ports import Embedder, Sink, Vectors
from worker.records import ItemResponse

_ITEM_CREATED: Final = 201


class DrySink(Sink):
    """Takes everything and writes nothing: what the lookup let through would have been written."""

    def __init__(self, target: str) -> None:
        self._target = target

    @property
    @override
    def target(self) -> str:
        return self._target

    @property
    @override
    def packs_vectors(self) -> bool:
        return False

    @override
    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        return [ItemResponse(_ITEM_CREATED)] * count

    @override
    async def probe(self) -> None:
        """Nothing is written."""

    @override
    async def close(self) -> None:
        """Nothing is open."""


class DryEmbedder(Embedder):
    """Vectors of ones: nobody sees them, and no model need be loaded."""

    def __init__(self, model: str) -> None:
        self._model = model

    @property
    @override
    def model(self) -> str:
        return self._model

    @property
    @override
    def dimensions(self) -> int:
        return 1

    @override
    async def start(self) -> None:
        """Nothing to load."""

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), 1), dtype=np.float32)

    @override
    async def close(self) -> None:
        """Nothing is open."""
