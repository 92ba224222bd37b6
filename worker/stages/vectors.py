"""What may be stored as a vector, whoever made it, and which stored vectors stand for each other."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import Halt, HaltReason

_QUANTISED: Final = "#int8"
_OF_DOCUMENT: Final = "#document"
_REMEMBERED: Final = 1000
"""Vectors: two lookups of a backlog."""


class Worth:
    """Whether stored vectors are worth bringing along when rows are looked up, before it is known which are needed.

    To bring one takes about as long as to look up all the rest of its document. So it pays if half of them are taken
    again: for updates outside the text, and not for a replay, where nothing is written.
    """

    def __init__(self) -> None:
        self._there = self._taken = 0.0

    @property
    def is_given(self) -> bool:
        """Whether half or more of the last vectors that there were have been taken again. At first, yes."""
        return 2 * self._taken >= self._there

    def note(self, there: int, taken: int) -> None:
        """Note how many vectors there were, and how many of them were taken again."""
        self._there += there
        self._taken += taken
        if self._there > _REMEMBERED:
            self._there /= 2
            self._taken /= 2


def check_shape(vectors: NDArray[np.float32], count: int, dimensions: int) -> None:
    """Check that there is one vector of the right length a text.

    Raises:
        Halt: there is not.
    """
    if vectors.shape != (count, dimensions):
        raise Halt(HaltReason.EMBEDDER_FAILED, f"the model returned shape {vectors.shape}, not {(count, dimensions)}")


def check_vectors(vectors: NDArray[np.float32], count: int, dimensions: int) -> None:
    """Check what a model returned before it can reach the index.

    Raises:
        Halt: the shape is wrong, or a vector is not finite or zero (which cosine similarity refuses).
    """
    check_shape(vectors, count, dimensions)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if bad.size:
        raise Halt(HaltReason.EMBEDDER_FAILED, f"the model returned {bad.size} of {count} vectors not finite, or zero")


def identity(model: str, revision: str | None, precision: str) -> str:
    """Return what is stored as the origin of a vector: `name`, `name@revision`, and `#int8` behind either.

    The backend is no part of it: vectors of fp32, bf16 and fp16 differ by less than their order in a ranking shows,
    whoever computes them. Those of int8 do not.
    """
    name = model if revision is None else f"{model}@{revision}"
    return f"{name}{_QUANTISED}" if precision == "int8" else name


def of_documents(model: str) -> str:
    """Return the identity of vectors that the same model makes only of documents: `#document` before any `#int8`.

    So where it has prompts: without one, or by plain `encode`, the vector of the same text would be another.
    """
    name = full_precision(model)
    return f"{name}{_OF_DOCUMENT}{model.removeprefix(name)}"


def model_name(model: str) -> str:
    """Return the name and revision in an identity."""
    return full_precision(model).removesuffix(_OF_DOCUMENT)


def full_precision(model: str) -> str:
    """Return the identity of the same model's vectors in full precision."""
    return model.removesuffix(_QUANTISED)


def may_stand_for(stored: str | None, wanted: str) -> bool:
    """Whether a stored vector may be kept where one of `wanted` would be made: it is the same, or a better one."""
    return stored in {wanted, full_precision(wanted)}
