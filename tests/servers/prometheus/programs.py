"""Prometheus and promtool, built once, in the cache folder that later runs share."""

from pathlib import Path
from typing import Final

from tests.servers import golang

_MODULE: Final = "github.com/prometheus/prometheus/cmd"


def prometheus() -> Path:
    return _folder() / "prometheus"


def promtool() -> Path:
    return _folder() / "promtool"


def _folder() -> Path:
    # Without the discovery of services in two dozen clouds, which would be most of the programs.
    tags = "remove_all_sd"
    return golang.built(Path(__file__).parent, f"{_MODULE}/promtool", f"{_MODULE}/prometheus", tags=tags)
