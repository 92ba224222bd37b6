"""Where the model runs, if it is not torch in this process: a server, or OpenVINO."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from worker.settings.types import Group, Seconds, given_twice, read_secret, refuse
from worker.stages.embedding_api import Form, endpoint


class HttpEmbeddingSettings(Group):
    """A server that embeds, for `backend: http`."""

    url: HttpUrl | None = None
    """Address of the server, such as `http://embeddings:8080`; the path of the call is added where it is missing."""
    form: Form = Form.TEI
    """What the server speaks: `tei` is text-embeddings-inference's `POST /embed`; `openai` is `POST /v1/embeddings`,
    which OpenAI, vLLM, Ollama, llama.cpp and others have."""
    model: str | None = Field(default=None, min_length=1)
    """What the server calls the model (`openai` only); default `embedding.model`."""
    api_key: SecretStr | None = Field(default=None, min_length=1)
    """Key that is sent as a bearer token; better given as `api_key_file`."""
    api_key_file: Path | None = None
    """File whose first line is the key; read again when the server refuses the one in use."""
    ca_file: Path | None = None
    """PEM file of the authorities that sign the server's certificate; default: the system's."""
    max_batch: int = Field(default=32, ge=1, le=4096)
    """Texts in one request. A text-embeddings-inference takes 32 unless it was started with another limit."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Requests at a time, at most: the number falls by half while the server is overloaded, and grows back."""
    connect_timeout: Seconds = Field(default=5.0, gt=0)
    """Seconds for a connection, its TLS handshake included."""
    request_timeout: Seconds = Field(default=60.0, gt=0)
    """Seconds for one request."""
    truncate: bool = True
    """Whether the server may cut what is too long for the model (`tei` only); if not, such a row is dead-lettered."""
    dimensions: int | None = Field(default=None, ge=1, le=4096)
    """Length of the vectors to ask for (`openai` only), of a model that can shorten them; default: the model's own."""
    vectors: Literal["floats", "base64"] = "floats"
    """How the server is to write vectors (`openai` only): `base64` is a third of the bytes, where it is understood."""

    def read_api_key(self) -> str | None:
        """Return the key from its setting or its file."""
        return read_secret("embedding.http.api_key", self.api_key, self.api_key_file)

    @property
    def endpoint(self) -> str:
        """Where requests go."""
        return endpoint(str(self.url), self.form)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        yield from given_twice("api_key", self.api_key, self.api_key_file)
        if self.url is not None and (self.url.username or self.url.password):
            yield "url: leave the user and password out of the URL and set api_key_file"
        if self.url is not None and self.url.scheme != "https" and self.ca_file is not None:
            yield "ca_file needs a url that begins with https://"
        if self.form is Form.TEI:
            for name in ("model", "dimensions"):
                if getattr(self, name) is not None:
                    yield f"{name} is for form: openai; a text-embeddings-inference serves one model as it is"
            if self.vectors != "floats":
                yield "vectors is for form: openai; a text-embeddings-inference writes numbers"
        elif not self.truncate:
            yield "truncate is for form: tei; with openai the server decides what becomes of texts that are too long"


class OpenVinoSettings(Group):
    """How OpenVINO converts the model, for `backend: openvino`."""

    cache_dir: Path | None = None
    """Folder where the converted model is kept, some tens of MB; default: `openvino` in the model's own folder. It is
    filled at the first start, which takes torch and up to minutes; a later start takes seconds, and only reads it."""
    calibration_file: Path | None = None
    """Text file for `precision: int8`, UTF-8, a text a line, 100 or more, best of your own: the ranges of the numbers
    are taken from them. Default: sentences in several languages that come with the package."""
    quality_floor: float | None = Field(default=None, gt=0, le=1)
    """Least mean cosine to the vectors of fp32 torch, on a fixed set of texts, with which the worker starts; default
    0.999, and 0.99 for `int8`."""
