"""Measures the worker beside what people use today: `python -m tests.benchmarks [--quick] [--scenarios mix,replay]`.

Real servers; needs what `--servers jvm` needs. Each scenario's result goes into the JSON file when it ends, in place of
an older one: a run can be cut off, and go on with what is left by `--missing`. Figures never make it fail.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.benchmarks import table
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import QUIX_ENVIRONMENT
from tests.benchmarks.results import Result, Results
from tests.benchmarks.scenarios import correctness, freshness, latency, memory, scale, single, throughput
from tests.e2e import programs

SCENARIOS: Final[Mapping[str, Callable[[Bench], Result]]] = {
    "embedder": single.embedder,
    "snapshot": throughput.snapshot,
    "mix": throughput.mix,
    "replay": throughput.replay,
    "vectors": throughput.vectors,
    "pipeline": single.pipeline,
    "rest": latency.rest,
    "half": freshness.freshness,
    "scale": scale.scale,
    "correctness": correctness.correctness,
    "memory": memory.memory,
}
FULL: Final = programs.ROOT / "docs" / "performance.json"
BUILD: Final = programs.ROOT / "build" / "bench"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default="", help=f"some of {','.join(SCENARIOS)}; all if left out")
    parser.add_argument("--quick", action="store_true", help="small loads, one round: only to see that it runs")
    parser.add_argument("--missing", action="store_true", help="only scenarios that the results do not hold yet")
    parser.add_argument("--minutes", type=float, default=60, help="of mixed load while memory is watched")
    parser.add_argument("--results", type=Path, help="the JSON file to add to")
    given = parser.parse_args()
    results = Results(given.results or (BUILD / "quick.json" if given.quick else FULL))
    names = [name for name in given.scenarios.split(",") if name] or list(SCENARIOS)
    if unknown := set(names) - SCENARIOS.keys():
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if given.missing:
        names = [name for name in names if name not in results.content["scenarios"]]
    folder = BUILD / f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    folder.mkdir(parents=True)
    began = time.monotonic()
    command = " ".join(["python -m tests.benchmarks", *sys.argv[1:]])
    with ExitStack() as closing:
        quix = bool(os.environ.get(QUIX_ENVIRONMENT))
        bench = Bench(given.quick, folder, closing, quix, _say, given.minutes)
        if not quix:
            _say(f"{QUIX_ENVIRONMENT} names no Python: without Quix Streams")
        failed = [name for name in names if not _one(name, bench, results, command)]
        if given.quick:  # what fails by chance on a busy machine must not stop a build
            failed = [name for name in failed if not _one(name, bench, results, command)]
    took = f"{(time.monotonic() - began) / 60:.1f} minutes"
    print(f"\n{table.rendered(results.content)}\n{took}; results: {results.path}; logs: {folder}")  # noqa: T201
    if failed:
        _say(f"could not run: {', '.join(failed)}")
    return 1 if failed else 0


def _one(name: str, bench: Bench, results: Results, command: str) -> bool:
    load, began = os.getloadavg()[0], time.monotonic()
    _say(f"{name} (load {load:.1f})")
    try:
        result = SCENARIOS[name](bench)
    except (AssertionError, OSError, RuntimeError, ValueError, KeyError) as error:
        _say(f"{name} could not run: {error}\n{traceback.format_exc()[-1500:]}")
        return False
    results.add(name, result, time.monotonic() - began, command, load)
    print(f"\n{table.section(results.content['scenarios'][name])}", flush=True)  # noqa: T201
    return True


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} {what}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
