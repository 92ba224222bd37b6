"""What a run found, by scenario: a JSON file that later runs add to, and the table that is made of it."""

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.contenders import OURS
from tests.benchmarks.truth import KINDS, Comparison
from tests.benchmarks.turn import Measured
from tests.e2e import programs
from tests.servers.jvm import artifacts

_PACKAGES: Final = ("aiokafka", "elasticsearch", "numpy", "orjson", "sentence-transformers", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Reach:
    """One figure to reach: `value` and `goal` in the same unit; at least that much, or at most."""

    what: str
    value: float | None
    goal: float
    unit: str = "x"
    at_most: bool = False
    low: float | None = None
    high: float | None = None
    """The lowest and highest of the rounds."""

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(slots=True)
class Result:
    """One scenario: what was done in a sentence, the rows of its table, and the figures to reach."""

    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]] = field(default_factory=list)
    reach: list[Reach] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: list[Mapping[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        found["reach"] = [{**asdict(one), "reached": one.reached} for one in self.reach]
        return found


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    processor, memory = Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()
    cpu = next((line.partition(":")[2].strip() for line in processor.splitlines() if "model name" in line), "unknown")
    memory_kb = int(next(line.split()[1] for line in memory.splitlines() if line.startswith("MemTotal")))
    return {
        "processor": cpu,
        "cores": cores(),
        "memory_gb": round(memory_kb / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "Elasticsearch": artifacts.ELASTICSEARCH, **artifacts.versions()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    # They live in environments of their own.
    return found | _pinned("openvino.txt", "openvino", "nncf") | _pinned("quix.txt", "quixstreams")


def _pinned(file: str, *names: str) -> dict[str, str]:
    pins = (programs.ROOT / "requirements" / file).read_text(encoding="utf-8")
    return {name: found[1] for name in names if (found := re.search(rf"^{name}==(\S+)", pins, re.MULTILINE))}


class Results:
    """The file of all scenarios. Each that ends is written at once, so that a run that is cut off loses only one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"scenarios": {}}

    def add(self, name: str, result: Result, seconds: float, command: str, load: float) -> None:
        """Put a scenario in place of what the file had of it."""
        self.content["scenarios"][name] = {
            "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "command": command,
            "took_s": round(seconds),
            "load_before": round(load, 2),
            "machine": machine(),
            "versions": versions(),
            **result.as_json(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(self.content, indent=1, default=str) + "\n")
        draft.replace(self.path)


def by_contender(turns: Sequence[Measured]) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for one in turns:
        found.setdefault(one.contender, []).append(one)
    return found


def ratios(turns: Sequence[Measured], baseline: str, ours: str = OURS) -> list[float]:
    """Ours over a baseline, round by round, where both came to their end."""
    groups = by_contender(turns)
    pairs = zip(groups.get(ours, []), groups.get(baseline, []), strict=False)
    return [one.a_second / other.a_second for one, other in pairs if one.a_second and other.a_second]


def reach(turns: Sequence[Measured], baseline: str, goal: float, ours: str = OURS) -> Reach:
    """The median ratio, with the lowest and the highest."""
    found = ratios(turns, baseline, ours)
    what = f"against `{baseline}`" if ours == OURS else f"`{ours}` against `{baseline}`"
    if not found:
        return Reach(what, None, goal)
    return Reach(what, statistics.median(found), goal, low=min(found), high=max(found))


THROUGHPUT_COLUMNS: Final = (
    "",
    "ours is",
    "events/s",
    "embedded",
    "reused",
    "CPU ms/event",
    "ES CPU ms/event",
    "wrong documents",
)


def throughput_rows(turns: Sequence[Measured]) -> Iterator[list[object]]:
    """A row for each contender: the ratio first, then medians over the rounds, and the wrong documents of the worst."""
    for name, rounds in by_contender(turns).items():
        done = [one for one in rounds if not one.failed]
        if not done:
            yield [name, "", f"failed: {rounds[0].failed.splitlines()[0][:120]}", "", "", "", "", ""]
            continue
        found = ratios(turns, name)
        last = done[-1]
        worst = max((one.wrong for one in done if one.wrong is not None), key=lambda one: one.total, default=None)
        yield [
            name,
            f"{statistics.median(found):.2f}x" if found and name != OURS else "",
            f"{_middle(one.a_second for one in done):,.0f}",
            "" if last.embedded is None else f"{_middle(one.embedded or 0 for one in done):,.0f}",
            "" if last.reused is None else f"{_middle(one.reused or 0 for one in done):,.0f}",
            f"{_middle(1000 * one.cpu_s / one.changes for one in done):.2f}",
            f"{_middle(1000 * one.elasticsearch_cpu_s / one.changes for one in done):.2f}",
            wrong_documents(worst),
        ]


def wrong_documents(found: Comparison | None) -> str:
    if found is None:
        return ""
    kinds = ", ".join(f"{found.wrong[kind]:,} {kind}" for kind in KINDS if found.wrong[kind])
    return f"{found.total:,} of {found.rows:,}" + (f" ({kinds})" if kinds else "")


def _middle(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def bound_by_elasticsearch(turns: Sequence[Measured], cores: int) -> list[str]:
    """What any pipeline could reach at best: all processors for what Elasticsearch does of ours, and nothing else."""
    groups = by_contender(turns)
    ours = [one for one in groups.get(OURS, []) if not one.failed and one.elasticsearch_cpu_s]
    if not ours:
        return []
    bound = cores / _middle(one.elasticsearch_cpu_s / one.changes for one in ours)
    rates = {name: _middle(one.a_second for one in rounds) for name, rounds in groups.items() if name != OURS}
    beside = ", ".join(f"{bound / rate:.1f}x `{name}`" for name, rate in rates.items() if rate)
    return [
        f"Elasticsearch's processor time alone bounds everybody here: with all {cores} processors for it and none for "
        f"the client, {bound:,.0f} events/s" + (f", which is {beside}." if beside else ".")
    ]


def profile_notes(turns: Sequence[Measured], ours: str = OURS) -> list[str]:
    """Where the worker's time goes, from its last turn: threads by processor time, stages by how long they took."""
    last = next((one for one in reversed(turns) if one.contender == ours and not one.failed), None)
    if last is None:
        return []
    who = "The worker" if ours == OURS else f"`{ours}`"
    threads = f"{who}'s threads, processor time as a share of the turn (`loop` is the event loop)"
    stages = "Its stages, time in calls as a share of the turn (stages overlap, and bulk requests each other)"
    return [f"{threads}: {_shares(last.threads, last.seconds)}.", f"{stages}: {_shares(last.stages, last.seconds)}."]


def _shares(spent: Mapping[str, float], seconds: float) -> str:
    largest = sorted(spent.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} {100 * one / seconds:.0f} %" for name, one in largest if one >= 0.005 * seconds)
