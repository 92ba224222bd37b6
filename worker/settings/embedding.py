"""Which model turns text into vectors, and how it may use the machine."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from worker.settings.embedding_backends import HttpEmbeddingSettings, OpenVinoSettings
from worker.settings.types import Bytes, Group, refuse
from worker.stages.vectors import identity

_MIB = 1024 * 1024


class LongTexts(StrEnum):
    """What becomes of a text that is longer than the model takes."""

    TRUNCATE = "truncate"
    MEAN = "mean"


class EmbeddingSettings(Group):
    """The model that turns text into vectors, and what it may use. How to choose: docs/embedding.md."""

    model: str = Field(default="sentence-transformers/all-MiniLM-L6-v2", min_length=1)
    """Name of the model, as it is stored with every document: a document of another model is embedded anew."""
    path: Path | None = None
    """Folder that holds the model, where it is not to be taken from the model hub: in an image, or offline."""
    revision: str | None = Field(default=None, min_length=1)
    """Commit or tag of the model. Pin it: a model that changes under its name spoils the index silently."""
    backend: Literal["torch", "openvino", "http"] = "torch"
    """What computes the model: `torch`; `openvino`, up to four times as fast on a CPU, where it is installed
    (`pip install '.[openvino]'`); `http` is a server, see `embedding.http`."""
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    """Where the model runs."""
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    """Arithmetic. `bf16` is nearly twice as fast on processors that have it, at a mean cosine of 0.9999 to fp32; `fp16`
    is for GPUs; `int8` is for `backend: openvino`, three to four times as fast, at 0.997."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """CPU threads of the model; default: the processors that the container's CPU limit and affinity leave to it."""
    batch_tokens: int = Field(default=1024, ge=1, le=1_048_576)
    """Tokens that the model computes at once, padding included: texts of like length share a batch of so many. A GPU
    wants more, 32768 or so. A single longer text still goes alone."""
    long_texts: LongTexts = LongTexts.TRUNCATE
    """A text of more tokens than the model takes: `truncate` embeds its beginning only, and counts what is lost;
    `mean` embeds it window by window and takes the average, at the cost of a text a window."""
    long_text_windows: int = Field(default=128, ge=1, le=10_000)
    """Windows of one text at most, for `long_texts: mean`; what comes after them is lost, and counted. One huge text
    would otherwise hold up all others for minutes."""
    cache_size: Bytes = Field(default=Bytes(64 * _MIB), ge=0)
    """Memory for vectors of texts that were embedded lately: the same text is not embedded again. 0 keeps none."""
    openvino: OpenVinoSettings = OpenVinoSettings()
    """How `backend: openvino` converts the model, and what it accepts of the result."""
    http: HttpEmbeddingSettings = HttpEmbeddingSettings()
    """The server of `backend: http`."""

    @property
    def identity(self) -> str:
        """What is stored with a document as the origin of its vector: see `stages.vectors.identity`."""
        return identity(self.model, self.revision, self.precision)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        if self.precision == "int8" and self.backend != "openvino":
            yield "precision int8 needs backend: openvino"
        if self.backend == "openvino" and self.device != "cpu":
            yield "backend openvino runs on the processor: set device to cpu, or backend to torch"
        if self.precision == "fp16" and self.device == "cpu":
            yield "precision fp16 is for device cuda or mps: on a processor use bf16 or fp32"
        if self.backend == "http":
            yield from self._http_mistakes()

    def _http_mistakes(self) -> Iterator[str]:
        if self.http.url is None:
            yield "backend http needs the server's address: set embedding.http.url"
        if self.http.model is not None and "model" not in self.model_fields_set:
            # Or a change of `http.model` would be none of what is stored, and vectors of two models mix.
            yield f"http.model is {self.http.model}, but documents would carry {self.model}: set embedding.model, too"
        for name in ("path", "device", "precision", "threads", "batch_tokens", "long_texts", "long_text_windows"):
            if name in self.model_fields_set:
                yield f"{name} is the server's own matter with backend: http: leave it out"
