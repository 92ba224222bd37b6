"""Texts of many lengths to batches of like length, and long texts to windows.

Most models compute every sequence of a batch at the length of the longest: what is shorter is padded, and paid for.
Others take one sequence behind the other.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_LONGEST: Final = 8192
"""Tokens of a sequence, whatever a model declares: some declare no bound."""


def text_tokens(declared: float | None, special: int) -> int:
    """Return how many tokens of a text fit into a model's sequence, where `special` go around each.

    `declared` is its `max_seq_length`; None where it has none.

    Raises:
        ValueError: none does, and windows of no tokens would never come to the end of a text.
    """
    longest = _LONGEST if declared is None else int(min(declared, _LONGEST))
    if longest <= special:
        raise ValueError(
            f"max_seq_length is {longest}, and {special} tokens of each sequence are special ones: no text fits in"
        )
    return longest - special


def packed(lengths: Sequence[int], budget: int, *, padded: bool = True) -> list[list[int]]:
    """Return batches of positions, each position once, longest sequences first.

    Each batch is at most `budget` tokens, where `padded` with every sequence as long as the longest of its batch. A
    sequence that is longer goes alone.
    """
    batches: list[list[int]] = []
    longest = tokens = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        tokens += longest if padded else lengths[position]
        if batches and tokens <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
            longest = tokens = lengths[position]
    return batches


def windows(length: int, longest: int, most: int) -> list[range]:
    """Return where to cut a text of `length` tokens: windows of at most `longest`, at most `most` of them.

    They follow each other and are equally long but for one token: a short rest would say little, and pad much. What
    `most` of the longest windows cannot hold is left out at the end. A text without tokens is one empty window.
    """
    kept = min(length, longest * most)
    count = max(1, -(-kept // longest))
    return [range(kept * number // count, kept * (number + 1) // count) for number in range(count)]


def shared_start(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all the sequences begin with: those of a prompt, if that is all they have in common.

    What a tokeniser joins with the text behind it, as the last space, is no part of that.
    """
    start = zip(*sequences, strict=False)
    return next((count for count, tokens in enumerate(start) if len(set(tokens)) > 1), min(map(len, sequences)))


def pieces(tokens: Sequence[int], start: int, cuts: Sequence[range]) -> list[list[int]]:
    """Return the windows of a text, each behind its first `start` tokens, where `cuts` count from; see `windows`."""
    return [[*tokens[:start], *tokens[start + cut.start : start + cut.stop]] for cut in cuts]


def averaged(vectors: Vectors, cuts: Sequence[Sequence[range]]) -> Vectors:
    """Return one vector a text: the average of its windows' vectors, weighted by their tokens.

    `cuts` holds the windows of each text, `vectors` a vector for each of them, in this order.
    """
    if len(vectors) == len(cuts):
        return vectors
    starts = np.cumsum([0, *(len(windows) for windows in cuts)])[:-1]
    weights = np.array([max(len(window), 1) for windows in cuts for window in windows], dtype=np.float32)
    sums = np.add.reduceat(vectors * weights[:, None], starts, axis=0)
    return (sums / np.add.reduceat(weights, starts)[:, None]).astype(np.float32, copy=False)


def normalised(vectors: Vectors) -> Vectors:
    """Return the vectors at unit length; one that is zero or not finite stays what it is, or becomes not finite."""
    # In double precision: squares of very small numbers are zero in single, and those of large ones infinite.
    squares: NDArray[np.float64] = np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True)
    norms = np.sqrt(squares)
    norms[norms == 0] = 1
    return (vectors / norms).astype(np.float32, copy=False)
