"""Build Prometheus and promtool once, in the cache folder that later runs share."""

import hashlib
from pathlib import Path
from typing import Final

from tests.servers import golang
from tests.servers.jvm.artifacts import prepared

HERE: Final = Path(__file__).parent
_MODULE: Final = "github.com/prometheus/prometheus/cmd"


def prometheus() -> Path:
    return _folder() / "prometheus"


def promtool() -> Path:
    return _folder() / "promtool"


def _folder() -> Path:
    files = (HERE / "go.mod", HERE / "go.sum", Path(__file__))
    return prepared(f"prometheus-{hashlib.sha256(b''.join(map(Path.read_bytes, files))).hexdigest()[:10]}", _build)


def _build(folder: Path) -> None:
    # Without the discovery of services in two dozen clouds, which would be most of the programs.
    golang.build(HERE, folder, f"{_MODULE}/promtool", f"{_MODULE}/prometheus", tags="remove_all_sd")
