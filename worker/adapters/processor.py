"""What this process may use of its processors, and what it must not."""

import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_ISA_VARIABLE: Final = "ONEDNN_MAX_CPU_ISA"
_ISA_WITHOUT_AMX: Final = "AVX512_CORE_BF16"
TORCH_PROBE: Final = "import torch; a = torch.ones(64, 384, dtype=torch.bfloat16); (a @ a.T).sum()"
OPENVINO_PROBE: Final = """
import sys
sys.modules["openvino_telemetry"] = None
import numpy, openvino
from openvino import opset13 as op
a = op.parameter([64, 384], numpy.float32)
product = op.matmul(a, op.constant(numpy.ones((384, 384), numpy.float32)), False, True)
compiled = openvino.Core().compile_model(openvino.Model([product], [a]), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
compiled(numpy.ones((64, 384), numpy.float32))
"""
_PROBE_SECONDS: Final = 120
_CPU_FLAGS: Final = Path("/proc/cpuinfo")


def available_processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may keep busy: those of its affinity, within its container's CPU limit.

    Of a limit of 2.5 processors the half is left to the event loop: threads that are stopped in the middle of a
    product keep the others waiting. `root` is where `/proc` and `/sys` are.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([mine, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU limits of this process's control group and of those around it, in processors."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            for folder in _upwards(root / "sys/fs/cgroup", path):
                yield from _quota(*_words(folder / "cpu.max", 2))
        elif "cpu" in controllers.split(","):
            for folder in _upwards(root / "sys/fs/cgroup" / controllers, path):
                yield from _quota(*_words(folder / "cpu.cfs_quota_us", 1), *_words(folder / "cpu.cfs_period_us", 1))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the group's folder and those above it. In a container the path may not be there: its mount is the group."""
    folder = mount / path.lstrip("/")
    yield folder
    while folder != mount:
        folder = folder.parent
        yield folder


def _words(file: Path, count: int) -> list[str]:
    try:
        words = file.read_text().split()
    except OSError:
        return []
    return words if len(words) == count else []


def _quota(*words: str) -> Iterator[float]:
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):  # noqa: PLR2004 - limit, period
        yield int(words[0]) / int(words[1])  # without a limit the first is `max` or -1


def avoid_illegal_instructions(program: str = TORCH_PROBE) -> None:
    """Keep bf16 and int8 from killing the process on a virtual machine that offers AMX and does not allow it.

    There the first such product ends the process with SIGILL, which nothing can catch. So one is tried in a process
    of its own first, by `program`; if that dies, oneDNN, which torch and OpenVINO both use, is told to do without AMX.
    Must be called before either computes anything.
    """
    if _ISA_VARIABLE in os.environ or not _offers_amx():
        return
    if _survives(program):
        return
    os.environ[_ISA_VARIABLE] = _ISA_WITHOUT_AMX
    _log.warning(
        "this machine offers AMX but does not allow it: the model runs without it",
        extra={"action": "processor", "variable": f"{_ISA_VARIABLE}={_ISA_WITHOUT_AMX}"},
    )


def _offers_amx() -> bool:
    try:
        return "amx_tile" in _CPU_FLAGS.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux: the probe will tell
        return True


def _survives(program: str) -> bool:
    """A machine too busy to tell in time is taken for one that does not: without AMX it is slower, and sure."""
    command = [sys.executable, "-c", program]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=_PROBE_SECONDS).returncode >= 0  # noqa: S603 - our own text
    except subprocess.TimeoutExpired:
        return False
