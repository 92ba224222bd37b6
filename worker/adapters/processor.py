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
TORCH_PROBE: Final = "import torch; a = torch.ones(64, 384, dtype=torch.bfloat16); (a @ a.T).sum()"
OPENVINO_PROBE: Final = """
import numpy, openvino
from openvino import opset13 as op
a = op.parameter([64, 384], numpy.float32)
product = op.matmul(a, op.constant(numpy.ones((384, 384), numpy.float32)), False, True)
compiled = openvino.Core().compile_model(openvino.Model([product], [a]), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
compiled(numpy.ones((64, 384), numpy.float32))
"""
_PROBE_SECONDS: Final = 60
_CPU_FLAGS: Final = Path("/proc/cpuinfo")


def available_processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def avoid_illegal_instructions(program: str = TORCH_PROBE) -> None:
    """Keep bf16 and int8 from killing the process on a virtual machine that offers AMX and does not allow it.

    There the first such product ends the process with SIGILL, which nothing can catch. So one is tried in a process
    of its own first, by `program`; if that dies, oneDNN, which torch and OpenVINO both use, is told to do without AMX.
    Must be called before either computes anything.
    """
    if _ISA_VARIABLE in os.environ or not _offers_amx():
        return
    probe = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=_PROBE_SECONDS)  # noqa: S603 - our own text
    if probe.returncode < 0:
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
