"""What the scenarios share: servers, started once; rounds in turns; documents that fill an index beforehand."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks import target
from tests.benchmarks.baselines.model import FIXED
from tests.benchmarks.contenders import OURS, OURS_INT8, Int8
from tests.benchmarks.events import TABLE, History, Record
from tests.benchmarks.truth import Row, RowKey
from tests.benchmarks.turn import Load, Measured, Place, Turn, turn
from tests.e2e.index import Document
from tests.soak.surroundings import real_servers
from worker.demo.model import DEFAULT_MODEL, find_model

_MARKS: Final = frozenset({"warm-up", "end"})


@dataclass(slots=True)
class Bench:
    """`quick`: small loads and one round, to see that all of it runs."""

    quick: bool
    folder: Path
    closing: ExitStack
    quix: bool
    say: Callable[[str], None]
    minutes: float = 60
    _place: Place | None = None
    _filled: dict[tuple[int, str], list[Document]] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        if self._place is None:
            self.say("starting servers")
            self._place = Place(self.closing.enter_context(real_servers(self.folder)), self.folder)
            self._warm_up(self._place)
        return self._place

    @property
    def model(self) -> str:
        """The folder of the real model."""
        return find_model(DEFAULT_MODEL)

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    def baselines(self, *names: str) -> list[str]:
        """Those that can run here; in quick runs the first stands for all."""
        wanted = names[:1] if self.quick else names
        return [name for name in wanted if name != "quix" or self.quix]

    @property
    def ours(self) -> list[str]:
        """The worker as it comes; in full runs also with the quantised model, where the extra for that is there."""
        return [OURS, OURS_INT8] if Int8.python and not self.quick else [OURS]

    def _warm_up(self, place: Place) -> None:
        """A server that has just started is slow: whoever came first would be measured with it.

        Changes as well as inserts: only the worker looks documents up, and no other would warm that up for it.
        """
        history = History(seed=99)
        records = [*history.inserts(self.size(6000, 500)), *history.mixed(self.size(6000, 200))]
        told = turn(place, OURS, FIXED, Load(records, history.rows()))
        assert not told.failed, told.failed
        self.say(f"warmed up: {told.a_second:,.0f} events/s")

    def in_turns(
        self, names: Sequence[str], model: str, loads: Sequence[Load], *, partitions: int = 1
    ) -> list[Measured]:
        """A round for each load, in which everybody does it; in the next round another begins."""
        turns: list[Measured] = []
        for number, load in enumerate(loads):
            begin = number % len(names)
            for name in [*names[begin:], *names[:begin]]:
                measured = turn(self.place, name, model, load, partitions=partitions)
                wrong = "" if measured.wrong is None else f", {measured.wrong.total} wrong documents"
                self.say(
                    f"  round {number + 1} {name}: {measured.a_second:,.1f} events/s{wrong} {measured.failed[:600]}"
                )
                turns.append(measured)
        return sorted(turns, key=lambda one: names.index(one.contender))

    def filled(self, history: History, count: int, model: str) -> list[Document]:
        """Insert `count` rows into the history; the documents that the worker makes of them."""
        records = history.inserts(count)
        if (count, model) not in self._filled:
            self._filled[count, model] = self.indexed(records, history.rows(), model)
        return self._filled[count, model]

    def indexed(self, records: Sequence[Record], rows: Mapping[RowKey, Row], model: str) -> list[Document]:
        """Let the worker index the records; all documents that it leaves, tombstones included."""
        run = Turn(self.place, OURS, model, 1)
        try:
            measured = run.measure(Load(records, rows), 3600)
            everything = target.whole_documents(run.setting.elasticsearch, run.contender.index_of(TABLE))
        finally:
            run.close()
        assert measured.wrong is not None
        assert not measured.wrong.total, measured.wrong
        self.say(f"  {len(rows):,} rows indexed beforehand, {measured.a_second:,.0f} events/s")
        return [one for one in everything if one.routing not in _MARKS]
