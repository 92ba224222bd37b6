"""What is stored already, and what follows from it for each row of a batch.

    known places --> [locate the rest] --> look those up, too --> plan --> [look again] --> plan

Most batches end after the first step: one multi-get. Rows whose places no event tells take one search more, and a
refresh now and then: what this worker has written since the last one it remembers itself. Rows whose stored vector is
to be taken again, and was not brought along, are looked up and planned once more: a vector counts only with the hash
that came with it, for meanwhile another worker may have written there.
"""

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from worker.errors import RejectReason
from worker.metrics import Metrics
from worker.ports import DocumentStore, Embedder, Locator, Sink
from worker.records import Operation, Place, Rejection, Stored, Unit
from worker.runtime.asking import Asking
from worker.runtime.clock import Clock
from worker.runtime.recent import RecentPlaces
from worker.runtime.retrying import Retrying
from worker.runtime.sources import SourceReaders
from worker.runtime.unexpected import unexpected
from worker.stages.locate import must_be_located, with_located
from worker.stages.planning import NeedsVector, Owing, Plan, Ready, plan
from worker.stages.truncate import kept_out, marker
from worker.stages.vectors import Worth

REMEMBERED_ROWS: Final = 20_000
"""Rows whose places are kept in memory, some 10 MB of it."""
REFRESH_SECONDS: Final = 1.0
"""How old the last refresh may be when a search relies on it: as Elasticsearch's own `refresh_interval`."""

# Looked up once: an enumeration's members are slow to come by.
_UPSERT: Final = Operation.UPSERT
_DELETE: Final = Operation.DELETE
_Stored = dict[Place, Stored | None]


@dataclass(frozen=True, slots=True)
class LookupPorts:
    """What is asked for what is stored, and for how documents are to be written."""

    store: DocumentStore
    locator: Locator
    embedder: Embedder
    sink: Sink


