"""A container without an engine: the image's files mounted by buildah, run by runc as Kubernetes would run them.

Read-only root, a small /tmp, no capability, no new privileges, a process namespace of its own, so that the worker is
process 1. Only the network is this machine's, so that servers on its loopback can be reached.
"""

import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
MEMORY = 1536 * 2**20
"""The least that an overlay gives a worker; a container that needs more is killed."""
STORAGE = ROOT / "build" / "image"
BUILDAH = ["buildah", "--root", f"{STORAGE}/storage", "--runroot", f"{STORAGE}/run", "--storage-driver", "overlay"]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.strip()


class Image:
    """An image, mounted while it is in use."""

    def __init__(self, name: str) -> None:
        self.name = name
        described = json.loads(_output(*BUILDAH, "inspect", "--type", "image", name))
        self.config: dict[str, Any] = described["Docker"]["config"]
        self.size = _output(*BUILDAH, "images", "--format", "{{.Size}}", name)
        self._mounted = _output(*BUILDAH, "from", "--pull-never", name)
        self.files = Path(_output(*BUILDAH, "mount", self._mounted))

    def remove(self) -> None:
        _output(*BUILDAH, "rm", self._mounted)

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


class Container:
    """One container of an image; `folder` holds what the runtime and the test need."""

    def __init__(
        self,
        image: Image,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        mounts: Mapping[str, Path],
    ) -> None:
        """`mounts` are files of this machine that it may read: path in the container -> file."""
        folder.mkdir(parents=True)
        self._name = f"syncline-{os.getpid()}-{folder.name}"
        self._runtime = ["runc", "--root", str(folder / "runtime")]
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.log = folder / "log"
        specification = _specification(image, arguments, {**image.environment, **environment}, mounts)
        (folder / "config.json").write_text(json.dumps(specification), encoding="utf-8")

    def start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._runtime, "run", "--bundle", str(self.folder), self._name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The worker's process, as this machine sees it."""
        return int(json.loads(_output(*self._runtime, "state", self._name))["pid"])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one more command inside, as a probe or `kubectl exec` does."""
        return subprocess.run(
            [*self._runtime, "exec", self._name, *command], capture_output=True, text=True, timeout=60, check=False
        )

    def signal(self, number: signal.Signals) -> None:
        _output(*self._runtime, "kill", self._name, str(int(number)))

    def wait(self, within_s: float) -> int:
        assert self._process is not None
        return self._process.wait(timeout=within_s)

    def terminate(self, within_s: float) -> tuple[int, float]:
        """SIGTERM; return the exit code and the seconds it took."""
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        return self.wait(within_s), time.monotonic() - started

    def kill(self) -> None:
        if self.running:
            subprocess.run([*self._runtime, "kill", self._name, "KILL"], check=False, capture_output=True, timeout=30)
            self.wait(30)
        subprocess.run([*self._runtime, "delete", "-f", self._name], check=False, capture_output=True, timeout=30)

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")


def _specification(
    image: Image, arguments: Sequence[str], environment: Mapping[str, str], mounts: Mapping[str, Path]
) -> dict[str, Any]:
    user, group = (int(number) for number in image.config["User"].split(":"))
    plain = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": [*image.config["Entrypoint"], *arguments],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": image.config["WorkingDir"],
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")},
        },
        "root": {"path": str(image.files), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=1m"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*plain, "mode=1777", "size=64m"]},
            {
                "destination": "/tmp",
                "type": "tmpfs",
                "source": "tmp",
                "options": ["nosuid", "nodev", "mode=1777", "size=256m"],
            },
            *(
                {"destination": inside, "type": "bind", "source": str(file), "options": ["bind", "ro"]}
                for inside, file in mounts.items()
            ),
        ],
        "linux": {
            "resources": {"memory": {"limit": MEMORY}},
            # The network is left out: it is this machine's.
            "namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }
