"""Random faults over random changes, for as long as one likes: `SOAK_MINUTES`, `SOAK_SEED`."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.e2e.checks import check_index
from tests.e2e.nursery import Nursery
from tests.e2e.process import WorkerProcess, until
from tests.e2e.scene import Scene, Table, scene
from tests.e2e.workload import TENANTS, Workload
from tests.faults.stage import Background
from tests.faults.test_elasticsearch import http
from tests.servers import processes
from tests.servers.jvm.servers import JvmKind
from tests.servers.processes import LOOPBACK
from tests.servers.proxy import Proxy, Way

pytestmark = [pytest.mark.needs_jvm, pytest.mark.slow]

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
EVERY_S = 20


class Trouble:
    """What can go wrong, one thing at a time; each ends what it began."""

    def __init__(self, built: Scene, workers: list[WorkerProcess], proxy: Proxy, chance: random.Random) -> None:
        self._built = built
        self._workers = workers
        self._proxy = proxy
        self._chance = chance
        self.kinds: tuple[Callable[[], None], ...] = (
            self.killed,
            self.killed,
            self.frozen,
            self.stopped,
            self.reset,
            self.held,
            self.gateway,
            self.blocked,
            self.elasticsearch_hangs,
            self.elasticsearch_killed,
            self.kafka_killed,
        )

    def _one(self) -> WorkerProcess:
        return self._chance.choice(self._workers)

    def _wait(self, most: float = 8) -> None:
        time.sleep(self._chance.uniform(1, most))

    def killed(self) -> None:
        worker = self._one()
        worker.kill()
        self._wait()
        worker.launch()

    def frozen(self) -> None:
        worker = self._one()
        worker.signal(signal.SIGSTOP)
        self._wait(12)
        worker.signal(signal.SIGCONT)

    def stopped(self) -> None:
        worker = self._one()
        assert worker.terminate(within_s=60) == 0
        worker.launch()

    def reset(self) -> None:
        for _ in range(5):
            self._proxy.cut(self._chance.choice(list(Way)), self._chance.randrange(50_000))
            self._wait(2)

    def held(self) -> None:
        self._proxy.hold(self._chance.choice(list(Way)), about=b"/_bulk")
        self._wait()

    def gateway(self) -> None:
        self._proxy.answer(http("503 Service Unavailable", "later"))
        self._wait()

    def blocked(self) -> None:
        settings = f"/{self._built.name}-v000001/_settings"
        self._built.index.call("PUT", settings, {"index.blocks.write": True})
        self._wait()
        self._built.index.call("PUT", settings, {"index.blocks.write": None})

    def elasticsearch_hangs(self) -> None:
        elasticsearch = self._built.servers.process("elasticsearch")
        elasticsearch.pause()
        self._wait()
        elasticsearch.resume()

    def elasticsearch_killed(self) -> None:
        self._killed("elasticsearch")

    def kafka_killed(self) -> None:
        self._killed("kafka")

    def _killed(self, name: str) -> None:
        server = self._built.servers.process(name)
        server.kill()
        self._wait(4)
        server.start()


@contextmanager
def staged(
    servers: JvmKind, background: Background, nursery: Nursery, folder: Path
) -> Iterator[tuple[Scene, list[WorkerProcess], Proxy]]:
    """Two tables, their connector, and two workers with a proxy before Elasticsearch."""
    with ExitStack() as closing:
        proxy = Proxy((LOOPBACK, urlsplit(servers.elasticsearch).port or 0))
        background.run(proxy.start())
        closing.callback(lambda: background.run(proxy.close()))
        built = closing.enter_context(
            scene(
                servers,
                folder,
                Table("articles"),
                Table("notes", full=True),
                model={"model": "faulty"},
                nursery=nursery,
                elasticsearch={"hosts": [f"http://{LOOPBACK}:{proxy.port}"], "request_timeout": "5s"},
                delivery={"retry_max": "2s", "halt_probe_interval": "2s", "drain_timeout": "5s"},
            )
        )
        (port,) = processes.free_ports(1)
        settings = yaml.safe_load(built.config.read_text())
        settings["server"]["port"] = port
        second = folder / "second.yaml"
        second.write_text(yaml.safe_dump(settings))
        other = WorkerProcess(second, port, folder / "second.log", nursery)
        closing.callback(other.kill)
        workers = [built.worker, other]
        for worker in workers:
            worker.before = ("tests.faults.model:install", str(folder))
        yield built, workers, proxy


@pytest.mark.timeout(MINUTES * 60 + 600)
def test_random_faults_over_random_changes(
    real_servers: JvmKind, background: Background, nursery: Nursery, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"SOAK_SEED={seed} SOAK_MINUTES={MINUTES:g}")  # noqa: T201
    chance = random.Random(seed)
    with staged(real_servers, background, nursery, tmp_path / "soak") as (built, workers, proxy):
        for table in built.tables:
            built.insert(TENANTS[0], 1001 if table.full else 1, "first", table=table)
        built.connect()
        for worker in workers:
            worker.start()
        trouble = Trouble(built, workers, proxy, chance)
        workload = Workload(built, seed, a_second=20)
        end = time.monotonic() + MINUTES * 60
        with workload.running():
            while time.monotonic() < end:
                next_ = time.monotonic() + EVERY_S
                kind = chance.choice(trouble.kinds)
                print(f"{end - time.monotonic():6.0f} s left: {kind.__name__}", flush=True)  # noqa: T201
                kind()
                proxy.heal()
                time.sleep(max(0.0, next_ - time.monotonic()))
        print(f"{workload.transactions} transactions")  # noqa: T201
        for worker in workers:
            until(worker.is_ready, lambda worker=worker: worker.told("it does not come back"), 90)  # type: ignore[misc]
        # Alone, so that one worker's metrics tell of all that is open.
        assert workers[1].terminate(within_s=60) == 0
        built.settle(180)
        check_index(built)
