"""A model without weights: a word is a token, and a sequence's vector is the sum of its tokens' vectors."""

from collections.abc import Callable, Sequence

import numpy as np
from typing_extensions import override

from tests.fakes.embedder import vector_of
from worker.ports import EmbeddingModel, ModelShape, Vectors

MAX_TOKENS = 8
SPECIAL_TOKENS = 2


class FakeModel(EmbeddingModel):
    def __init__(self, dimensions: int = 8, prompt: str = "") -> None:
        self.prompt = prompt
        """What goes before each document."""
        self.batches: list[list[int]] = []
        """The lengths of the sequences of each batch, special tokens apart."""
        self.characters = 0
        """How many were tokenised."""
        self.spoil: Callable[[Vectors], Vectors] = lambda vectors: vectors
        self._dimensions = dimensions
        self._words: list[str] = []

    @override
    def load(self) -> ModelShape:
        return ModelShape(self._dimensions, MAX_TOKENS, SPECIAL_TOKENS, tells_documents=bool(self.prompt))

    @override
    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        self.characters += sum(map(len, texts))
        return [[self._number(word) for word in (self.prompt + text).split()] for text in texts]

    @override
    def question_tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [[self._number(word) for word in text.split()] for text in texts]

    @override
    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        assert all(len(sequence) <= MAX_TOKENS for sequence in batch)
        self.batches.append([len(sequence) for sequence in batch])
        return self.spoil(np.stack([self.vector([self._words[token] for token in sequence]) for sequence in batch]))

    def vector(self, words: Sequence[str]) -> Vectors:
        """Return what a sequence becomes; not of unit length."""
        vectors = np.stack([vector_of(word, self._dimensions) for word in ["", *words]])
        total: Vectors = vectors.sum(axis=0, dtype=np.float32)
        return total

    def _number(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)
