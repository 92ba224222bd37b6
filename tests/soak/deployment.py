"""Keeps workers running as a Deployment of Kubernetes does: one settings file, one worker changed at a time.

A worker that ends is started again after a wait that doubles. Another generation of settings replaces workers that are
not ready at once, and ready ones only while all others are ready: so a version that does not become ready stops.
"""

import threading
import time
from pathlib import Path
from typing import Final

from tests.e2e.process import Scrape, scraped
from tests.e2e.programs import environment
from tests.servers import processes
from tests.servers.processes import LOOPBACK, Server
from tests.soak.replacement import Manifest
from tests.soak.rollout import MOST_WORKERS, Desired, Files

_LONGEST_WAIT_S: Final = 30.0


class Pod:
    """One worker, and what it was started with."""

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name = name
        self.url = f"http://{LOOPBACK}:{port}"
        self.log = log
        self.generation = (0, 0)
        self.restarts = 0
        self.since = 0.0
        self._port = port
        self._server: Server | None = None

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.running

    @property
    def started(self) -> bool:
        return self._server is not None

    @property
    def ready(self) -> bool:
        return self.running and processes.http_ok(f"{self.url}/readyz")

    def start(self, config: Path, generation: tuple[int, int], command: list[str]) -> None:
        self.generation, self.since = generation, time.time()
        environ = {**environment(), "SYNCLINE_SERVER__PORT": str(self._port)}
        self._server = Server(self.name, [*command, "run", "--config", str(config)], self.log, lambda _: True, environ)
        self._server.stop_within_s = Manifest.read().grace_s
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def state(self) -> dict[str, object]:
        condition = "ready" if self.ready else "not ready" if self.running else "ended" if self.started else "stopped"
        return {
            "name": self.name,
            "revision": self.generation[0],
            "state": condition,
            "since": self.since,
            "restarts": self.restarts,
            "url": self.url,
            "log": str(self.log),
        }


class Deployment:
    """Does what `rollout` asks for."""

    def __init__(self, folder: Path, logs: Path, command: list[str]) -> None:
        """`command` is the start of the workers' command line."""
        self.files = Files(folder)
        self._command = command
        ports = processes.free_ports(MOST_WORKERS)
        self.pods = [Pod(f"worker-{one}", port, logs / f"worker-{one}.log") for one, port in enumerate(ports)]

    @property
    def wanted(self) -> list[Pod]:
        """Those that should be there."""
        return self.pods[: self.files.desired.replicas]

    @property
    def ready(self) -> bool:
        """Whether all are there as asked for, and ready."""
        desired = self.files.desired
        return bool(self.wanted) and all(pod.ready and pod.generation == desired.generation for pod in self.wanted)

    def scrapes(self) -> list[Scrape]:
        """The metrics of all that answer."""
        return [scraped(pod.url) for pod in self.wanted if pod.running]

    def run(self, stopping: threading.Event) -> None:
        """Look at all workers again and again; stop them at the end."""
        try:
            while not stopping.wait(0.5):
                self._look(self.files.desired)
                self.files.tell([pod.state() for pod in self.wanted])
        finally:
            threads = [threading.Thread(target=pod.stop) for pod in self.pods]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _look(self, desired: Desired) -> None:
        for pod in self.pods[desired.replicas :]:
            pod.stop()
        pods = self.pods[: desired.replicas]
        for pod in pods:
            if not pod.started:
                self._start(pod, desired)
            elif not pod.running and pod.generation == desired.generation and self._has_waited(pod):
                pod.restarts += 1
                self._start(pod, desired)
        stale = [pod for pod in pods if pod.generation != desired.generation]
        unready = [pod for pod in pods if not pod.ready]
        for pod in stale:
            if pod in unready or not unready:
                pod.stop()
                pod.restarts = 0
                self._start(pod, desired)
                return

    def _start(self, pod: Pod, desired: Desired) -> None:
        pod.start(self.files.revision(desired.revision), desired.generation, self._command)

    def _has_waited(self, pod: Pod) -> bool:
        return time.time() - pod.since > min(_LONGEST_WAIT_S, 2.0**pod.restarts)
