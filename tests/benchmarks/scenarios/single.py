"""Scenarios without servers: the pipeline alone, and the embedder alone where its own benchmark is there."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.benchmarks import alone
from tests.benchmarks.bench import Bench
from tests.benchmarks.results import Reach, Result
from tests.e2e import programs

_EMBEDDER: Final = "tests.benchmarks.embedder"


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
    """What the embedder's own benchmark says, as it prints it."""
    found = importlib.util.find_spec(_EMBEDDER)
    if found is None or found.origin is None:
        return Result("Embedder alone", "Its benchmark is not in this checkout.", ())
    output = bench.folder / "embedder.json"
    takes_json = "--json" in Path(found.origin).read_text()
    size = ["--texts", "64", "--rounds", "1"] if bench.quick else []
    command = [sys.executable, "-m", _EMBEDDER, *size, *(["--json", str(output)] if takes_json else [])]
    environment = {**os.environ, **programs.environment()}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=programs.ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-1500:]}")
    result = Result("Embedder alone", f"As `python -m {_EMBEDDER}` prints it:\n\n```\n{done.stdout.strip()}\n```", ())
    if output.exists():
        content = json.loads(output.read_text())
        result.reach = [Reach(**one) for one in content.get("reach", [])]
        result.raw = [content]
    return result
