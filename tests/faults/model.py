"""A model without weights, for workers in which the embedder is not the point, and for those in which it breaks.

The rest of the embedder is the real one: its thread, its checks, what it makes of a failure. What is to go wrong stands
in a file, read anew at every call; a text that holds `POISON` breaks the model, whatever else is in the call.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from typing_extensions import override

from worker.adapters.local_embedder import LocalEmbedder
from worker.metrics import Metrics
from worker.ports import Embedder, EmbeddingModel, ModelShape, Vectors
from worker.settings import EmbeddingSettings

DIMENSIONS: Final = 384
POISON: Final = "POISON"


def vector(text: str) -> Vectors:
    """What the model makes of a text: of unit length."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    made = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return made / np.linalg.norm(made)


def install(folder: str) -> None:
    """Let the worker of this process load this model; faults are looked for in `folder`."""
    import worker.app.worker as composition  # noqa: PLC0415 - only in the worker's own process

    def build(settings: EmbeddingSettings, metrics: Metrics | None = None) -> Embedder:
        return FaultyEmbedder(settings, metrics or Metrics(), Faults(Path(folder)))

    async def reachable(embedding: EmbeddingSettings) -> None:
        del embedding

    composition.build_embedder = build  # type: ignore[attr-defined]
    composition.refuse_unreachable_model = reachable  # type: ignore[attr-defined]


class Faults:
    """What is wrong with the model now. Written by the test, read by the worker."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "model-fault"

    def set(self, fault: str, seconds: float = 0) -> None:
        """`fail`, `memory`, `nan`, `short`, `slow` or `block`; '' mends it."""
        # In one step: the worker may read at any time.
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{fault} {seconds}")
        aside.replace(self._file)

    def read(self) -> tuple[str, float]:
        if not self._file.exists():
            return "", 0
        fault, seconds = self._file.read_text().split(" ")
        return fault, float(seconds)


class FaultyEmbedder(LocalEmbedder):
    def __init__(self, settings: EmbeddingSettings, metrics: Metrics, faults: Faults) -> None:
        self._model = FaultyModel(faults)
        super().__init__(self._model, settings, metrics)

    @override
    async def start(self) -> None:
        self._model.loop = asyncio.get_running_loop()
        await super().start()
        self._model.is_warm = True


class FaultyModel(EmbeddingModel):
    """A token is a character. Nothing is wrong before the worker has started."""

    is_warm = False
    loop: asyncio.AbstractEventLoop

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    @override
    def load(self) -> ModelShape:
        return ModelShape(DIMENSIONS, max_tokens=10_000_000, special_tokens=0)

    @override
    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [[*map(ord, text)] for text in texts]

    @override
    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        texts = ["".join(map(chr, tokens)) for tokens in batch]
        vectors = np.array([vector(text) for text in texts])
        if not self.is_warm:
            return vectors
        if any(POISON in text for text in texts):
            raise RuntimeError("the model breaks on a text")
        match self._faults.read():
            case "fail", _:
                raise RuntimeError("the model is broken")
            case "memory", _:
                raise MemoryError("no memory for the model")
            case "nan", _:
                vectors[0, 0] = np.nan
            case "short", _:
                vectors = vectors[:, :-1]
            case "slow", seconds:
                time.sleep(seconds)
            case "block", seconds:
                self._faults.set("")
                self.loop.call_soon_threadsafe(time.sleep, seconds)
            case _:
                pass
        return vectors
