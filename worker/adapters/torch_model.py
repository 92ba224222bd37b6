"""A sentence-transformers model on torch, called past `encode`.

`encode` tokenises, sorts by characters and pads batches of a fixed number of texts; here tokens come in, packed.
"""

import logging
import os
import string
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from worker.adapters.processor import available_processors, avoid_illegal_instructions
from worker.errors import OperatorError
from worker.logs import adopt_libraries
from worker.ports import EmbeddingModel, ModelShape, Vectors
from worker.settings import EmbeddingSettings
from worker.stages.packing import normalised, text_tokens
from worker.stages.prompts import Prompts, prompts_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

    from worker.adapters.packed_attention import PackedAttention

_log = logging.getLogger(__name__)

_TRIES: Final = 5
_PROBE: Final = "a"
_TRIAL: Final = " ".join(string.ascii_lowercase)
_TRIAL_TOKENS: Final = 2048
_SAME: Final = {"fp32": 0.99999, "bf16": 0.999, "fp16": 0.999}
"""Least cosine of a vector that was made in another batch: sums are rounded in another order there."""


class TorchModel(EmbeddingModel):
    """`ports.EmbeddingModel` on sentence-transformers and torch."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._model: SentenceTransformer | None = None
        self._prompts = Prompts()
        self._before: list[int] = []
        self._after: list[int] = []
        self._packed: PackedAttention | None = None

    @property
    def is_packed(self) -> bool:
        """Whether batches go without padding; known after `load`."""
        return self._packed is not None

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

        adopt_libraries()
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise OperatorError(
                "embedding.device is cuda, but torch sees no GPU: give the container one, install a torch with CUDA, "
                "or set embedding.device to cpu"
            )
        torch.set_num_threads(settings.threads or available_processors())
        types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        # Left out, it would be what the weights are stored in.
        kwargs = {"dtype": types[settings.precision]}
        model = SentenceTransformer(path, revision=settings.revision, device=settings.device, model_kwargs=kwargs)
        model.eval()
        if not hasattr(model[0], "auto_model"):
            raise ValueError(f"it begins with {type(model[0]).__name__}, and only transformers are supported")
        self._model = model
        self._prompts = prompts_of(model.prompts, model.default_prompt_name, model)
        self._before, self._after = self._special_tokens()
        special = len(self._before) + len(self._after)
        most = text_tokens(model.max_seq_length, special)
        if settings.device == "cpu":
            self._pack(most)
            if settings.precision == "bf16":
                _warn_of_slow_bf16()
        dimensions = len(self.embed(self.tokens([_PROBE]))[0])
        told = self._prompts.tells_documents
        return ModelShape(dimensions, most, special, padded=self._packed is None, tells_documents=told)

    @override
    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return each text's tokens; see the port."""
        return self._tokenised([self._prompts.document + text for text in texts], special=False)

    @override
    def question_tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return the tokens of texts that are searched for; see the port."""
        prompt = self._prompts.before_question()
        return self._tokenised([prompt + text for text in texts], special=False)

    @override
    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a sequence; see the port."""
        whole = [[*self._before, *tokens, *self._after] for tokens in batch]
        return self._vectors(self._padded(whole) if self._packed is None else self._packed.features(whole))

    def _vectors(self, features: "Mapping[str, Tensor]") -> Vectors:
        import torch  # noqa: PLC0415 - imported already

        assert self._model is not None, "load() comes first"
        with torch.inference_mode():
            placed = {name: value.to(self._model.device) for name, value in features.items()}
            vectors: Vectors = self._model(placed)["sentence_embedding"].float().cpu().numpy()
        return vectors

    @staticmethod
    def _padded(batch: Sequence[Sequence[int]]) -> "Mapping[str, Tensor]":
        import torch  # noqa: PLC0415 - imported already

        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _pack(self, longest: int) -> None:
        """Go over to batches without padding, if the libraries can and the model gives the same vectors that way."""
        assert self._model is not None, "load() comes first"
        (words,) = self._tokenised([_TRIAL], special=False)
        longest = min(longest, _TRIAL_TOKENS)
        texts = [(words * longest)[:longest], words[:3], words[-3:], words[:1]]
        trial = [[*self._before, *text, *self._after] for text in texts]
        usual = normalised(self._vectors(self._padded(trial)))
        packed = None
        try:
            from worker.adapters.packed_attention import PackedAttention  # noqa: PLC0415 - imports torch

            packed = PackedAttention(self._model)
            packed.switch_on()
            cosines = (usual * normalised(self._vectors(packed.features(trial)))).sum(axis=1)
            if cosines.min() >= _SAME[self._settings.precision]:
                self._packed = packed
        except (ImportError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            _log.debug("batches are padded: %s", error)
        if self._packed is None and packed is not None:
            packed.switch_off()

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


def _warn_of_slow_bf16() -> None:
    """Tell an operator whose processor takes longer for bf16 than for fp32: some only emulate it, or do half of it."""
    import torch  # noqa: PLC0415 - imported already

    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        texts, weights = torch.ones(256, 384, dtype=kind), torch.ones(1536, 384, dtype=kind)
        tries = []
        for _ in range(_TRIES):
            started = time.perf_counter()
            torch.nn.functional.linear(texts, weights)
            tries.append(time.perf_counter() - started)
        seconds[kind] = min(tries)
    if seconds[torch.bfloat16] > seconds[torch.float32]:
        _log.warning(
            "bf16 takes longer than fp32 on this processor: set embedding.precision to fp32",
            extra={"action": "precision", "times": round(seconds[torch.bfloat16] / seconds[torch.float32], 1)},
        )
