"""What is said to a server that embeds, and what its answers mean.

Two forms are understood: `POST /embed` of text-embeddings-inference, and `POST /v1/embeddings` of OpenAI, which many
servers have taken over, each with liberties of its own: data out of order, vectors as base64 or not whatever was asked
for, errors in half a dozen shapes.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import orjson
from numpy.typing import NDArray

from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.stages.packing import normalised

_LONGEST_DETAIL: Final = 300
_PLACES_TOLD: Final = 4
_LONGEST_PLACES: Final = 40
_LITTLE_ENDIAN: Final = np.dtype("<f4")
_UNAUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY_REQUESTS: Final = 429
_REFUSALS: Final = frozenset({400, 413, 422})
"""What a server answers that does not take the texts of this request."""
_PASSING: Final = frozenset({408, 409, 424, 425})
"""424 is text-embeddings-inference's word for a model that broke: on these texts, or for want of memory, or altogether.
Which of them, only further tries can tell."""
_SERVER_ERRORS: Final = range(500, 600)


class Form(StrEnum):
    """What a server speaks."""

    TEI = "tei"
    OPENAI = "openai"


class UnreadableAnswerError(ValueError):
    """What came back is not a vector for each text."""


class UntoldOrderError(UnreadableAnswerError):
    """There are as many vectors as texts, and nobody knows whose they are."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What every request of a worker has in common."""

    form: Form
    model: str
    truncate: bool = True
    dimensions: int | None = None
    base64: bool = False


def endpoint(url: str, form: Form) -> str:
    """Return where requests go: the path of the call is added to the server's address unless it is there."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if form is Form.TEI:
        path = path if path.endswith("/embed") else f"{path}/embed"
    elif path.endswith("/v1"):
        path = f"{path}/embeddings"
    elif not path.endswith("/embeddings"):
        path = f"{path}/v1/embeddings"
    return urlunsplit(parts._replace(path=path))


def request_body(asking: Asking, texts: Sequence[str]) -> bytes:
    """Return the JSON to send. Texts hold no lone surrogates: those are rejected when they are read."""
    if asking.form is Form.TEI:
        return orjson.dumps({"inputs": list(texts), "truncate": asking.truncate, "normalize": True})
    body = {
        "model": asking.model,
        "input": list(texts),
        "encoding_format": "base64" if asking.base64 else "float",
    }
    return orjson.dumps(body if asking.dimensions is None else {**body, "dimensions": asking.dimensions})


def vectors_of(form: Form, answer: bytes, count: int) -> NDArray[np.float32]:
    """Return a vector of unit length for each of `count` texts, in their order: shape (count, dimensions).

    What is not finite or zero stays so: whoever asked checks that. Raises `UnreadableAnswerError`.
    """
    try:
        content = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        raise UnreadableAnswerError(f"the answer is not JSON: {error}") from error
    found = _of_tei(content) if form is Form.TEI else _of_openai(content)
    if len(found) != count:
        raise UnreadableAnswerError(f"the server returned {len(found)} vectors for {count} texts")
    vectors = [_vector(one) for one in found]
    if len({vector.shape for vector in vectors}) != 1 or vectors[0].ndim != 1 or not vectors[0].size:
        raise UnreadableAnswerError("the server returned vectors of different lengths")
    stacked = np.stack(vectors)
    with np.errstate(invalid="ignore"):
        return normalised(stacked)


def _of_tei(content: object) -> Sequence[object]:
    if not isinstance(content, list):
        raise UnreadableAnswerError(f"the answer is a {type(content).__name__} and not a list of vectors")
    return content


def _of_openai(content: object) -> Sequence[object]:
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) and "embedding" in one for one in data):
        raise UnreadableAnswerError("the answer has no list of embeddings under `data`")
    # A server that names no places means the order in which it answers.
    places = [one.get("index", number) for number, one in enumerate(data)]
    if sorted(places, key=str) != sorted(range(len(data)), key=str):
        told = ", ".join(map(str, places[:_PLACES_TOLD]))[:_LONGEST_PLACES]
        raise UntoldOrderError(f"the embeddings' `index` is {told}, and not each number from 0 once: whose are they?")
    return [one["embedding"] for _, one in sorted(zip(places, data, strict=True), key=lambda pair: int(pair[0]))]


def _vector(value: object) -> NDArray[np.float32]:
    try:
        if isinstance(value, str):
            return np.frombuffer(b64decode(value, validate=True), dtype=_LITTLE_ENDIAN)
        # `null` is what becomes of NaN in JSON.
        return np.array(value, dtype=np.float32)
    except (binascii.Error, ValueError, TypeError) as error:
        raise UnreadableAnswerError(f"an embedding is no list of numbers: {error}") from error


def fault_of(status: int, answer: bytes, wait_s: float | None, secret: str | None = None) -> Halt | RetryLater:
    """Return what an answer other than 200 asks for; `secret` is kept out of what is said of it.

    `Halt` with reason `embedder_failed` means that these texts, or all texts, are refused.
    """
    if secret:
        # Before anything is cut: a part of it is too much as well.
        answer = answer.replace(secret.encode(), b"***")
    detail, code = _described(answer)
    if secret:  # it may have been written with escapes
        detail = detail.replace(secret, "***")
    said = f"the embedding server answered {status}: {detail}"[:_LONGEST_DETAIL]
    if status == _UNAUTHENTICATED:
        return Halt(HaltReason.UNAUTHENTICATED, said)
    if status == _FORBIDDEN:
        return Halt(HaltReason.FORBIDDEN, said)
    if status == _TOO_MANY_REQUESTS:
        # Of its two kinds one passes by itself, and the other when somebody pays.
        if code == "insufficient_quota":
            return Halt(HaltReason.EMBEDDER_UNAVAILABLE, said)
        return RetryLater(RetryReason.REJECTED, said, wait_s)
    if status in _SERVER_ERRORS or status in _PASSING:
        return RetryLater(RetryReason.SERVER_ERROR, said, wait_s)
    return Halt(HaltReason.EMBEDDER_FAILED if status in _REFUSALS else HaltReason.MISCONFIGURED, said)


def asked_to_wait(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds that a server asks to wait: by `Retry-After`, seconds or a date, or by `Retry-After-Ms`.

    Names of headers come in title case.
    """
    try:
        if (milliseconds := headers.get("Retry-After-Ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        if (value := headers.get("Retry-After")) is None:
            return None
        if value.strip().replace(".", "", 1).isdecimal():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _described(answer: bytes) -> tuple[str, str]:
    """Return what an error's body says, without the texts that some servers repeat in it, and its code."""
    try:
        content = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return " ".join(answer[:_LONGEST_DETAIL].decode("utf-8", "replace").split()) or "no body", ""
    if not isinstance(content, dict):
        return "no reason", ""
    error = content.get("error", content)
    if isinstance(error, dict):
        detail = error.get("message") or _of_fastapi(error.get("detail")) or error.get("type")
        return str(detail or "no reason"), str(error.get("code") or error.get("type") or "")
    return str(error), str(content.get("error_type", ""))


def _of_fastapi(detail: object) -> str | None:
    if isinstance(detail, list):
        return "; ".join(str(one.get("msg")) for one in detail if isinstance(one, dict))
    return None if detail is None else str(detail)
