"""A model that runs in another process, behind HTTP. Sends every request once: when to try again is the runtime's."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import aiohttp
import numpy as np
import orjson
from typing_extensions import override

from worker.adapters.http_body import read_body
from worker.adapters.tls import authority_context
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.ports import Embedder, Vectors
from worker.settings import EmbeddingSettings
from worker.settings.embedding_backends import HttpEmbeddingSettings
from worker.stages.embedding_api import (
    Asking,
    Form,
    UnreadableAnswerError,
    UntoldOrderError,
    asked_to_wait,
    fault_of,
    request_body,
    vectors_of,
)
from worker.stages.vectors import check_shape, check_vectors

_OK: Final = 200
_REFUSED_KEY: Final = frozenset({401, 403})
_LARGEST_ANSWER: Final = 256 * 1024 * 1024
_LARGEST_ERROR: Final = 64 * 1024
_FIRST_TEXTS: Final = ("warm up", "and another text")
"""Two, where a request may hold so many: a server that does not tell whose vectors are whose shows that only then."""
_log = logging.getLogger(__name__)


class HttpEmbedder(Embedder):
    """`ports.Embedder` on a server: text-embeddings-inference, or one that speaks as OpenAI does."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._http: HttpEmbeddingSettings = settings.http
        self._asking = Asking(
            self._http.form,
            self._http.model or settings.model,
            truncate=self._http.truncate,
            dimensions=self._http.dimensions,
            base64=self._http.vectors == "base64",
        )
        self._session: aiohttp.ClientSession | None = None
        self._key: str | None = None
        self._dimensions = 0
        self._served: str | None = None

    @property
    @override
    def model(self) -> str:
        """What is stored as the origin of a vector: see `stages.vectors.identity`."""
        return self._settings.identity

    @property
    @override
    def dimensions(self) -> int:
        """Length of a vector; known after `start`."""
        return self._dimensions

    @property
    @override
    def concurrency(self) -> int:
        """Requests that may be in flight at a time."""
        return self._http.concurrency

    @property
    @override
    def most_texts(self) -> int:
        """Texts in one request."""
        return self._http.max_batch

    @property
    def other_model(self) -> str | None:
        """What the server calls its model, where it tells that and it is not `embedding.model`; known after `start`."""
        return None if self._served == self._settings.model else self._served

    @override
    async def start(self) -> None:
        """Embed two texts, and so learn the length of vectors; ask what the server runs, where it tells that.

        Raises:
            OperatorError: the server cannot be reached, refuses, or runs something else than the settings say.
        """
        self._key = await asyncio.to_thread(self._http.read_api_key)
        self._session = _session(self._http)
        if self._http.form is Form.TEI:
            told = await self._told()
            _compare(told, self._settings)
            if isinstance(served := told.get("model_id"), str):
                self._served = served
        try:
            vectors = await self._ask(_FIRST_TEXTS[: self._http.max_batch])
            check_vectors(vectors, len(vectors), vectors.shape[1])
        except (Halt, RetryLater) as error:
            raise OperatorError(
                f"embedding.http: {self._http.endpoint} gives no vectors ({error}): {_remedy(error, self._http)}"
            ) from error
        self._dimensions = vectors.shape[1]
        if self.other_model is not None:
            # No reason to refuse: a server that loads from a folder tells the folder.
            _log.warning(
                f"the embedding server says that it runs {self.other_model}, embedding.model is {self._settings.model}",
                extra={"action": "other_model"},
            )

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector a text. More than `max_batch` of them are several requests, one after the other."""
        parts = []
        for begin in range(0, len(texts), self._http.max_batch):
            part = texts[begin : begin + self._http.max_batch]
            parts.append(await self._checked(part))
        return np.concatenate(parts)

    @override
    async def close(self) -> None:
        """Close the connections; requests in flight fail."""
        if self._session is not None:
            await self._session.close()

    async def _checked(self, texts: Sequence[str]) -> Vectors:
        vectors = await self._ask(texts)
        try:
            check_shape(vectors, len(texts), self._dimensions)
        except Halt as fault:
            # Of several servers behind one address this one may run another model. Who is to blame, the tries tell.
            raise RetryLater(RetryReason.UNREADABLE_RESPONSE, f"the embedding server: {fault}") from fault
        check_vectors(vectors, len(texts), self._dimensions)
        return vectors

    async def _ask(self, texts: Sequence[str]) -> Vectors:
        used = self._key
        status, headers, body = await self._post(request_body(self._asking, texts), used)
        if status == _OK:
            try:
                return vectors_of(self._http.form, body, len(texts))
            except UnreadableAnswerError as error:
                # What stands before the server may have answered for it. Who is to blame, the tries tell.
                raise RetryLater(RetryReason.UNREADABLE_RESPONSE, f"the embedding server: {error}") from error
        fault = fault_of(status, body, asked_to_wait(headers, time.time()), used)
        if status in _REFUSED_KEY and await self._has_newer_key(used):
            raise RetryLater(RetryReason.NEW_CREDENTIALS, f"refused with the key that was in the file before: {fault}")
        raise fault

    async def _post(self, body: bytes, key: str | None) -> tuple[int, dict[str, str], bytes]:
        assert self._session is not None, "start() comes first"
        headers = {"Content-Type": "application/json", **({} if key is None else {"Authorization": f"Bearer {key}"})}
        with _translated():
            # A redirect would carry the key elsewhere, and turn the request into another.
            async with self._session.post(
                self._http.endpoint, data=body, headers=headers, allow_redirects=False
            ) as answer:
                limit = _LARGEST_ANSWER if answer.status == _OK else _LARGEST_ERROR
                content = await read_body(answer, limit)
                return answer.status, {name.title(): value for name, value in answer.headers.items()}, content

    async def _has_newer_key(self, used: str | None) -> bool:
        """Read the key's file again; whether it, or somebody who read it meanwhile, brought another one."""
        # An unreadable file is about to be replaced, perhaps: what is known stays in use.
        with contextlib.suppress(OperatorError):
            self._key = await asyncio.to_thread(self._http.read_api_key)
        return self._key != used

    async def _told(self) -> dict[str, object]:
        """Return what a text-embeddings-inference says of itself; nothing if what answers is only like one."""
        assert self._session is not None
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        url = self._http.endpoint.removesuffix("/embed") + "/info"
        try:
            with _translated():
                async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                    content = orjson.loads(await read_body(answer, _LARGEST_ERROR)) if answer.status == _OK else None
        except (RetryLater, orjson.JSONDecodeError):
            return {}
        return content if isinstance(content, dict) else {}


