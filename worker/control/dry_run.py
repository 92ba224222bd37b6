"""Stand-ins for a pipeline that is to decide and to write nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from typing_extensions import override

from worker.ports import Embedder, Locator, Sink, SourcePage, Vectors
from worker.records import ItemResponse, Place, RowPlace

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


class DryLocator(Locator):
    """Finds rows, but no documents of truncated tables: a sweep ends when it finds none that it has not deleted."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator

    @override
    async def refresh(self) -> None:
        await self._locator.refresh()

    @override
    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        return await self._locator.places(keys)

    @override
    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        return SourcePage((), None)


class DryEmbedder(Embedder):
    """Vectors of ones: nobody sees them, and no model need be loaded; so whether it has a prompt is not known here."""

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
