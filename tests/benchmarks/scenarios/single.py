"""Scenarios without servers: the pipeline alone, and the embedder alone."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.benchmarks import alone
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OPENVINO_ENVIRONMENT
from tests.benchmarks.results import Reach, Result
from tests.e2e import programs


def pipeline(bench: Bench) -> Result:
    """All of the worker's own work, on one core."""
    events = bench.size(20_000, 2000)
    found = alone.measured(events, 1 if bench.quick else 7)
    rows = [_row(way, one) for way, one in found.items()]
    result = Result(
        "Pipeline alone",
        f"{events:,} change events of real texts through the real pipeline, between a log in memory, an index that "
        "says yes to everything at once, and fixed vectors. Processor time, one core; `bare` is to parse the events' "
        "JSON and serialise it again, `replay` finds everything stored already.",
        ("", "of bare", "us/event", "events/s", "best round"),
        rows,
        [Reach(f"events/s on one core, {way}", found[way]["a_second"], 20_000, "") for way in alone.WAYS],
    )
    profile = alone.profiled(min(events, 5000), "insert", 12)
    result.notes = [f"Under cProfile, by own time: {_largest(profile)}."]
    result.raw = [{"way": way, **one} for way, one in found.items()]
    return result


def _row(way: str, one: Mapping[str, float]) -> list[str]:
    figures = f"{one['us_an_event']:.1f}", f"{one['a_second']:,.0f}", f"{one['best_a_second']:,.0f}"
    return [way, f"{one['times_bare']:.1f}x", *figures]


def _largest(profile: str) -> str:
    lines = [line.split(None, 5) for line in profile.splitlines()]
    return ", ".join(f"{parts[5]} {parts[1]} s" for parts in lines if len(parts) == 6 and parts[1][0].isdigit())


def embedder(bench: Bench) -> Result:
    """The worker's embedder in all its forms beside `encode`, in a process of its own (`tests.benchmarks.embedder`)."""
    output = bench.folder / "embedder.json"
    size = ["--few", "--texts", "64", "--rounds", "1", "--way", "fp32"] if bench.quick else []
    python = os.environ.get(OPENVINO_ENVIRONMENT) or sys.executable
    command = [python, "-m", "tests.benchmarks.embedder", *size, "--json", str(output)]
    environment = {**os.environ, **programs.environment()}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=programs.ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-1500:]}")
    return _embedders(json.loads(output.read_text()))


def _embedders(content: Mapping[str, Any]) -> Result:
    rows = [[case["name"], *row] for case in content["cases"] for row in case["rows"]]
    result = Result(
        "Embedder alone",
        f"`encode` is one `SentenceTransformer.encode(all, batch_size=32)` in fp32, on {content['threads']} threads as "
        "all others; quality is measured against its vectors. `products` are the model's matrix products for the "
        "texts' tokens alone, without padding and in torch's fp32: nothing that computes so can be faster.",
        ("texts", "way", *content["columns"][1:]),
        rows,
        [Reach(**one) for one in content["reach"]],
        [f"{case['told'][0].upper()}{case['told'][1:]}." for case in content["cases"]],
        [content],
    )
    if content["missing"]:
        result.notes.append(f"Not run, for want of the extra 'openvino': {', '.join(content['missing'])}.")
    return result
