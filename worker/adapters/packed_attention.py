"""Sequences one behind the other instead of one below the other: a batch without padding, for models on a processor.

All that a transformer computes token by token does not care where a text ends; only attention and pooling do. So the
tokens of a batch form one long sequence, and attention goes over each text's share of it. sentence-transformers pools
such sequences since version 6, where it calls them flattened. Whether a model is right that way is tried at the start.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor, arange, cat, tensor
from torch.nn import Embedding, Module
from transformers import AttentionInterface
from transformers.integrations import sdpa_attention

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_numbers: Final = itertools.count(1)


class PackedAttention:
    """Belongs to one model, and to the thread that uses it: what is packed is set before each call of the model."""

    def __init__(self, model: "SentenceTransformer") -> None:
        first: Any = model[0]
        self._transformer = first.auto_model
        self._usual: str = self._transformer.config._attn_implementation  # noqa: SLF001 - no public way to read it
        self._name = f"packed_{next(_numbers)}"
        self._runs: list[tuple[int, int, int]] = []
        self._first_position = _first_position(self._transformer)
        self._one_length: Any = sdpa_attention.sdpa_attention_forward
        AttentionInterface.register(self._name, self._attention)

    def switch_on(self) -> None:
        """Let the model attend to each text by itself: from now on it takes `features` only."""
        self._transformer.set_attn_implementation(self._name)

    def switch_off(self) -> None:
        """Undo `switch_on`."""
        self._transformer.set_attn_implementation(self._usual)

    def features(self, batch: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return the model's input for these sequences, special tokens included."""
        lengths = [len(tokens) for tokens in batch]
        ends = [0, *itertools.accumulate(lengths)]
        self._runs, at = [], 0
        for length, same in itertools.groupby(lengths):
            count = len(list(same))
            self._runs.append((at, count, length))
            at += count * length
        positions = cat([arange(length) for length in lengths]) + self._first_position
        return {
            "input_ids": tensor([[token for tokens in batch for token in tokens]]),
            "position_ids": positions[None],
            "cu_seq_lens_q": tensor(ends),
        }

    def _attention(
        self, module: Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **options: object
    ) -> tuple[Tensor, None]:
        """Attend within each text. Tensors have shape (1, heads, tokens, size), the result (1, tokens, heads, size).

        Texts of one length that follow each other are a batch without padding.
        """
        parts = []
        for start, count, length in self._runs:
            q, k, v = (
                whole[0, :, start : start + count * length].view(-1, count, length, whole.shape[-1]).transpose(0, 1)
                for whole in (query, key, value)
            )
            parts.append(self._one_length(module, q, k, v, None, **options)[0].flatten(0, 1))
        return cat(parts)[None], None


def _first_position(transformer: Module) -> int:
    """Return where a model begins to count positions: RoBERTa and its kin do behind their padding token."""
    for module in transformer.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), Embedding):
            return padding + 1
    return 0