def _session(http: HttpEmbeddingSettings) -> aiohttp.ClientSession:
    context = authority_context("embedding.http.ca_file", http.ca_file, "the server's certificate")
    timeout = aiohttp.ClientTimeout(total=http.request_timeout, sock_connect=http.connect_timeout)
    connector = aiohttp.TCPConnector(limit=http.concurrency + 1, ssl=context)
    return aiohttp.ClientSession(connector=connector, timeout=timeout)


def _compare(told: Mapping[str, object], settings: EmbeddingSettings) -> None:
    """Refuse a server that says it runs another revision, or takes smaller batches, than the settings say.

    Raises:
        OperatorError: naming the setting.
    """
    limit, revision = told.get("max_client_batch_size"), told.get("model_sha")
    if isinstance(limit, int) and limit < settings.http.max_batch:
        raise OperatorError(
            f"embedding.http.max_batch: the server takes {limit} texts a request, this is {settings.http.max_batch}: "
            f"set it to {limit}, or start the server with a larger --max-client-batch-size"
        )
    if isinstance(revision, str) and settings.revision is not None and revision != settings.revision:
        raise OperatorError(
            f"embedding.revision: the server runs the revision {revision} of its model and not {settings.revision}: "
            "set embedding.revision to what it runs, or start it with --revision"
        )


def _remedy(error: Halt | RetryLater, http: HttpEmbeddingSettings) -> str:
    key = "embedding.http.api_key_file" if http.api_key is None else "embedding.http.api_key"
    if isinstance(error.__cause__, UntoldOrderError):
        return "set embedding.http.max_batch to 1, or use a server that numbers its embeddings"
    match error.reason:
        case HaltReason.UNAUTHENTICATED | HaltReason.FORBIDDEN:
            return f"give a key that the server accepts as {key}"
        case HaltReason.EMBEDDER_UNAVAILABLE:
            return "raise the account's limit"
        case HaltReason.EMBEDDER_FAILED:
            return "check embedding.http.form and the names of the model"
        case RetryReason.CONNECTION:
            return "check embedding.http.url, http or https included, and that the server runs"
        case RetryReason.TIMEOUT:
            return "check embedding.http.url, connect_timeout and request_timeout"
        case RetryReason.REJECTED | RetryReason.SERVER_ERROR | RetryReason.NEW_CREDENTIALS:
            return "try again when the server has recovered"
        case _:
            return "check embedding.http.url and embedding.http.form"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the client's exceptions into `RetryLater` or `OperatorError`."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise OperatorError(
            f"embedding.http: the server's certificate is not to be trusted ({error.certificate_error}): "
            "check url and ca_file"
        ) from error
    except aiohttp.ClientSSLError as error:
        raise OperatorError(
            f"embedding.http: the TLS handshake failed ({error.os_error}): check url and ca_file"
        ) from error
    except TimeoutError as error:
        raise RetryLater(RetryReason.TIMEOUT, "the embedding server did not answer in time") from error
    except aiohttp.ClientConnectionError as error:
        raise RetryLater(RetryReason.CONNECTION, f"the embedding server cannot be reached: {error}") from error
    except UnicodeError as error:  # a part of the server's name is empty or too long
        raise OperatorError("embedding.http.url: its host is no name that a server can have: correct it") from error
    except aiohttp.ClientError as error:
        raise RetryLater(
            RetryReason.UNREADABLE_RESPONSE, f"the embedding server's answer broke off: {error}"
        ) from error
