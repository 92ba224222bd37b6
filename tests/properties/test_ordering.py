"""One row of a table with transactions, snapshots and events sent again: the index follows, and a replay tells nothing.

A small database: positions are given to statements, events are written at commits, and a snapshot reads what is
committed. Other rows move the watermark on.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import change, deletion, record
from worker.records import Change, Place, Stored, Unit, VersionType
from worker.runtime.intake import Intake
from worker.stages.documents import log_place
from worker.stages.planning import NeedsVector, Ready, plan

STEPS = st.sampled_from(["begin update", "begin delete", "commit", "another row", "snapshot", "drift", "again"])
STORIES = st.lists(st.tuples(STEPS, st.integers(1, 3)), min_size=1, max_size=30)
GONE = -1


@dataclass
class Table:
    """The row, and the log of its partition as changes; `serial` is kept in a document's title."""

    log: list[Change] = field(default_factory=list)
    row: int = GONE
    _lsn: int = 100
    _serial: int = 0
    _watermark: int = 0
    _open: tuple[int, int] | None = None
    _drifted: bool = False
    _sent: list[tuple[int, int]] = field(default_factory=list)

    def perform(self, story: Sequence[tuple[str, int]]) -> None:
        self._begin("begin update")
        self._commit()
        for step, count in story:
            self._perform(step, count)
        self._commit()
        if self._drifted:
            self._snapshot()

    def _perform(self, step: str, count: int) -> None:
        match step:
            case "commit":
                self._commit()
            case "another row":
                self._lsn += 1
                self._watermark = self._lsn
            case "snapshot":
                self._snapshot()
            case "drift" if self._open is None and self.row != GONE:
                self._serial += 1
                self.row, self._drifted = self._serial, True
            case "again":
                for event in self._sent[-count:]:
                    self._append(*event)
            case _ if self._open is None and step.startswith("begin"):
                self._begin(step)

    def _begin(self, step: str) -> None:
        self._lsn += 1
        self._serial += 1
        self._open = self._lsn, GONE if step == "begin delete" else self._serial

    def _commit(self) -> None:
        if self._open is not None:
            self._sent.append(self._open)
            self._append(*self._open)
            self.row, self._open = self._open[1], None
            self._drifted = False

    def _snapshot(self) -> None:
        self._drifted = False
        if self.row != GONE:
            self._append(self._watermark, self.row, positioned=False)

    def _append(self, version: int, serial: int, *, positioned: bool = True) -> None:
        of = record(offset=len(self.log))
        said = (
            deletion(version)
            if serial == GONE
            else change(version, positioned=positioned, fields={"title": str(serial)})
        )
        said.record, said.watermark = of, self._watermark
        self.log.append(said)
        if positioned:
            self._watermark = max(self._watermark, version)


@dataclass
class Index:
    """External versions, as Elasticsearch has them."""

    held: dict[Place, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    shown: list[int] = field(default_factory=list)
    writes: int = 0

    def apply(self, unit: Unit) -> None:
        decision = plan(unit, {place: self.stored(place) for place in unit.places}, (), "m", 0)
        assert not isinstance(decision, NeedsVector)
        for write in decision.writes if isinstance(decision, Ready) else ():
            held = self.held.get(write.place, (-1, {}))[0]
            assert write.version > held or (write.version == held and write.version_type is VersionType.EXTERNAL_GTE)
            body = orjson.loads(write.body)
            self.held[write.place] = write.version, body
            self.shown.append(GONE if write.tombstone else int(body["title"]))
            self.writes += 1

    def stored(self, place: Place) -> Stored | None:
        if place not in self.held:
            return None
        version, body = self.held[place]
        return Stored(version, "deleted" in body["sync"], body=body, log_place=log_place(body["sync"]))


async def units(batch: Sequence[Change]) -> list[Unit]:
    intake = Intake()
    found: list[Unit] = []
    for one in batch:
        intake.add(one)
    while True:
        try:
            async with asyncio.timeout(0):
                taken = await intake.take(10)
        except TimeoutError:
            return found
        found += taken
        intake.release(taken[0].change.key)


def batches(log: Sequence[Change], data: st.DataObject) -> Iterator[Sequence[Change]]:
    rest = log
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        yield rest[:size]
        rest = rest[size:]


def read(log: Sequence[Change], index: Index, data: st.DataObject) -> None:
    for batch in batches(log, data):
        for unit in asyncio.run(units(batch)):
            index.apply(unit)


@given(STORIES, st.data())
def test_the_index_shows_the_row_as_it_is_and_a_replay_changes_nothing(
    story: list[tuple[str, int]], data: st.DataObject
) -> None:
    table, index = Table(), Index()
    table.perform(story)
    read(table.log, index, data)
    assert index.shown[-1] == table.row
    assert states(index.shown) == sorted(states(index.shown))
    writes = index.writes
    read(table.log, index, data)
    assert index.writes == writes


@given(STORIES, st.data())
def test_what_is_read_again_from_any_place_before_the_commit_goes_on_as_if_nothing_had_happened(
    story: list[tuple[str, int]], data: st.DataObject
) -> None:
    table, index = Table(), Index()
    table.perform(story)
    read(table.log[: data.draw(st.integers(0, len(table.log)))], index, data)
    read(table.log, index, data)
    assert index.shown[-1] == table.row
    assert states(index.shown) == sorted(states(index.shown))


@given(STORIES.map(lambda story: [one for one in story if one[0] != "again"]), st.data())
def test_what_was_left_out_at_first_comes_too_late_for_what_a_snapshot_has_read_since(
    story: list[tuple[str, int]], data: st.DataObject
) -> None:
    """As with `start_from: latest`, and a look at the older records later."""
    table, index = Table(), Index()
    table.perform(story)
    read(table.log[data.draw(st.integers(0, len(table.log))) :], index, data)
    read(table.log, index, data)
    assert index.shown[-1] == table.row
    assert states(index.shown) == sorted(states(index.shown))


def states(shown: Sequence[int]) -> list[int]:
    return [serial for serial in shown if serial != GONE]
