"""A sentence-transformers model on torch, called past `encode`.

`encode` tokenises, sorts by characters and pads batches of a fixed number of texts; here tokens come in, packed.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from typing_extensions import override

from worker.adapters.processor import available_processors, avoid_illegal_instructions
from worker.ports import EmbeddingModel, ModelShape, Vectors
from worker.settings import EmbeddingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_FALLBACK_TOKENS: Final = 8192
_PROBE: Final = "a"


class TorchModel(EmbeddingModel):
    """`ports.EmbeddingModel` on sentence-transformers and torch."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._model: SentenceTransformer | None = None
        self._before: list[int] = []
        self._after: list[int] = []

    @override
    def load(self) -> ModelShape:
        """Load the model; see the port."""
        settings = self._settings
        path = settings.model if settings.path is None else str(settings.path)
        # Both libraries read these when they are imported, which happens here for the first time. A folder needs no
        # hub, and a worker that asks one at every start fails with it.
        if Path(path).is_dir():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if settings.precision == "bf16" and settings.device == "cpu":
            avoid_illegal_instructions()
        import torch  # noqa: PLC0415 - takes seconds: only the thread that needs it pays
        import transformers  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(settings.threads or available_processors())
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kwargs = {} if settings.precision == "fp32" else {"dtype": types[settings.precision]}
        model = SentenceTransformer(path, revision=settings.revision, device=settings.device, model_kwargs=kwargs)
        model.eval()
        self._model = model
        self._before, self._after = self._special_tokens()
        dimensions = len(self.embed([[]])[0])
        special = len(self._before) + len(self._after)
        most = min(model.max_seq_length or _FALLBACK_TOKENS, _FALLBACK_TOKENS)
        return ModelShape(dimensions, int(most) - special, special)

    @override
    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return each text's tokens; see the port."""
        return self._tokenised(list(texts), special=False)

    @override
    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a sequence; see the port."""
        import torch  # noqa: PLC0415 - imported already

        assert self._model is not None, "load() comes first"
        special = len(self._before) + len(self._after)
        ids = np.zeros((len(batch), special + max(map(len, batch))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            whole = [*self._before, *tokens, *self._after]
            ids[row, : len(whole)] = whole
            mask[row, : len(whole)] = 1
        with torch.inference_mode():
            device = self._model.device
            features = {
                "input_ids": torch.from_numpy(ids).to(device),
                "attention_mask": torch.from_numpy(mask).to(device),
            }
            vectors: Vectors = self._model(features)["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _tokenised(self, texts: list[str], *, special: bool) -> list[list[int]]:
        assert self._model is not None, "load() comes first"
        ids: list[list[int]] = self._model.tokenizer(
            texts,
            add_special_tokens=special,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # a warning for every long text: they are counted instead
        )["input_ids"]
        return ids

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        (plain,), (whole,) = self._tokenised([_PROBE], special=False), self._tokenised([_PROBE], special=True)
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        raise ValueError("its tokeniser alters a text where it adds special tokens")
