"""The embedding model, as the pipeline sees it, and as one of this process is seen by what feeds it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Text to vectors. The work happens in a thread of its own, or behind HTTP; the event loop stays free."""

    @property
    def model(self) -> str:
        """Name and revision of the model, as it is stored with every document; known in full after `start`."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    @property
    def concurrency(self) -> int:
        """How many calls of `embed` are worth making at a time.

        For a model of this process two: while it is at one the next is ready, so its thread never waits for the event
        loop.
        """
        return 2

    @property
    def most_texts(self) -> int:
        """How many texts `embed` takes at once. Of more it makes several calls, all of them again after a fault."""
        return sys.maxsize

    async def start(self) -> None:
        """Load the model and embed one text. Raises `OperatorError` if the model is missing or broken."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one finite, non-zero vector a text: shape (len(texts), dimensions), float32, in order.

        Raises `Halt` with reason `embedder_failed` where it fails on these texts, or on any: the caller tells which.
        One behind HTTP also raises `RetryLater`, and `Halt` with reasons of its own.
        """

    async def embed_question(self, words: str) -> Vectors:
        """Return the vector of what is searched for: shape (1, dimensions). Some models want a prompt before it.

        Raises `OperatorError` where that cannot be put there, and what `embed` does.
        """
        return await self.embed([words])

    async def close(self) -> None:
        """Let the thread end. Returns when the call in progress has ended."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What an `EmbeddingModel` takes and gives.

    `max_tokens` is the longest sequence that it takes, without the `special_tokens` that it puts around each. `padded`:
    every sequence of a batch costs as much as the longest. `tells_documents`: as in `stages.prompts`; `sync.model` says
    so.
    """

    dimensions: int
    max_tokens: int
    special_tokens: int
    padded: bool = True
    tells_documents: bool = False


class EmbeddingModel(Protocol):
    """A model inside this process: tokens in, vectors out. One thread makes every call, `load` the first of them.

    What to do with long texts, with many, with the same ones again is not its concern: see
    `adapters/local_embedder.py`. Any exception of `tokens` or `embed` counts as a failure on these texts.
    """

    def load(self) -> ModelShape:
        """Load the model. Raises `OSError`, `ValueError`, `ImportError` or `RuntimeError` if that fails."""

    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return each document's tokens: all of them, however many, without special tokens. Perhaps none.

        A prompt for documents is part of them.
        """

    def question_tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return the tokens of texts that are searched for: of a model that tells them from documents, other ones.

        Raises `OperatorError` where it cannot.
        """
        return self.tokens(texts)

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a sequence: shape (len(batch), dimensions), float32, in order, of any length.

        The sequences are of like length, at most `max_tokens` each; one may be empty.
        """
