"""Scenarios that are a load and a time: everybody does the same one, in turns."""

import json
import os
import statistics
import subprocess
import sys
from typing import Final

from tests.benchmarks.baselines.model import FIXED
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OURS, OURS_INT8
from tests.benchmarks.events import MIX, History
from tests.benchmarks.results import (
    THROUGHPUT_COLUMNS,
    Reach,
    Result,
    bound_by_elasticsearch,
    cores,
    profile_notes,
    reach,
    throughput_rows,
)
from tests.benchmarks.texts import lengths
from tests.benchmarks.turn import Load, Measured
from tests.e2e import programs
from worker.stages.embedding_text import embedding_text

_DIRECT: Final = (
    "Events are written to Kafka directly, in Debezium's form: on these processors PostgreSQL and Connect would be "
    "measured with the rest."
)


def _result(title: str, how: str, turns: list[Measured], reached: list[Reach]) -> Result:
    broken = [one.failed for one in turns if one.contender == OURS and one.failed]
    assert not broken, broken[0]
    result = Result(title, how, THROUGHPUT_COLUMNS, list(throughput_rows(turns)), reached)
    result.notes = [*profile_notes(turns), *profile_notes(turns, OURS_INT8), _DIRECT]
    result.raw = [one.as_json() for one in turns]
    return result


def mix(bench: Bench) -> Result:
    """Changes of rows that are indexed already."""
    rows, changes = bench.size(2000, 100), bench.size(3000, 150)
    loads = []
    for seed in range(1, bench.rounds + 1):
        history = History(seed)
        filled = bench.filled(history, rows, bench.model)
        loads.append(Load(history.mixed(changes), history.rows(), filled))
    turns = bench.in_turns([*bench.ours, *bench.baselines("loop", "stream", "quix")], bench.model, loads)
    shares = ", ".join(f"{share} % {kind}" for kind, share in MIX.items())
    how = (
        f"{changes:,} changes of {rows:,} indexed rows: {shares} (outside and inside: updates outside and inside the "
        f"text). Tenant in the primary key, default replica identity; texts of 2,000 characters and more are left out "
        "of updates of other columns, as PostgreSQL leaves them out."
    )
    goals = [
        reach(turns, baseline, goal, ours)
        for ours in bench.ours
        for baseline, goal in {"stream": 8, "loop": 10, "quix": 8}.items()
    ]
    return _result("Change mix", how, turns, goals)


def snapshot(bench: Bench) -> Result:
    """All texts are new."""
    count = bench.size(1500, 100)
    loads = [Load(history.inserts(count), history.rows()) for history in (History() for _ in range(bench.rounds))]
    texts = [embedding_text(row.fields, ("title", "content")) for row in loads[0].rows.values()]
    alone: list[float] = []
    turns: list[Measured] = []
    for load in loads:
        alone.append(count / _embedding_alone(bench, texts))
        bench.say(f"  the embedder alone: {alone[-1]:,.1f} texts/s")
        turns += bench.in_turns([*bench.ours, *bench.baselines("stream", "loop", "quix")], bench.model, [load])
    ours_alone = [one.a_second for one in turns if one.contender == OURS]
    shares = [one / rate for one, rate in zip(ours_alone, alone, strict=True)]
    spread = ", ".join(f"{name} {value:,.0f}" for name, value in lengths(count).items())
    how = f"{count:,} new rows, all texts different; characters: {spread}."
    goal = Reach("against our embedder alone", statistics.median(shares), 0.95, low=min(shares), high=max(shares))
    result = _result("Snapshot: all texts new", how, turns, [goal])
    ours = next(row for row in result.rows if row[0] == OURS)
    beside = ["embedder alone", f"{goal.value:.2f}x", f"{statistics.median(alone):,.0f}"]
    result.rows = [ours, [*beside, *[""] * (len(ours) - len(beside))], *(row for row in result.rows if row is not ours)]
    return result


def _embedding_alone(bench: Bench, texts: list[str]) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.embedding_alone", bench.model],
        check=True,
        input=json.dumps(texts),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **programs.environment()},
    )
    return float(json.loads(done.stdout))


def vectors(bench: Bench) -> Result:
    """New rows whose vectors cost nothing."""
    count = bench.size(20_000, 1000)
    loads = [Load(history.inserts(count), history.rows()) for history in (History() for _ in range(bench.rounds))]
    turns = bench.in_turns([OURS, *bench.baselines("stream", "loop", "quix")], FIXED, loads)
    how = f"{count:,} new rows; the embedder is faked, the same fixed vectors for everybody: what is left is transport."
    result = _result("Vectors at hand", how, turns, [reach(turns, "stream", 1.5), reach(turns, "quix", 4)])
    result.notes += bound_by_elasticsearch(turns, cores())
    return result


def replay(bench: Bench) -> Result:
    """The log again that the index was made from."""
    rows, changes = bench.size(10_000, 500), bench.size(30_000, 1500)
    loads = []
    for seed in range(1, bench.rounds + 1):
        history = History(seed)
        inserted = history.inserts(rows)
        records = [*inserted, *history.mixed(changes)]
        loads.append(Load(records, history.rows(), bench.indexed(records, history.rows(), FIXED)))
    turns = bench.in_turns([OURS, *bench.baselines("stream")], FIXED, loads)
    done = [one for one in turns if one.contender == OURS and not one.failed]
    rates = sorted(one.a_second for one in done)
    # The end mark is a row of its own: embedded, unless its vector is found as well.
    embedded = max((max(0, (one.embedded or 0) - 1) for one in done), default=0)
    goals = [
        Reach("events/s", rates[len(rates) // 2] if rates else None, 5000, "", low=min(rates), high=max(rates)),
        Reach("texts embedded, the end mark apart", embedded, 0, "", at_most=True),
    ]
    how = (
        f"{rows:,} inserts and {changes:,} changes of the mix, all indexed before, read once more by a new group. The "
        "embedder is faked for everybody; ours does not call it."
    )
    return _result("Replay of what is indexed", how, turns, goals)
