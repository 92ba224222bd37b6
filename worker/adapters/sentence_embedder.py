"""sentence-transformers in one long-lived thread.

The model is synchronous and bound by the processor. One thread: more of them share its processors and win nothing,
and a thread per call leaks memory. torch is imported in that thread, so that the event loop never waits for it.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from typing_extensions import override

from worker.adapters.processor import available_processors, avoid_illegal_instructions
from worker.errors import Halt, HaltReason, OperatorError
from worker.logs import adopt_libraries
from worker.ports import Embedder, Vectors
from worker.settings import EmbeddingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Far above the longest real tokens: the model sees the same tokens with and without the cut.
_CHARACTERS_A_TOKEN: Final = 40
_FALLBACK_TOKENS: Final = 8192


class SentenceEmbedder(Embedder):
    """`ports.Embedder` on a sentence-transformers model."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._path = settings.model if settings.path is None else str(settings.path)
        self._threads = settings.threads or available_processors()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._model: SentenceTransformer | None = None
        self._dimensions = 0
        self._max_characters = 0

    @property
    @override
    def model(self) -> str:
        """`name` or `name@revision`, as given in the settings."""
        revision = self._settings.revision
        return self._settings.model if revision is None else f"{self._settings.model}@{revision}"

    @property
    @override
    def dimensions(self) -> int:
        """Length of a vector; known after `start`."""
        return self._dimensions

    @override
    async def start(self) -> None:
        """Load the model and embed one text, so that the first record does not pay for it."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._load)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            first_line = str(error).strip().split("\n")[0]
            raise OperatorError(
                f"embedding: the model {self._path!r} cannot be loaded ({first_line}): set embedding.model to a "
                "sentence-transformers model that can be reached, or embedding.path to a folder with one"
            ) from error

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector a text."""
        loop = asyncio.get_running_loop()
        try:
            vectors = await loop.run_in_executor(self._executor, self._encode, list(texts))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise Halt(HaltReason.EMBEDDER_FAILED, f"the model failed on {len(texts)} texts: {error}") from error
        check_vectors(vectors, len(texts), self._dimensions)
        return vectors

    @override
    async def close(self) -> None:
        """Wait for the call in progress; texts that wait behind it are dropped."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

    def _load(self) -> None:
        # Both libraries read these when they are imported, which happens here for the first time. A folder needs no
        # hub, and a worker that asks one at every start fails with it.
        if Path(self._path).is_dir():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if self._settings.precision == "bf16" and self._settings.device == "cpu":
            avoid_illegal_instructions()
        import torch  # noqa: PLC0415 - takes seconds: only the thread that needs it pays
        import transformers  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        adopt_libraries()
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(self._threads)
        model = SentenceTransformer(
            self._path,
            revision=self._settings.revision,
            device=self._settings.device,
            model_kwargs={"dtype": torch.bfloat16} if self._settings.precision == "bf16" else {},
        )
        model.eval()
        self._model = model
        self._max_characters = _CHARACTERS_A_TOKEN * (model.max_seq_length or _FALLBACK_TOKENS)
        self._dimensions = len(self._encode(["warm up"])[0])

    def _encode(self, texts: list[str]) -> Vectors:
        assert self._model is not None, "start() comes first"
        vectors = self._model.encode(
            # What the model would cut off anyway need not be tokenised: a huge text costs seconds and memory there.
            [text[: self._max_characters] for text in texts],
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.asarray(vectors, dtype=np.float32)


def check_vectors(vectors: Vectors, count: int, dimensions: int) -> None:
    """Check what a model returned before it can reach the index.

    Raises:
        Halt: the shape is wrong, or a vector is not finite or zero (which cosine similarity refuses).
    """
    if vectors.shape != (count, dimensions):
        raise Halt(HaltReason.EMBEDDER_FAILED, f"the model returned shape {vectors.shape}, not {(count, dimensions)}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if bad.size:
        raise Halt(HaltReason.EMBEDDER_FAILED, f"the model returned {bad.size} of {count} vectors not finite, or zero")
