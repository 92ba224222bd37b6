"""What every probe of workers promises, on the fake and on a worker's real HTTP server."""

from collections.abc import AsyncIterator

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


@pytest.mark.parametrize("page", ["<html>not a metric</html>", "up 1\n", "\x00\xff {{{"])
async def test_another_server_is_no_worker(page: str) -> None:
    async def say(_request: web.Request) -> web.Response:
        return web.Response(text=page)

    app = web.Application()
    app.router.add_get("/{any}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        answer = await HttpWorkerProbe().ask(f"http://127.0.0.1:{runner.addresses[0][1]}")
        assert answer is not None
        assert not answer.is_worker
    finally:
        await runner.cleanup()
