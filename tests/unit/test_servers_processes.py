"""The process helper, on small Python children: how they start, end early, stop, and refuse to."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import processes
from tests.servers.processes import LOOPBACK, Server, ServerFailedError, free_ports, group_alive, tcp_open

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
WITH_STUBBORN_CHILD = f"""
import os, signal, time
if os.fork() == 0:
    {IGNORES_SIGTERM}
time.sleep(60)
"""


@contextmanager
def child(folder: Path, code: str, *, start_within_s: float = 5, stop_within_s: float = 5) -> Iterator[Server]:
    server = Server(
        name="child",
        # Isolated and without site-packages: it starts in a tenth of the time.
        command=[sys.executable, "-I", "-S", "-c", code],
        log=folder / "child.log",
        ready=lambda server: server.logged("ready"),
        start_within_s=start_within_s,
        stop_within_s=stop_within_s,
    )
    try:
        yield server
    finally:
        server.kill()


def test_a_server_that_ends_early_says_why_with_its_logs_last_lines(tmp_path: Path) -> None:
    code = "print('line one'); raise SystemExit('port 1 is taken')"
    with child(tmp_path, code) as server, pytest.raises(ServerFailedError) as failure:
        server.start()
    assert "child ended while starting" in str(failure.value)
    assert "port 1 is taken" in str(failure.value)
    assert str(tmp_path / "child.log") in str(failure.value)


def test_a_server_that_is_never_ready_is_ended_at_its_deadline(tmp_path: Path) -> None:
    with child(tmp_path, "import time; time.sleep(60)", start_within_s=0.1) as server:
        with pytest.raises(ServerFailedError, match=r"not ready after 0\.1 s"):
            server.start()
        assert not server.running


def test_stop_ends_a_server_that_listens_to_it(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        pid = server.pid
        server.stop()
        assert not server.running
        assert not group_alive(pid)


@pytest.mark.parametrize("code", [IGNORES_SIGTERM, WITH_STUBBORN_CHILD], ids=["the server", "its child"])
def test_stop_escalates_to_sigkill_when_the_deadline_passes(tmp_path: Path, code: str) -> None:
    with child(tmp_path, code, stop_within_s=0.15) as server:
        server.start()
        pid = server.pid
        server.stop()
        wait_for_end(pid)
        assert not group_alive(pid)


def test_stop_reaches_a_paused_server(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        server.pause()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2
        assert not server.running


def test_a_killed_server_starts_again_and_is_ready_by_its_new_log_only(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        first = server.pid
        server.kill()
        server.start()
        assert server.pid != first
        assert server.log.read_text().count("ready") == 2


def test_a_running_server_is_not_started_twice(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        with pytest.raises(ServerFailedError, match="running already"):
            server.start()


def test_the_servers_group_is_not_ours(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        assert os.getpgid(server.pid) == server.pid != os.getpgid(0)


def test_stopping_or_killing_what_never_started_does_nothing(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.stop()
        server.kill()
        with pytest.raises(ServerFailedError, match="not started"):
            server.pause()


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not any(tcp_open(port) for port in ports)


def test_a_port_with_a_listener_is_open() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        assert tcp_open(listener.getsockname()[1])


def test_http_counts_as_ready_only_with_status_200() -> None:
    with http_server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url:
        assert processes.http_ok(url)
    with http_server(b"HTTP/1.1 503 Starting\r\nContent-Length: 0\r\n\r\n") as url:
        assert not processes.http_ok(url)


def test_a_command_that_fails_says_what_it_printed() -> None:
    assert processes.run([sys.executable, "-I", "-S", "-c", "print(input())"], stdin="hello\n") == "hello\n"
    with pytest.raises(ServerFailedError, match="exit code 3:\nno room"):
        processes.run([sys.executable, "-I", "-S", "-c", "print('no room'); raise SystemExit(3)"])


@contextmanager
def http_server(answer: bytes) -> Iterator[str]:
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        thread.join()


def wait_for_end(pid: int) -> None:
    """SIGKILL is sent, and an orphan of the group ends a moment later."""
    deadline = time.monotonic() + 2
    while group_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_signalling_a_group_that_is_gone_does_nothing(tmp_path: Path) -> None:
    with child(tmp_path, SLEEP) as server:
        server.start()
        pid = server.pid
        server.kill()
        processes.signal_group(pid, signal.SIGTERM)
