"""Random histories of one row, through coalescing and planning, against a store that compares versions.

The store is a model of what Elasticsearch does with `external` and `external_gte`. At the end it must hold what the
source holds: the row at its last place, and nothing but tombstones where it was before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import change, deletion
from worker.records import Change, DocumentWrite, Operation, Place, Rejection, Stored, Unit, VersionType
from worker.stages.coalesce import coalesce
from worker.stages.documents import log_place, nested
from worker.stages.planning import NeedsVector, Superseded, plan, with_vector

MODEL = "model@1"
EMBED = ("title", "meta.content")


@dataclass
class Store:
    """Documents by place, with the versions that Elasticsearch would have."""

    held: dict[Place, tuple[int, dict[str, object]]] = field(default_factory=dict)
    embedded: int = 0

    def apply(self, unit: Unit) -> None:
        """What the worker does with one unit: look up, plan, embed, write."""
        stored = {place: self._stored(place) for place in unit.places}
        decision = plan(unit, stored, EMBED, MODEL, 0)
        assert not isinstance(decision, Rejection), decision
        if isinstance(decision, Superseded):
            # An unpositioned change is superseded also by what it would write.
            told = [place for place in unit.places if not self._tells(place, unit.change)]
            assert not unit.change.positioned or not any(self._accepts(place, unit.change) for place in told)
            return
        if isinstance(decision, NeedsVector):
            self.embedded += 1
            decision = with_vector(decision, vector_of(decision.text), MODEL)
        assert decision.writes
        assert len({write.place for write in decision.writes}) == len(decision.writes)
        for write in decision.writes:
            self._write(write)

    def _stored(self, place: Place) -> Stored | None:
        if place not in self.held:
            return None
        version, body = self.held[place]
        sync = body["sync"]
        assert isinstance(sync, dict)
        vector = body.get("embedding")
        return Stored(
            version=version,
            deleted=sync.get("deleted", False),
            text_hash=sync.get("text_hash"),
            model=sync.get("model"),
            vector=tuple(vector) if isinstance(vector, list) else None,
            body=body,
            log_place=log_place(sync),
        )

    def _accepts(self, place: Place, newest: Change) -> bool:
        version = self.held[place][0] if place in self.held else -1
        return newest.version > version or (not newest.positioned and newest.version == version)

    def _tells(self, place: Place, newest: Change) -> bool:
        """Whether a tombstone is there that is as new as any change of the unit that mentions the place."""
        version, body = self.held.get(place, (-1, {"tenant": ""}))
        return "tenant" not in body and version >= newest.left_at.get(place, newest.version)

    def _write(self, write: DocumentWrite) -> None:
        version = self.held[write.place][0] if write.place in self.held else -1
        # Nothing else writes to the row between lookup and write, so what is sent must be accepted: never backwards.
        assert write.version > version or (
            write.version == version and write.version_type is VersionType.EXTERNAL_GTE
        ), "Elasticsearch would refuse this write"
        self.held[write.place] = (write.version, orjson.loads(write.body))

    def live(self) -> dict[Place, dict[str, object]]:
        """The documents that a search could find."""
        return {place: body for place, (_, body) in self.held.items() if "tenant" in body}


def vector_of(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([len(text), sum(map(ord, text)) % 1000], dtype=np.float32)


def document_of(newest: Change) -> dict[str, object]:
    """The stored document that a complete change should end as, `sync` apart."""
    text = " ".join(str(newest.fields[name]) for name in EMBED if newest.fields[name])
    body = nested(newest.fields) | {"tenant": newest.place.tenant}
    return body | ({"embedding": vector_of(text).tolist()} if text else {})


def check(store: Store, history: Sequence[Change]) -> None:
    """Compare with the fold: the last change of the history, and every place it mentions."""
    last = history[-1]
    live = {place: {name: body[name] for name in body if name != "sync"} for place, body in store.live().items()}
    assert live == ({} if last.operation is Operation.DELETE else {last.place: document_of(last)})
    assert store.held.keys() == {one.place for one in history}


# --- histories


tenants = st.sampled_from(["acme", "globex", "initech"])
texts = st.sampled_from(["", "one", "two", "three"])


@dataclass(frozen=True)
class Step:
    """What happens next in the source: the row is deleted, or it is this, or a snapshot reads it."""

    deletes: bool
    tenant: str
    title: str
    content: str | None
    snapshot: bool
    gap: int


steps = st.builds(
    Step,
    deletes=st.sampled_from([False] * 5 + [True]),
    tenant=tenants,
    title=texts,
    content=st.none() | texts,  # None: this step leaves it unchanged, and the event leaves it out
    snapshot=st.sampled_from([False] * 5 + [True]),
    gap=st.integers(1, 3),
)


@dataclass(frozen=True)
class Logged:
    """One event as it is read, and what it says when nothing is left out."""

    event: Change
    complete: Change


def log_of(given_steps: Iterable[Step], *, leaves_out: bool, snapshots: bool) -> list[Logged]:
    """The log of one row in a source that tells the row's former place; versions rise, with gaps."""
    log: list[Logged] = []
    version = 0
    now: Change | None = None
    for step in given_steps:
        if now is not None and step.snapshot and snapshots:
            # A snapshot takes the highest version before it: the row's own, or that of another row in between.
            version += step.gap - 1
            now = replace(now, version=version, positioned=False, left=frozenset())
            log.append(Logged(now, now))
            continue
        version += step.gap
        if step.deletes:
            if now is not None:
                gone = deletion(version, tenant=now.place.tenant)
                log.append(Logged(gone, gone))
            now = None
            continue
        kept = now is not None and step.content is None
        content = now.fields["meta.content"] if kept and now is not None else step.content
        left = {now.place.tenant} - {step.tenant} if now is not None else set()
        fields: dict[str, object] = {"title": step.title, "meta.content": content}
        now = change(version, tenant=step.tenant, fields=fields, left=left)
        partial = replace(now, fields={"title": step.title}, absent=frozenset({"meta.content"}))
        log.append(Logged(partial if kept and leaves_out else now, now))
    return log


