"""The HTTP server of `/metrics`, `/startupz`, `/livez` and `/readyz`."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.runtime.health import Answer, Health
from worker.settings import ServerSettings

# A probe or scrape that is being answered gets this long at the end; the client's default would outlast most pods.
_CLOSE_SECONDS: Final = 1.0
_STARTING: Final = Answer(ok=False, reason="starting: the model is being loaded and the target checked")


class Endpoints:
    """Answers from the start on: before the worker runs it is live, not started and not ready."""

    def __init__(self, metrics: Metrics) -> None:
        self._told = metrics
        self._health: Health | None = None

    def watch(self, health: Health) -> None:
        """Answer from this pipeline's health from now on."""
        self._health = health
        # Asked for in the thread that writes `/metrics`: it reads no clock of the event loop.
        self._told.ready.set_function(lambda: health.ready().ok)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/startupz", self._startupz)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        return app

    async def _metrics(self, _request: web.Request) -> web.Response:
        content = await asyncio.to_thread(generate_latest, self._told.registry)
        return web.Response(body=content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _startupz(self, _request: web.Request) -> web.Response:
        # Nothing else ends a start that hangs, say in a model that does not load: liveness begins with the pipeline.
        return _response(_STARTING if self._health is None else Answer(ok=True))

    async def _livez(self, _request: web.Request) -> web.Response:
        return _response(Answer(ok=True) if self._health is None else self._health.live())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _response(_STARTING if self._health is None else self._health.ready())


def _response(answer: Answer) -> web.Response:
    return web.Response(text="ok\n" if answer.ok else f"{answer.reason}\n", status=200 if answer.ok else 503)


@contextlib.asynccontextmanager
async def serving(settings: ServerSettings, endpoints: Endpoints) -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL.

    Raises:
        OperatorError: the port is taken, or the address is not this machine's.
    """
    runner = web.AppRunner(endpoints.application(), access_log=None, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise OperatorError(
                f"server: cannot listen on {settings.host}:{settings.port} ({_reason(error)}): set server.port to a "
                "free port and server.host to an address of this machine"
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _reason(error: OSError) -> str:
    # asyncio's own text names the address again, and the call.
    return str(error.strerror) if error.errno is None else os.strerror(error.errno)
