"""Build the parts of Kubernetes once, in the cache folder that later runs share."""

import hashlib
from pathlib import Path
from typing import Final

from tests.servers import golang
from tests.servers.jvm.artifacts import prepared

HERE: Final = Path(__file__).parent


def kubernetes() -> Path:
    """The program that is every part of a control plane, and the kubelet."""
    return _folder() / "kubernetes"


def pause() -> Path:
    """The program of a pod's first container."""
    return _folder() / "pause"


def _folder() -> Path:
    files = (*sorted(HERE.glob("go.*")), *sorted(HERE.rglob("*.go")))
    return prepared(f"kubernetes-{hashlib.sha256(b''.join(map(Path.read_bytes, files))).hexdigest()[:10]}", _build)


def _build(folder: Path) -> None:
    golang.build(HERE, folder, ".", "./pause")
