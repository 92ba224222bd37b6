"""The parts of Kubernetes, built once, in the cache folder that later runs share."""

from pathlib import Path

from tests.servers import golang


def kubernetes() -> Path:
    """The program that is every part of a control plane, and the kubelet."""
    return _folder() / "kubernetes"


def pause() -> Path:
    """The program of a pod's first container."""
    return _folder() / "pause"


def _folder() -> Path:
    return golang.built(Path(__file__).parent, ".", "./pause")