histories = st.lists(steps, min_size=1, max_size=8)


def units(delivered: Sequence[Change], sizes: Iterable[int]) -> Iterable[Unit]:
    """Cut into runs that were waiting together, each coalesced."""
    rest = list(delivered)
    for size in sizes:
        run, rest = rest[:size], rest[size:]
        if run:
            yield Unit(reduce(coalesce, run))
    yield from (Unit(one) for one in rest)


sizes_of_runs = st.lists(st.integers(1, 3), min_size=4, max_size=12)


# --- what must hold


@settings(max_examples=300)
@given(histories, sizes_of_runs, st.data())
def test_in_any_order_with_any_repetitions_the_store_ends_as_the_source_is(
    given_steps: list[Step], sizes: list[int], data: st.DataObject
) -> None:
    history = [logged.event for logged in log_of(given_steps, leaves_out=False, snapshots=False)]
    if not history:
        return
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=6))
    store = Store()
    for unit in units(data.draw(st.permutations(history + repeated)), sizes):
        store.apply(unit)
    check(store, history)


@settings(max_examples=300)
@given(histories, sizes_of_runs, st.data())
def test_in_the_logs_order_with_restarts_values_left_out_and_snapshots_the_store_ends_as_the_source_is(
    given_steps: list[Step], sizes: list[int], data: st.DataObject
) -> None:
    log = log_of(given_steps, leaves_out=True, snapshots=True)
    if not log:
        return
    store, at = Store(), 0
    for size in sizes:
        run = []
        for number in range(at, min(at + size, len(log))):
            # A connector that crashed sends older events again, anywhere in between.
            if number and data.draw(st.booleans(), label="sent again"):
                run.append(log[data.draw(st.integers(0, number - 1))])
            run.append(log[number])
        deliver(store, run)
        at = min(at + size, len(log))
        if data.draw(st.booleans(), label="restarts"):
            at = data.draw(st.integers(0, at), label="reads again from")
    deliver(store, log[at:])
    check(store, [logged.complete for logged in log])


def deliver(store: Store, run: Sequence[Logged]) -> None:
    if run:
        store.apply(Unit(reduce(coalesce, [logged.event for logged in run])))


@given(histories, sizes_of_runs)
def test_a_replay_of_the_whole_log_embeds_nothing_and_changes_no_document(
    given_steps: list[Step], sizes: list[int]
) -> None:
    history = [logged.event for logged in log_of(given_steps, leaves_out=True, snapshots=False)]
    store = Store()
    for one in history:
        store.apply(Unit(one))
    before, live, embedded = dict(store.held), store.live(), store.embedded
    for one in history:
        store.apply(Unit(one))
    assert store.held == before
    for unit in units(history, sizes):
        store.apply(unit)  # may raise the version of a tombstone: a run mentions more places than each of its changes
    assert store.live() == live
    assert store.embedded == embedded


@given(histories)
def test_a_lost_watermark_makes_snapshots_superseded_and_harms_nothing(given_steps: list[Step]) -> None:
    log = log_of(given_steps, leaves_out=False, snapshots=True)
    store = Store()
    for logged in log:
        store.apply(Unit(logged.event))
    before = store.live()
    for logged in log:
        store.apply(Unit(logged.event if logged.event.positioned else replace(logged.event, version=0)))
    assert store.live() == before
