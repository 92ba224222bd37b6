"""A random fault, again and again, and how long it takes after each until a new change is in the index."""

import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

from tests.e2e.index import call
from tests.e2e.process import until
from tests.e2e.scene import Scene
from tests.servers.processes import Server
from tests.soak.fleet import READY_WITHIN_S, Fleet
from tests.soak.report import Report
from tests.soak.workload import Workload

RECOVERED_WITHIN_S: Final = 120
_STOPS_WITHIN_S: Final = 60


class Faults:
    """Each fault is done and undone; then rows of every table are changed, and waited for."""

    def __init__(self, scene: Scene, fleet: Fleet, workload: Workload, report: Report, seed: int) -> None:
        self._scene = scene
        self._fleet = fleet
        self._workload = workload
        self._report = report
        self._chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        self._kinds: dict[str, Callable[[], None]] = {
            "worker killed": self._kill,
            "worker asked to stop": self._terminate,
            "worker frozen": self._freeze,
            "both workers killed": self._kill_all,
            "Elasticsearch write block": self._block,
            "Elasticsearch frozen": lambda: self._pause("elasticsearch", 5, 15),
            "Kafka frozen": lambda: self._pause("kafka", 3, 10),
            "connector restarted": lambda: scene.servers.connect.restart(scene.name),
        }

    def run(self, seconds: float, every_s: float) -> None:
        """Break something every so many seconds, each kind as often as any other."""
        end = time.monotonic() + seconds
        bag: list[str] = []
        while (begin := time.monotonic()) < end:
            if not bag:
                bag = self._chance.sample(sorted(self._kinds), len(self._kinds))
            kind = bag.pop()
            self._report.log(f"fault {sum(self.done.values()) + 1}: {kind}")
            self._kinds[kind]()
            self.done[kind] += 1
            self._recover(kind)
            time.sleep(max(0, min(begin + every_s, end) - time.monotonic()))

    def figures(self) -> None:
        """Tell the report what was done, and how long it took to recover."""
        self._report.figure("faults", sum(self.done.values()))
        for kind, count in self.done.most_common():
            took = self.recoveries[kind]
            told = (
                f"recovered after {sorted(took)[len(took) // 2]:.1f} s (median), {max(took):.1f} s (longest)"
                if took
                else ""
            )
            self._report.figure(f"- {kind}", f"{count} times; {told}")
        every = [taken for took in self.recoveries.values() for taken in took]
        if every:
            self._report.figure("longest recovery after a fault", f"{max(every):.1f} s")

    def _recover(self, kind: str) -> None:
        begin = time.monotonic()
        revision, places = self._workload.probe()
        while not self._shows(revision, places):
            if time.monotonic() - begin > RECOVERED_WITHIN_S:
                self._report.violation(f"not recovered from {kind!r} within {RECOVERED_WITHIN_S} s")
                return
            time.sleep(0.1)
        took = time.monotonic() - begin
        self.recoveries[kind].append(took)
        self._report.log(f"  a change is in the index {took:.1f} s after the end of the fault")

    def _shows(self, revision: int, places: Sequence[tuple[str, str]]) -> bool:
        wanted = [{"_id": id_, "routing": routing, "_source": "tags"} for id_, routing in places]
        try:
            answer = call("POST", f"{self._scene.index.url}/{self._scene.index.alias}-write/_mget", {"docs": wanted})
        except (OSError, HTTPException):
            return False
        return all(one.get("found") and int(one["_source"]["tags"][1]) >= revision for one in answer["docs"])

    # -- workers

    def _kill(self, *numbers: int) -> None:
        chosen = numbers or (self._any_worker(),)
        endings = [self._fleet.about_to_end(number, "killed") for number in chosen]
        for number in chosen:
            self._fleet.workers[number].kill()
        for ending in endings:
            ending.is_over()
        time.sleep(self._chance.uniform(0, 5))
        for number in chosen:
            self._fleet.start(number, wait=False)
        for number in chosen:
            self._fleet.workers[number].wait_ready(READY_WITHIN_S)

    def _kill_all(self) -> None:
        self._kill(*range(len(self._fleet.workers)))

    def _terminate(self) -> None:
        number = self._any_worker()
        worker = self._fleet.workers[number]
        ending = self._fleet.about_to_end(number, "asked to stop")
        os.kill(worker.pid, signal.SIGTERM)
        begin = time.monotonic()
        try:
            until(lambda: not worker.running, "", _STOPS_WITHIN_S)
        except AssertionError:
            self._report.violation(f"worker {number} did not end within {_STOPS_WITHIN_S} s of SIGTERM")
        self._report.log(f"  worker {number} ended after {time.monotonic() - begin:.1f} s")
        worker.kill()
        ending.is_over()
        self._fleet.start(number)

    def _freeze(self) -> None:
        """Half of the time for longer than its session: it wakes up as a zombie."""
        pid = self._fleet.workers[self._any_worker()].pid
        seconds = self._chance.uniform(2, 14)
        self._report.log(f"  for {seconds:.1f} s")
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _any_worker(self) -> int:
        return self._chance.randrange(len(self._fleet.workers))

    # -- servers

    def _block(self) -> None:
        seconds = self._chance.uniform(3, 12)
        self._report.log(f"  for {seconds:.1f} s")
        settings = f"{self._scene.index.url}/{self._scene.index.alias}-v000001/_settings"
        call("PUT", settings, {"index.blocks.write": True})
        try:
            time.sleep(seconds)
        finally:
            call("PUT", settings, {"index.blocks.write": None})

    def _pause(self, name: str, least_s: float, most_s: float) -> None:
        seconds = self._chance.uniform(least_s, most_s)
        self._report.log(f"  for {seconds:.1f} s")
        with paused(self._scene.servers.process(name)):
            time.sleep(seconds)


@contextmanager
def paused(server: Server) -> Iterator[None]:
    """Connections stay open and nothing answers while the block runs."""
    server.pause()
    try:
        yield
    finally:
        server.resume()
