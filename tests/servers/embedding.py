"""A server that embeds, for tests: `POST /embed` of text-embeddings-inference, and OpenAI's `POST /v1/embeddings`.

Its vectors are those of the fake embedder. It goes wrong on command: see `EmbeddingServer`.
"""

import asyncio
import random
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from aiohttp import web

from tests.fakes.embedder import vector_of
from tests.servers.processes import LOOPBACK

DIMENSIONS: Final = 8
LIMIT: Final = 32
POISON: Final = "POISON"


@dataclass
class EmbeddingServer:
    """What it does may be changed at any time; the next request sees it."""

    url: str = ""
    key: str | None = None
    """The bearer token that it asks for."""
    answers: Callable[[list[str]], web.StreamResponse | None] = lambda _: None
    """Asked first: what it returns is the answer instead of vectors."""
    before: Callable[[list[str]], Awaitable[None]] | None = None
    """Awaited before every answer."""
    change: Callable[[Any], Any] = lambda content: content
    """What becomes of the content before it is sent."""
    cut_off: bool = False
    """Whether it breaks off in the middle of its answer."""
    dimensions: int = DIMENSIONS
    info: dict[str, object] | None = field(default_factory=lambda: {"model_id": "fake", "max_client_batch_size": LIMIT})
    requests: list[list[str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        texts = body["inputs"]
        return await self._answer(request, body, texts, lambda: [self._vector(text).tolist() for text in texts])

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        texts = body["input"]

        def content() -> dict[str, Any]:
            packs = body.get("encoding_format") == "base64"
            data = [{"object": "embedding", "index": n, "embedding": self._form(t, packs)} for n, t in enumerate(texts)]
            # Nobody promises an order.
            random.Random(len(texts)).shuffle(data)
            return {"object": "list", "data": data, "model": body["model"], "usage": {"total_tokens": 1}}

        return await self._answer(request, body, texts, content)

    async def about(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(status=404) if self.info is None else web.json_response(self.info)

    async def health(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _answer(
        self, request: web.Request, body: dict[str, Any], texts: list[str], content: Callable[[], Any]
    ) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            said = f"Incorrect API key provided: {request.headers.get('Authorization', '')}"
            return web.json_response({"error": {"message": said, "code": "invalid_api_key"}}, status=401)
        self.requests.append(texts)
        self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.before is not None:
                await self.before(texts)
            if (answer := self.answers(texts)) is not None:
                return answer
            answer = web.json_response(self.change(content()))
            if self.cut_off:
                await _cut_off(request, answer)
            return answer
        finally:
            self.in_flight -= 1

    def _vector(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        # Not of unit length: to see to that is the worker's task.
        return 3 * vector_of(text, self.dimensions)

    def _form(self, text: str, packs: bool) -> object:  # noqa: FBT001 - it is what the request says
        vector = self._vector(text)
        return b64encode(vector.astype("<f4").tobytes()).decode() if packs else vector.tolist()


async def _cut_off(request: web.Request, answer: web.Response) -> None:
    await answer.prepare(request)
    assert isinstance(answer.body, bytes)
    await answer.write(answer.body[: len(answer.body) // 2])
    assert request.transport is not None
    request.transport.close()
    await asyncio.sleep(0)


def refusal(status: int, said: str, kind: str = "Validation", **headers: str) -> web.Response:
    """An error as text-embeddings-inference words it."""
    return web.json_response({"error": said, "error_type": kind}, status=status, headers=headers)


@asynccontextmanager
async def embedding_server(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[EmbeddingServer]:
    """Serve on loopback while the block runs."""
    server = EmbeddingServer()
    app = web.Application()
    app.router.add_post("/embed", server.embed)
    app.router.add_post("/v1/embeddings", server.embeddings)
    app.router.add_get("/info", server.about)
    app.router.add_get("/health", server.health)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port, ssl_context=tls).start()
        server.url = f"{'http' if tls is None else 'https'}://{LOOPBACK}:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
