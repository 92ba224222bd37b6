"""Kafka and Elasticsearch for the demo, as one small process: noida-db, from the extra `demo`.

Knows the program and its ways, and nothing of the worker; the tests run on the same program through `command`.
"""

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

_LOOPBACK = "127.0.0.1"
_POLL_S = 0.02


class EmbeddedServersError(RuntimeError):
    """The servers are not installed or did not start; the message says what to do, or what they last said."""


def program() -> Path:
    """The noida-db binary.

    Not the console script of that name: that one waits for the binary as its child, and dies without it.
    """
    spec = importlib.util.find_spec("noida_db")
    binary = Path(spec.origin).with_name("noida-db") if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise EmbeddedServersError("noida-db is not installed: pip install 'syncline[demo]'")
    if not os.access(binary, os.X_OK):
        # The wheel carries it as plain data, and an installer need not make it executable.
        binary.chmod(0o755)
    return binary


def command(data: Path, *, kafka_port: int, elasticsearch_port: int) -> list[str]:
    """The command that runs both servers in the foreground, with what they keep under `data`."""
    ports = ["--kafka-port", str(kafka_port), "--elasticsearch-port", str(elasticsearch_port)]
    only = ["--only", "elasticsearch,kafka", "--host", _LOOPBACK]
    return [str(program()), "start", "--data-dir", str(data), *only, *ports]


def ready(*, kafka_port: int, elasticsearch_port: int) -> bool:
    """Whether both servers answer."""
    elasticsearch = http.client.HTTPConnection(_LOOPBACK, elasticsearch_port, timeout=2)
    try:
        elasticsearch.request("GET", "/")
        answered = elasticsearch.getresponse().status == http.HTTPStatus.OK
        with socket.create_connection((_LOOPBACK, kafka_port), timeout=2):
            return answered
    except (OSError, http.client.HTTPException):
        return False
    finally:
        elasticsearch.close()


class EmbeddedServers:
    """Both servers on free ports of the loopback interface; `folder` holds their data and their log.

    `stop` saves the data, so that `start` with the same folder finds it. Nothing is left outside the folder.
    """

    def __init__(self, folder: Path, *, start_within_s: float = 15, stop_within_s: float = 10) -> None:
        self._folder = folder
        self._start_within_s = start_within_s
        self._stop_within_s = stop_within_s
        self._kafka_port, self._elasticsearch_port = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def kafka_bootstrap(self) -> str:
        """What a Kafka client takes as its bootstrap servers."""
        return f"{_LOOPBACK}:{self._kafka_port}"

    @property
    def elasticsearch_url(self) -> str:
        """What an Elasticsearch client takes as its host."""
        return f"http://{_LOOPBACK}:{self._elasticsearch_port}"

    @property
    def log(self) -> Path:
        """What the servers print; it grows over restarts."""
        return self._folder / "servers.log"

    @property
    def pid(self) -> int | None:
        """The process, while it is started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Return when both servers answer."""
        ports = {"kafka_port": self._kafka_port, "elasticsearch_port": self._elasticsearch_port}
        arguments = command(self._folder / "data", **ports)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C stops the demo, which then stops its servers, in that order.
            self._process = subprocess.Popen(  # noqa: S603
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_until_ready(self._process, ports)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask the process to save and end; after the deadline, end it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self._stop_within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
        deadline = time.monotonic() + self._start_within_s
        while not ready(**ports):
            if process.poll() is not None:
                raise EmbeddedServersError(f"noida-db ended while starting: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedServersError(
                    f"noida-db did not answer within {self._start_within_s:g} s: {self._last_words()}"
                )
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        return " ".join(self.log.read_text(errors="replace").splitlines()[-5:])


def _free_ports() -> tuple[int, int]:
    with ExitStack() as held:
        first, second = (held.enter_context(socket.socket()) for _ in range(2))
        # Both are held at once, so they differ.
        first.bind((_LOOPBACK, 0))
        second.bind((_LOOPBACK, 0))
        return first.getsockname()[1], second.getsockname()[1]
