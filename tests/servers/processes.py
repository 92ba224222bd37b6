"""Start a server process, wait until it is ready, stop it: always by its process id, never by its name."""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = "127.0.0.1"
NOBODY = 65534

# Below the range from which the kernel takes the local ports of outgoing connections: a server that is killed and
# started again finds its port free.
_PORTS = range(20_000, 32_000)
_POLL_S = 0.05
_TAIL_LINES = 20


class ServerFailedError(RuntimeError):
    """A server did not start, or ended; the message carries the last lines of its log."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    with ExitStack() as held:
        ports: list[int] = []
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(ports) == count:
                break
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind((LOOPBACK, port))
            except OSError:
                continue
            ports.append(port)
        return ports


def tcp_open(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def http_ok(url: str, headers: Mapping[str, str] | None = None, within_s: float = 2) -> bool:
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=within_s) as response:
            return int(response.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def unprivileged() -> int | None:
    """The account for servers that refuse to run as root; `None` when we are not root and run them ourselves."""
    return NOBODY if os.geteuid() == 0 else None


def give_to(account: int | None, folder: Path) -> Path:
    """Create `folder` so that `account` can write to it."""
    folder.mkdir(parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account, account)
    return folder


def run(
    command: Sequence[str],
    *,
    account: int | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> str:
    """Run a command to its end and give its output; a failure carries the output's last lines."""
    done = subprocess.run(
        list(command),
        check=False,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(env or {})},
        user=account,
        group=account,
        extra_groups=None if account is None else [],
        cwd="/",
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-_TAIL_LINES:])
        raise ServerFailedError(f"{command[0]} failed with exit code {done.returncode}:\n{last}")
    return done.stdout


@dataclass(slots=True)
class Server:
    """One server process in a process group of its own, with its output in a log file.

    `start` after `stop` or `kill` starts the same command again, on the same ports and data.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready: Callable[["Server"], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    account: int | None = None
    start_within_s: float = 90
    stop_within_s: float = 20
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None
    _log_start: int = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailedError(f"{self.name} is not started")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the server is ready; fail as soon as the process has ended."""
        if self.running:
            raise ServerFailedError(f"{self.name} is running already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                user=self.account,
                group=self.account,
                extra_groups=None if self.account is None else [],
                cwd=self.log.parent,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def logged(self, text: str) -> bool:
        """Whether `text` is in what this start has logged so far."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return text.encode() in log.read()

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])

    def stop(self) -> None:
        """Ask the group to stop; after the deadline, end it."""
        if self._process is None:
            return
        deadline = time.monotonic() + self.stop_within_s
        signal_group(self.pid, signal.SIGCONT)
        signal_group(self.pid, self.stop_signal)
        while time.monotonic() < deadline and (self.running or group_alive(self.pid)):
            time.sleep(_POLL_S)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once, as a crash would."""
        if self._process is None:
            return
        signal_group(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """Freeze the group: connections stay open and nothing answers."""
        signal_group(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        signal_group(self.pid, signal.SIGCONT)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_within_s
        while not self.ready(self):
            if not self.running:
                raise ServerFailedError(
                    f"{self.name} ended while starting; its log {self.log} ends:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                late = f"{self.name} was not ready after {self.start_within_s:g} s"
                raise ServerFailedError(f"{late}; its log {self.log} ends:\n{self.log_tail()}")
            time.sleep(_POLL_S)


def signal_group(pid: int, signal_: signal.Signals) -> None:
    try:
        os.killpg(pid, signal_)
    except ProcessLookupError:
        return


def group_alive(pid: int) -> bool:
    """Whether the group has a process that is more than a zombie: init may be slow, or never, to collect orphans."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    states = list(Path("/proc").glob("[0-9]*/stat"))
    return not states or any(_is_member(stat, pid) for stat in states)


def _is_member(stat: Path, group: int) -> bool:
    try:
        # The command's name stands in parentheses and may itself hold spaces and parentheses.
        state, _parent, group_of_it = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(group_of_it) == group and state != "Z"
