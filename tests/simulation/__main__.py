"""Performs many stories, on all processors: `make simulate SEEDS=10000`, or `make simulate SEED=17` for one again.

Prints what fails as a short story, and how to see it again; exits with 1 if anything has.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Final

from tests.simulation.drawing import Allowed, draw
from tests.simulation.many import Failure, in_parallel
from tests.simulation.perform import perform
from tests.simulation.shrink import shrink
from tests.simulation.story import Story

_MOST_FAILURES: Final = 5
_SECONDS_BETWEEN_LINES: Final = 10.0


def main() -> int:
    """Return the exit code."""
    options = _options()
    allowed = Allowed(**dict.fromkeys(options.allow, True))
    if options.story is not None:
        return _one(Story.from_json(options.story.read_bytes()), verbose=True)
    if options.seed is not None:
        return _one(draw(options.seed, allowed), verbose=True)
    return _many(options.first, options.seeds, options.jobs, allowed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many stories")
    parser.add_argument("--first", type=int, default=int(time.time()) * 1000, help="the first seed; default: the clock")
    parser.add_argument("--seed", type=int, help="perform one story, and tell all that happens in it")
    parser.add_argument("--story", type=Path, help="perform the story in a file, as a failure prints it")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    known = [one.name for one in fields(Allowed)]
    parser.add_argument("--allow", action="append", default=[], choices=known, help="a workload that is known to fail")
    return parser.parse_args()


def _one(story: Story, *, verbose: bool) -> int:
    outcome = perform(story)
    if verbose:
        print(*outcome.events, sep="\n")
    if outcome.violation is None:
        print(f"seed {story.seed}: nothing violated; digest of all that happened: {outcome.digest}")
        return 0
    print(f"\nseed {story.seed}: {outcome.violation}\nMaking it shorter ...")
    short, violation = shrink(story, outcome.violation)
    print(f"\nseed {story.seed} in short:\n{short.tell()}\n=> {violation}")
    print(f"For tests/simulation/past.jsonl, with its reason:\n{short.as_json()}")
    return 1


def _many(first: int, count: int, jobs: int, allowed: Allowed) -> int:
    print(f"seeds {first} to {first + count - 1} in {jobs} processes")
    started = told = time.monotonic()
    done, failed = 0, list[Failure]()
    for number, found in in_parallel(first, count, jobs, allowed):
        done += number
        failed += found
        for failure in found:
            print(f"seed {failure.seed}: {failure.text}", flush=True)
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            print(f"{done} of {count}, {done / (told - started):.0f} a second, {len(failed)} failed", flush=True)
        if len(failed) >= _MOST_FAILURES:
            break
    print(f"{done} stories in {time.monotonic() - started:.0f} s, {len(failed)} failed")
    for failure in sorted(failed)[:_MOST_FAILURES]:
        _one(draw(failure.seed, allowed), verbose=False)
        print(f"See it again: make simulate SEED={failure.seed}{''.join(f' ALLOW={one}' for one in _names(allowed))}")
    return 1 if failed else 0


def _names(allowed: Allowed) -> Iterator[str]:
    return (one.name for one in fields(Allowed) if getattr(allowed, one.name))


if __name__ == "__main__":
    sys.exit(main())
