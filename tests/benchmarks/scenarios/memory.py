"""Resident memory over minutes of mixed load with the real model."""

import itertools
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import psutil

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OURS
from tests.benchmarks.events import History
from tests.benchmarks.results import Reach, Result
from tests.benchmarks.turn import Turn
from tests.soak.backlog import memory_kb
from tests.threads import beside

_A_SECOND: Final = 40
_BURST: Final = 1000
_BURST_EVERY_S: Final = 60
_SETTLING: Final = 0.25
"""The first part of the time, left out of the slope: pools and caches fill."""


def memory(bench: Bench) -> Result:
    """A steady stream of changes and a burst every minute."""
    minutes = 0.3 if bench.quick else bench.minutes
    history = History()
    filled = bench.filled(history, bench.size(2000, 100), bench.model)
    run = Turn(bench.place, OURS, bench.model, 1)
    samples: list[Sample] = []
    try:
        run.start(filled)
        pid = run.contender.server.pid
        loaded = memory_kb(pid, "VmRSS") / 1024
        bench.say(f"  model loaded, {loaded:.0f} MB")
        with beside(partial(_watch, run, pid, samples), "memory"):
            written = _drive(bench, run, history, minutes * 60)
            run.finish()
        highest = memory_kb(pid, "VmHWM") / 1024
        found = run.compare(history.rows())
    finally:
        run.close()
    slope, error = _slope([(one.seconds, one.resident_mb - one.cache_mb) for one in samples])
    end = samples[-1]
    result = Result(
        f"Memory over {minutes:g} minutes",
        f"{_A_SECOND} changes of the mix a second, {_BURST:,} at once every {_BURST_EVERY_S} s: {written:,} in all, "
        f"real model, {found.total} wrong documents. Resident memory, looked at every second; the slope without "
        "the first quarter, and without the vector cache, which fills up to its bound.",
        ("model loaded MB", "highest MB", "at the end MB", "of it vector cache MB", "slope MB/hour", "standard error"),
        [
            [
                f"{loaded:.0f}",
                f"{highest:.0f}",
                f"{end.resident_mb:.0f}",
                f"{end.cache_mb:.0f}",
                f"{slope:+.1f}",
                f"{error:.1f}",
            ]
        ],
        [
            Reach("highest above the loaded model", highest - loaded, 400, "MB", at_most=True),
            Reach("slope (two standard errors allowed)", max(0.0, slope - 2 * error), 0, "MB/hour", at_most=True),
        ],
    )
    some = samples[:: max(1, len(samples) // 1000)]
    result.raw = [{name: round(value, 1) for name, value in one._asdict().items()} for one in some]
    return result


class Sample(NamedTuple):
    """Resident memory, and how much of it the vectors in the cache take."""

    seconds: float
    resident_mb: float
    cache_mb: float


def _watch(run: Turn, pid: int, samples: list[Sample], stopping: threading.Event) -> None:
    began = time.monotonic()
    process = psutil.Process(pid)
    while not stopping.wait(1):
        scrape = run.contender.scrape()
        assert scrape is not None
        resident, cache = process.memory_info().rss, scrape.total("syncline_vector_cache_bytes")
        samples.append(Sample(time.monotonic() - began, resident / 2**20, cache / 2**20))


def _drive(bench: Bench, run: Turn, history: History, seconds: float) -> int:
    """Write at the rate for so long; what each second brings is written at once."""
    began, written = time.monotonic(), 0
    for number in itertools.count():
        if (ahead := began + number - time.monotonic()) > 0:
            time.sleep(ahead)
        if time.monotonic() - began >= seconds:
            return written
        burst = number and number % _BURST_EVERY_S == 0
        count = bench.size(_BURST, 100) if burst else _A_SECOND
        run.write(history.mixed(count))
        written += count
        assert run.contender.server.running, run.contender.server.log_tail()
    raise AssertionError("without an end")


def _slope(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """MB an hour, and its standard error over ten parts of the time: samples beside each other are not independent."""
    later = samples[int(_SETTLING * len(samples)) :]
    if len(later) < 20:
        return 0.0, 0.0
    parts = np.array_split(np.array(later), 10)
    hours = np.array([part[:, 0].mean() / 3600 for part in parts])
    mb = np.array([part[:, 1].mean() for part in parts])
    slope, level = np.polyfit(hours, mb, 1)
    residuals = mb - (slope * hours + level)
    spread = float(np.sqrt((residuals**2).sum() / (len(parts) - 2)))
    return float(slope), spread / float(np.sqrt(((hours - hours.mean()) ** 2).sum()))
