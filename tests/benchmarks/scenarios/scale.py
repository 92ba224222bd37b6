"""How throughput grows with partitions and processes, and which processor is at its limit."""

from typing import Final

from tests.benchmarks.baselines.model import FIXED
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OURS
from tests.benchmarks.events import History
from tests.benchmarks.results import Result, cores, wrong_documents
from tests.benchmarks.turn import Load, Measured, Turn

SHAPES: Final = ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2))
"""Partitions, processes."""


def scale(bench: Bench) -> Result:
    """Vectors at hand, so that not the model is measured."""
    count = bench.size(20_000, 1000)
    rounds: dict[tuple[int, int], list[Measured]] = {shape: [] for shape in SHAPES}
    for _ in range(bench.rounds):
        history = History()
        load = Load(history.inserts(count), history.rows())
        for shape in SHAPES:
            measured = _one(bench, load, *shape)
            bench.say(f"  {shape[0]} partitions, {shape[1]} processes: {measured.a_second:,.0f} events/s")
            rounds[shape].append(measured)
    first = sorted(one.a_second for one in rounds[SHAPES[0]])
    base = first[len(first) // 2]
    rows = []
    for (partitions, processes), found in rounds.items():
        middle = sorted(found, key=lambda one: one.a_second)[len(found) // 2]
        rows.append([
            f"{partitions} / {processes}",
            f"{middle.a_second / base:.2f}x",
            f"{middle.a_second:,.0f}",
            f"{100 * middle.cpu_s / middle.seconds:.0f} %",
            f"{100 * middle.elasticsearch_cpu_s / middle.seconds:.0f} %",
            wrong_documents(middle.wrong),
        ])  # fmt: skip
    result = Result(
        "Partitions and processes",
        f"{count:,} new rows with vectors at hand. Processor time of the first worker and of Elasticsearch, as a share "
        "of the time: 100 % is one core.",
        ("partitions / processes", "is", "events/s", "worker", "Elasticsearch", "wrong documents"),
        rows,
    )
    share = [100 * one.elasticsearch_cpu_s / one.seconds for found in rounds.values() for one in found]
    result.notes.append(
        f"What limits it: Elasticsearch, with {min(share):.0f} to {max(share):.0f} % of the {cores()} processors' "
        f"{100 * cores()} %, and Kafka and the workers beside it. One worker with one partition keeps it busy; more of "
        "them have more to share only where Elasticsearch is elsewhere, or the model is what takes the time."
    )
    result.raw = [{"shape": shape, **one.as_json()} for shape, found in rounds.items() for one in found]
    return result


def _one(bench: Bench, load: Load, partitions: int, processes: int) -> Measured:
    run = Turn(bench.place, OURS, FIXED, partitions, processes=processes)
    try:
        return run.measure(load, 1800)
    finally:
        run.close()
