import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.builders import TOPIC, record
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.source import FakeSource, Log
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.runtime.endpoints import Endpoints, serving
from worker.runtime.health import Health
from worker.runtime.ledger import Ledger
from worker.runtime.retrying import Retrying
from worker.runtime.target_watch import TargetWatch
from worker.runtime.watchdog import Watchdog
from worker.settings import DeliverySettings, ServerSettings


class Served:
    def __init__(self, url: str, endpoints: Endpoints, metrics: Metrics, client: aiohttp.ClientSession) -> None:
        self.endpoints = endpoints
        self.metrics = metrics
        self.url = url
        self._client = client

    async def get(self, path: str) -> tuple[int, str]:
        async with self._client.get(self.url + path) as response:
            return response.status, await response.text()

    def watch(self) -> Ledger:
        ledger = Ledger(self.metrics, Clock())
        # Any wait at all is too long here: no test waits.
        watchdog = Watchdog(FakeSource(Log({TOPIC: 1}), [TOPIC]), ledger, Clock())
        retrying = Retrying(DeliverySettings(), self.metrics)
        target_watch = TargetWatch(FakeElasticsearch(), retrying)
        self.endpoints.watch(Health(ledger, retrying, watchdog, target_watch, -1, Clock()))
        return ledger


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    metrics = Metrics()
    endpoints = Endpoints(metrics)
    async with serving(ServerSettings(port=0), endpoints) as url, aiohttp.ClientSession() as client:
        yield Served(url, endpoints, metrics, client)


async def test_before_the_worker_runs_it_is_live_and_neither_started_nor_ready(served: Served) -> None:
    assert await served.get("/livez") == (200, "ok\n")
    for path in ("/startupz", "/readyz"):
        status, text = await served.get(path)
        assert status == 503
        assert "the model is being loaded" in text


async def test_it_has_started_when_there_is_a_pipeline_ready_or_not(served: Served) -> None:
    served.watch()
    assert await served.get("/startupz") == (200, "ok\n")
    assert (await served.get("/readyz"))[0] == 503


async def test_the_probes_answer_as_the_health_says(served: Served) -> None:
    ledger = served.watch()
    assert await served.get("/readyz") == (503, "the consumer group is not joined yet\n")
    ledger.begin(0, {TopicPartition(TOPIC, 0): ""})
    assert await served.get("/readyz") == (200, "ok\n")
    assert await served.get("/livez") == (200, "ok\n")
    ledger.admit(record(offset=0))
    status, text = await served.get("/livez")
    assert status == 503
    assert text.startswith("1 records open, none resolved for")


async def test_the_metrics_tell_whether_the_worker_is_ready(served: Served) -> None:
    assert "\nsyncline_ready 0.0\n" in (await served.get("/metrics"))[1]
    ledger = served.watch()
    assert "\nsyncline_ready 0.0\n" in (await served.get("/metrics"))[1]
    ledger.begin(0, {TopicPartition(TOPIC, 0): ""})
    assert "\nsyncline_ready 1.0\n" in (await served.get("/metrics"))[1]


async def test_metrics_are_in_prometheus_text(served: Served) -> None:
    served.metrics.consumed.labels(TOPIC).inc(3)
    status, text = await served.get("/metrics")
    assert status == 200
    assert f'syncline_records_consumed_total{{topic="{TOPIC}"}} 3.0' in text
    assert "# HELP syncline_in_flight_bytes" in text


async def test_there_is_nothing_else(served: Served) -> None:
    assert (await served.get("/"))[0] == 404


async def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(port=taken.getsockname()[1])
        with pytest.raises(OperatorError, match=r"cannot listen on 127\.0\.0\.1:\d+ .*: set server\.port"):
            async with serving(settings, Endpoints(Metrics())):
                pass
