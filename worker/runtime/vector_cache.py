"""Vectors of texts that were embedded lately: the same text costs nothing the second time."""

import hashlib
from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

ENTRY_BYTES: Final = 320
"""What an entry takes beside the vector's numbers: key, array object, place in the table. Measured."""


class VectorCache:
    """Bounded in bytes; what was not asked for longest goes first. Used by one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """With 0 nothing is kept."""
        self._max_bytes = max_bytes
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._bytes

    @property
    def is_off(self) -> bool:
        """Whether nothing is ever kept."""
        return self._max_bytes == 0

    def get(self, model: str, text: str) -> Vector | None:
        """Return what this model made of this very text, if that is still known. Not to be written to."""
        key = _key(model, text)
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, model: str, text: str, vector: Vector) -> None:
        """Keep a copy: a row of a whole call's vectors would keep all of them."""
        key = _key(model, text)
        kept = np.array(vector, dtype=np.float32)
        kept.flags.writeable = False
        self._drop(key)
        self._vectors[key] = kept
        self._bytes += kept.nbytes + ENTRY_BYTES
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._vectors)))

    def _drop(self, key: bytes) -> None:
        vector = self._vectors.pop(key, None)
        if vector is not None:
            self._bytes -= vector.nbytes + ENTRY_BYTES


def _key(model: str, text: str) -> bytes:
    """The length of the model's name keeps one model's texts from being another's."""
    return hashlib.blake2b(f"{len(model)} {model} {text}".encode(), digest_size=16).digest()
