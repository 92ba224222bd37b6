"""The worker with fixed vectors in place of its model: `python -m tests.benchmarks.worker run --config FILE`.

All else is the worker's own: the same command line, the same composition.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from tests.benchmarks.baselines.model import DIMENSIONS, FixedVectors
from worker.app import worker
from worker.cli import main
from worker.ports import Embedder, Vectors
from worker.settings import EmbeddingSettings


class FixedEmbedder(Embedder):
    """Vectors at hand: what the baselines get as well."""

    def __init__(self, settings: Any, _metrics: object = None) -> None:  # noqa: ANN401 - only its model's name counts
        self._model = settings.model
        self._vectors = FixedVectors()

    @property
    @override
    def model(self) -> str:
        return str(self._model)

    @property
    @override
    def dimensions(self) -> int:
        return DIMENSIONS

    @override
    async def start(self) -> None:
        return

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.asarray(self._vectors.encode(list(texts)))
        return vectors

    @override
    async def close(self) -> None:
        return


async def reachable(embedding: EmbeddingSettings) -> None:
    """No hub has to give what this worker embeds with."""
    del embedding


if __name__ == "__main__":
    setattr(worker, "build_embedder" if hasattr(worker, "build_embedder") else "SentenceEmbedder", FixedEmbedder)
    worker.refuse_unreachable_model = reachable  # type: ignore[attr-defined]
    sys.exit(main())
