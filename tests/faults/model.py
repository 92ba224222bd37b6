"""A model without weights, for workers in which the embedder is not the point, and for those in which it breaks.

The rest of the embedder is the real one: its thread, its checks, what it makes of a failure. What is to go wrong stands
in a file, read anew at every call; a text that holds `POISON` breaks the model, whatever else is in the call.
"""

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Final

import numpy as np
from typing_extensions import override

from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.ports import Vectors
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

    class Installed(FaultyEmbedder):
        @override
        def __init__(self, settings: EmbeddingSettings) -> None:
            super().__init__(settings)
            self.faults = Faults(Path(folder))

    composition.SentenceEmbedder = Installed  # type: ignore[attr-defined]


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


class FaultyEmbedder(SentenceEmbedder):
    faults: Faults

    @override
    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await super().start()

    @override
    def _load(self) -> None:
        self._dimensions = DIMENSIONS

    @override
    def _encode(self, texts: list[str]) -> Vectors:
        vectors = np.array([vector(text) for text in texts])
        if any(POISON in text for text in texts):
            raise RuntimeError("the model breaks on a text")
        match self.faults.read():
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
                self.faults.set("")
                self._loop.call_soon_threadsafe(time.sleep, seconds)
            case _:
                pass
        return vectors
