"""What this process may use of its processors, and what it must not."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_ISA_VARIABLE: Final = "ONEDNN_MAX_CPU_ISA"
_ISA_WITHOUT_AMX: Final = "AVX512_CORE_BF16"
_PROBE: Final = "import torch; a = torch.ones(64, 384, dtype=torch.bfloat16); (a @ a.T).sum()"
_PROBE_SECONDS: Final = 60
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def available_processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_quota() -> float | None:
    """Return how many processors' time the container may use, as its control group says; None without a limit."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):  # no control groups of the second version
        return None


def avoid_illegal_instructions() -> None:
    """Keep bf16 arithmetic from killing the process on a virtual machine that offers AMX and does not allow it.

    There the first bf16 product ends the process with SIGILL, which nothing can catch. So it is tried in a process of
    its own first; if that dies, oneDNN is told to do without AMX. Must be called before torch computes anything.
    """
    if _ISA_VARIABLE in os.environ:
        return
    probe = subprocess.run([sys.executable, "-c", _PROBE], check=False, capture_output=True, timeout=_PROBE_SECONDS)  # noqa: S603 - our own text
    if probe.returncode < 0:
        os.environ[_ISA_VARIABLE] = _ISA_WITHOUT_AMX
        _log.warning(
            "this machine offers AMX but does not allow it: bf16 runs without it",
            extra={"action": "processor", "variable": f"{_ISA_VARIABLE}={_ISA_WITHOUT_AMX}"},
        )