class Lookup:
    """Owned by one task: one batch at a time."""

    def __init__(
        self,
        ports: LookupPorts,
        readers: SourceReaders,
        retrying: Retrying,
        metrics: Metrics,
        clock: Clock,
        is_in_flight: Callable[[str], bool],
    ) -> None:
        self._ports = ports
        self._readers = readers
        self._retrying = retrying
        self._metrics = metrics
        self._clock = clock
        self._is_in_flight = is_in_flight
        self._vectors = Worth()
        self._recent = RecentPlaces(REMEMBERED_ROWS)
        self._refreshed_at = float("-inf")
        self._refreshed_epoch = -1

    async def plans(self, units: Sequence[Unit]) -> list[tuple[Unit, Plan]]:
        """Decide for every row of a batch. No row in it may be in flight with anything else."""
        bare = self._bare(units)
        stored = await self._stored(units, frozenset(), bare)
        wanting = [unit.change.key for unit in units if must_be_located(unit, stored)]
        if wanting or self._recent.is_full:
            found = await self._located(wanting, max(unit.change.record.position.epoch for unit in units))
            units = [with_located(unit, found.get(unit.change.key, ())) for unit in units]
            stored |= await self._stored(units, stored.keys())
            self._count(units, found, stored)
        plans = self._planned(units, stored)
        if lacking := [number for number, planned in enumerate(plans) if _lacks_something(*planned, bare)]:
            units = [plans[number][0] for number in lacking]
            stored |= await self._stored(units, frozenset())
            for number, planned in zip(lacking, self._planned(units, stored), strict=True):
                plans[number] = planned
        self._learn(plans, stored)
        self._remember(plans)
        return plans

    def _bare(self, units: Sequence[Unit]) -> AbstractSet[Place]:
        """The places whose vectors are not worth to be brought along at first."""
        if self._vectors.is_given:
            units = [unit for unit in units if unit.change.operation is _DELETE]
        return {place for unit in units for place in unit.places}

    def _learn(self, plans: Sequence[tuple[Unit, Plan]], stored: _Stored) -> None:
        there = sum(one is not None and one.text_hash is not None for one in stored.values())
        self._vectors.note(there, sum(isinstance(decision, Ready) and decision.reused for _, decision in plans))

    def _planned(self, units: Sequence[Unit], stored: _Stored) -> list[tuple[Unit, Plan]]:
        model, packed, now_ms = self._ports.embedder.model, self._ports.sink.packs_vectors, self._clock.wall_ms()
        plans: list[tuple[Unit, Plan]] = []
        for unit in units:
            embed = self._readers.rules_of(unit.change.source).embed
            decision: Plan
            try:
                decision = plan(unit, stored, embed, model, now_ms, packed=packed)
                decision = kept_out(unit.change, decision, stored, now_ms)
            except Exception as error:  # noqa: BLE001 - see `unexpected`
                decision = unexpected(error, "plan", unit.change.record.position)
            plans.append((unit, decision))
        return plans

    async def _stored(self, units: Sequence[Unit], known: Collection[Place], bare: Collection[Place] = ()) -> _Stored:
        asked: dict[Place, None] = {}
        whole: set[Place] = set()
        for unit in units:
            asked.update(dict.fromkeys(unit.places))
            whole.update(unit.whole_places)
        places = [place for place in asked if place not in known]
        if not places:
            return {}
        started = self._clock.monotonic()
        found = await self._retrying.call("lookup", Asking(self._ports.store, places, whole, bare))
        self._metrics.stage.labels("lookup").observe(self._clock.monotonic() - started)
        return found

    async def _located(self, keys: Sequence[str], epoch: int) -> dict[str, frozenset[Place]]:
        """Find rows by their keys: in what a search sees, and in what this worker has written since."""
        if self._must_refresh(epoch):
            await self._refresh(epoch)
        if not keys:
            return {}
        started = self._clock.monotonic()
        found = await self._retrying.call("locate", lambda: self._ports.locator.places(keys))
        self._metrics.stage.labels("locate").observe(self._clock.monotonic() - started)
        return {key: found.get(key, frozenset()) | self._recent.of(key) for key in keys}

    def _must_refresh(self, epoch: int) -> bool:
        """After a rebalance at the latest: whoever had the partitions before remembered its writes, and is gone."""
        age = self._clock.monotonic() - self._refreshed_at
        return epoch > self._refreshed_epoch or age >= REFRESH_SECONDS or self._recent.is_full

    async def _refresh(self, epoch: int) -> None:
        started = self._clock.monotonic()
        finished = self._recent.finished(self._is_in_flight)
        await self._retrying.call("locate", self._ports.locator.refresh)
        self._recent.forget(finished)
        self._refreshed_at, self._refreshed_epoch = started, epoch
        self._metrics.stage.labels("refresh").observe(self._clock.monotonic() - started)

    def _count(self, units: Sequence[Unit], found: Collection[str], stored: _Stored) -> None:
        for unit in units:
            if unit.change.key in found:
                live = {place for place in unit.places if (one := stored[place]) is not None and not one.deleted}
                where = "nowhere" if not live else "here" if live == {unit.change.place} else "elsewhere"
                self._metrics.located.labels(where).inc()

    def _remember(self, plans: Sequence[tuple[Unit, Plan]]) -> None:
        for unit, decision in plans:
            change = unit.change
            if not change.key_places or change.operation is not _UPSERT:
                continue
            if isinstance(decision, (Ready, NeedsVector)) and change.key_places - {marker(change.source)}:
                self._recent.note(change.key, change.place)


def _lacks_something(unit: Unit, decision: Plan, bare: AbstractSet[Place]) -> bool:
    """Whether it may be had by another look: the vector that was not brought along, or values that were not there.

    A worker that has lost its partitions and not noticed may have moved the row between one look and the next: a
    tombstone where its values were, and no document yet where they went. That is written first.
    """
    if isinstance(decision, NeedsVector):
        return decision.is_stored and not bare.isdisjoint(unit.places)
    rejection = decision.rejection if isinstance(decision, Owing) else decision
    return isinstance(rejection, Rejection) and rejection.reason is RejectReason.UNCHANGED_VALUE_LOST
