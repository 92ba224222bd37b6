"""What every probe of workers promises, on the fake and on a worker's real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.fakes.worker_probe import FakeWorkerProbe
from worker.adapters.worker_probe import HttpWorkerProbe
from worker.metrics import Metrics
from worker.ports import WorkerProbe
from worker.runtime.endpoints import Endpoints, serving
from worker.settings import ServerSettings
from worker.stages.worker_answer import WorkerAnswer

STARTING = "starting: the model is being loaded and the target checked"


@pytest.fixture(params=["fake", "real"])
async def probed(request: pytest.FixtureRequest) -> AsyncIterator[tuple[WorkerProbe, str]]:
    """A probe, and the address of a worker that is starting, and has halted twice before."""
    if request.param == "fake":
        answer = WorkerAnswer(ready=False, reason=STARTING, samples={"syncline_halted": [({"reason": "forbidden"}, 1)]})
        yield FakeWorkerProbe({"http://worker": answer}), "http://worker"
        return
    metrics = Metrics()
    metrics.halted.labels("forbidden").set(1)
    async with serving(ServerSettings(port=0), Endpoints(metrics)) as url:
        yield HttpWorkerProbe(), url


async def test_a_worker_says_whether_it_is_ready_and_why_not(probed: tuple[WorkerProbe, str]) -> None:
    probe, url = probed
    answer = await probe.ask(url)
    assert answer is not None
    assert (answer.ready, answer.reason) == (False, STARTING)
    assert answer.is_worker
    assert answer.halts == ["forbidden"]
    assert (answer.version, answer.last_progress_ms) == ("", None)


async def test_where_nothing_answers_there_is_no_answer(probed: tuple[WorkerProbe, str]) -> None:
    assert await probed[0].ask("http://127.0.0.1:1") is None


async def test_a_page_that_comes_in_two_parts_is_read_to_its_end() -> None:
    """As a busy worker sends it: its event loop does something else between two writes."""

    async def say(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b"# TYPE python_info gauge\npython_info 1.0\n", b'syncline_build_info{version="1.2"} 1.0\n'):
            await response.write(part)
            await asyncio.sleep(0.05)
        return response

    async with answering(say) as url:
        answer = await HttpWorkerProbe().ask(url)
    assert answer is not None
    assert (answer.ready, answer.is_worker, answer.version) == (True, True, "1.2")


@pytest.mark.parametrize("page", ["<html>not a metric</html>", "up 1\n", "\x00\xff {{{"])
async def test_another_server_is_no_worker(page: str) -> None:
    async def say(_request: web.Request) -> web.Response:
        return web.Response(text=page)

    async with answering(say) as url:
        answer = await HttpWorkerProbe().ask(url)
    assert answer is not None
    assert not answer.is_worker


@asynccontextmanager
async def answering(say: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that says the same at every path; yields its address."""
    app = web.Application()
    app.router.add_get("/{any}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
