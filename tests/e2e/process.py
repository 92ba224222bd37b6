"""A worker under test, as its user runs it: `python -m worker run --config FILE`."""

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.nursery import Nursery, exit_code_file
from tests.e2e.programs import environment
from tests.servers import processes
from tests.servers.processes import LOOPBACK, Server


def until(
    condition: Callable[[], bool], what: Callable[[], str] | str, within_s: float = 60, every_s: float = 0.05
) -> None:
    """Wait until something is true, or fail with what is so instead."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of `/metrics`."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples of a name that carry these labels."""
        return sum(value for found, has, value in self.samples if found == name and labels.items() <= has.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        counts: dict[str, float] = {}
        for found, has, value in self.samples:
            if found == name:
                counts[has[label]] = counts.get(has[label], 0) + value
        return counts

    def rise(self, before: "Scrape", name: str, label: str) -> dict[str, float]:
        """By how much a counter has risen since an earlier scrape, by label."""
        former = before.by(name, label)
        return {key: value - former.get(key, 0) for key, value in self.by(name, label).items()}

    @property
    def consumed(self) -> float:
        return self.total("syncline_records_consumed_total")

    @property
    def resolved(self) -> float:
        return self.total("syncline_records_total")


def scraped(url: str) -> Scrape:
    """Ask a worker at this address for its metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        text = response.read().decode()
    return Scrape(
        tuple(
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )


@dataclass(slots=True)
class WorkerProcess:
    """Its port, configuration and log stay the same from one start to the next."""

    config: Path
    port: int
    log: Path
    nursery: Nursery | None = None
    before: Sequence[str] = ()
    """What a forked worker calls first: see `nursery`."""
    _server: Server = field(init=False)
    _forked: int | None = None

    def __post_init__(self) -> None:
        self._server = Server(
            name="the worker",
            command=[sys.executable, "-m", "worker", "run", "--config", str(self.config)],
            log=self.log,
            # `launch` does not wait; `wait_ready` does.
            ready=lambda _: True,
            env=environment(),
        )

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def started(self) -> bool:
        """Whether it was ever started, and not killed since."""
        return self._forked is not None or self._server._process is not None

    @property
    def running(self) -> bool:
        return self._server.running if self._forked is None else processes.group_alive(self._forked)

    @property
    def pid(self) -> int:
        return self._server.pid if self._forked is None else self._forked

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start, and return at once."""
        if self.nursery is None:
            self._server.start()
        else:
            exit_code_file(self.log).unlink(missing_ok=True)
            self._forked = self.nursery.fork(["run", "--config", str(self.config)], self.log, self.before)

    def wait_ready(self, within_s: float = 90) -> None:
        until(lambda: self.is_ready() or not self.running, lambda: self.told("the worker is not ready"), within_s)
        self.check_running()

    def is_ready(self) -> bool:
        return processes.http_ok(f"{self.url}/readyz")

    def is_live(self) -> bool:
        # On a busy machine an answer may be slow, and is one all the same.
        return processes.http_ok(f"{self.url}/livez", within_s=10)

    def terminate(self, within_s: float) -> int:
        """Send SIGTERM, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within_s: float) -> int:
        """Wait for its end, and return the exit code."""
        if self._forked is None:
            process = self._server._process
            assert process is not None
            return process.wait(timeout=within_s)
        self._wait_until_gone(within_s)
        code = exit_code_file(self.log)
        assert code.exists(), self.told("it ended without an exit code")
        return int(code.read_text())

    def kill(self) -> None:
        """End it at once, as a crash or the kernel's out-of-memory killer would."""
        if self._forked is None:
            self._server.kill()
            return
        processes.signal_group(self._forked, signal.SIGKILL)
        self._wait_until_gone(60)

    def _wait_until_gone(self, within_s: float) -> None:
        # Until the very last of its threads is gone, its port is taken.
        until(lambda: not Path(f"/proc/{self._forked}").exists(), lambda: self.told("it is still there"), within_s)
        self._forked = None

    def scrape(self) -> Scrape:
        try:
            return scraped(self.url)
        except OSError:
            self.check_running()
            raise

    def check_running(self) -> None:
        assert self.running, self.told("the worker has ended")

    def logged(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text(errors="replace")

    def told(self, what: str) -> str:
        return f"{what}; its log {self.log} ends:\n{self._server.log_tail()}"
