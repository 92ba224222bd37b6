"""A sentence-transformers model on OpenVINO: converted once, then without torch."""

import importlib.util
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from typing_extensions import override

from worker.adapters.model_hub import cache_folder, has_weights, hub_names
from worker.adapters.openvino_cache import converted
from worker.adapters.openvino_conversion import About, quality_texts, read_about, tell_nobody
from worker.adapters.processor import OPENVINO_PROBE, available_processors, avoid_illegal_instructions
from worker.errors import OperatorError
from worker.ports import EmbeddingModel, ModelShape, Vectors
from worker.settings import EmbeddingSettings
from worker.stages.prompts import Prompts

_FLOORS: Final = {"fp32": 0.999, "bf16": 0.999, "int8": 0.99}
_HINTS: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
_FILES: Final = ("*.json", "*.txt", "*.safetensors", "*.model")
_OLDER_WEIGHTS: Final = "*pytorch_model*.bin"
_log = logging.getLogger(__name__)


def refuse_missing_openvino() -> None:
    """Refuse `backend: openvino` where it is not installed; imports nothing.

    Raises:
        OperatorError: saying what to install.
    """
    if importlib.util.find_spec("openvino") is None:
        raise OperatorError(
            "embedding.backend: OpenVINO is not installed: install it with pip install 'syncline[openvino]', or set "
            "backend to torch"
        )


class OpenVinoModel(EmbeddingModel):
    """`ports.EmbeddingModel` on OpenVINO."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._threads = settings.threads or available_processors()
        self._about = About(0, 0, [], [], Prompts())
        self._compiled: Any = None
        self._tokenizer: Any = None

    @override
    def load(self) -> ModelShape:
        """Load the model, converting it first if that was never done, and measure its quality; see the port.

        Raises:
            OperatorError: OpenVINO is not installed, the model cannot be converted, or its quality is too low.
        """
        refuse_missing_openvino()
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        avoid_illegal_instructions(OPENVINO_PROBE)
        tell_nobody()
        import openvino  # noqa: PLC0415 - takes long: only the thread that needs it pays
        from tokenizers import Tokenizer  # noqa: PLC0415

        version = openvino.__version__.partition("-")[0]
        folder = converted(self._settings, model_folder(self._settings), version, self._threads)
        self._about = read_about(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        core = openvino.Core()
        if self._settings.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise OperatorError(
                "embedding.precision: this processor has no arithmetic for bf16: set it to int8 or fp32"
            )
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": _HINTS[self._settings.precision],
        }
        self._compiled = core.compile_model(folder / "model.xml", "CPU", options)
        self._check_quality(np.load(folder / "reference.npy"))
        about = self._about
        special = len(about.before) + len(about.after)
        return ModelShape(about.dimensions, about.max_tokens, special, tells_documents=about.prompts.tells_documents)

    @override
    def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return each text's tokens; see the port."""
        return self._tokenised(self._about.prompts.document, texts)

    @override
    def question_tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Return the tokens of texts that are searched for; see the port."""
        return self._tokenised(self._about.prompts.before_question(), texts)

    @override
    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Return one vector a sequence; see the port."""
        before, after = self._about.before, self._about.after
        ids = np.zeros((len(batch), max(map(len, batch)) + len(before) + len(after)), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            whole = [*before, *tokens, *after]
            ids[row, : len(whole)] = whole
            mask[row, : len(whole)] = 1
        vectors: Vectors = self._compiled({"input_ids": ids, "attention_mask": mask})[0]
        return vectors

    def _tokenised(self, prompt: str, texts: Sequence[str]) -> list[list[int]]:
        whole = [prompt + text for text in texts]
        return [one.ids for one in self._tokenizer.encode_batch(whole, add_special_tokens=False)]

    def _check_quality(self, reference: Vectors) -> None:
        most = self._about.max_tokens
        vectors = np.concatenate([self.embed([tokens[:most]]) for tokens in self.tokens(quality_texts())])
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = (vectors * reference).sum(axis=1)
        precision = self._settings.precision
        floor = self._settings.openvino.quality_floor or _FLOORS[precision]
        said = {"precision": precision, "mean_cosine": round(float(cosines.mean()), 6), "floor": floor}
        _log.info("quality measured", extra={"action": "quality", **said, "min_cosine": round(float(cosines.min()), 6)})
        # Not a number is no quality either.
        if not cosines.mean() >= floor:
            raise OperatorError(
                f"embedding.precision: {precision} vectors of this model have a mean cosine of {cosines.mean():.4f} to "
                f"those of fp32, below the floor of {floor}: set another precision, better calibration texts "
                "(embedding.openvino.calibration_file), or a lower embedding.openvino.quality_floor"
            )


def model_folder(settings: EmbeddingSettings) -> Path:
    """Return the folder of the model, fetched from the hub if it has to be, to where sentence-transformers has it."""
    if settings.path is not None:
        return settings.path
    if Path(settings.model).is_dir():
        return Path(settings.model)
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError  # noqa: PLC0415

    faults: list[Exception] = []
    for name in hub_names(settings.model):
        try:
            return _fetched(name, settings.revision)
        except (LocalEntryNotFoundError, RepositoryNotFoundError) as fault:
            faults.append(fault)
    raise faults[0]


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only where there is no folder

    download = partial(snapshot_download, name, revision=revision, cache_dir=cache_folder())
    folder = Path(download(allow_patterns=list(_FILES)))
    # Not at once: a model that has both would be fetched twice over.
    return folder if has_weights(folder) else Path(download(allow_patterns=[*_FILES, _OLDER_WEIGHTS]))
