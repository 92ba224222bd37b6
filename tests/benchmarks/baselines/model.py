"""The model of a baseline, as `SentenceTransformer` offers it: the real one, or vectors that cost nothing."""

import zlib
from typing import Any, Final

import numpy as np

FIXED: Final = "fixed"
DIMENSIONS: Final = 384
_POOL: Final = 8192


class FixedVectors:
    """Always the same vector for a text, from a pool drawn once: white space does not count."""

    def __init__(self) -> None:
        pool = np.random.default_rng(7).standard_normal((_POOL, DIMENSIONS), dtype=np.float32)
        self._pool = pool / np.linalg.norm(pool, axis=1, keepdims=True)

    def encode(self, texts: Any, **_: object) -> Any:  # noqa: ANN401 - one text or many, as the real one
        if isinstance(texts, str):
            return self._pool[_number(texts)]
        return self._pool[[_number(text) for text in texts]]


def _number(text: str) -> int:
    return zlib.crc32(" ".join(text.split()).encode()) % _POOL


def load(name: str) -> Any:  # noqa: ANN401 - see above
    """Load a model by the path of its folder, or the fixed vectors."""
    if name == FIXED:
        return FixedVectors()
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds, and only for the real model

    return SentenceTransformer(name, device="cpu")
