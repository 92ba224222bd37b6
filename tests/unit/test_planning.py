from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from tests.builders import TEXT, change, deletion, key_place, located, place, record, stored, unit, untold_deletion
from worker.errors import RejectReason
from worker.records import Change, DocumentWrite, LogPlace, Place, Rejection, Stored, VersionType
from worker.stages.coalesce import coalesce
from worker.stages.embedding_text import text_hash
from worker.stages.locate import must_be_located, with_located
from worker.stages.planning import NeedsVector, Owing, Plan, Ready, Superseded, plan, with_vector

MODEL = "model@1"
EMBED = ("title", "content")
HASH = text_hash("Title Content")
NOW = 1234
GTE = VersionType.EXTERNAL_GTE


def decided(
    newest: Change, known: Mapping[Place, Stored] | None = None, embed: Iterable[str] = EMBED, model: str = MODEL
) -> Plan:
    """The plan where `known` is stored and nothing else."""
    alone = unit(newest)
    return plan(alone, {place: (known or {}).get(place) for place in alone.places}, embed, model, NOW)


def embedded(version: int, text_digest: str | None = HASH, model: str | None = MODEL, **body: object) -> Stored:
    return stored(version, text_hash=text_digest, model=model, vector=(0.5, 0.25), body=body)


def gone(version: int) -> Stored:
    return stored(version, deleted=True)


def body(write: DocumentWrite) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(write.body)
    return parsed


def tombstoned(writes: Iterable[DocumentWrite]) -> list[Place]:
    assert all(write.tombstone and "tenant" not in body(write) for write in writes)
    return [write.place for write in writes]


# --- what is stored already


@pytest.mark.parametrize("newest", [change(5), deletion(5), change(5, tenant="acme", left=["globex"])])
@pytest.mark.parametrize("version", [5, 6, 2**62])
def test_a_replay_writes_nothing(newest: Change, version: int) -> None:
    for there in (stored(version), gone(version)):
        assert decided(newest, {place("acme"): there, place("globex"): gone(version)}) == Superseded()


def test_what_is_newer_than_what_is_stored_is_written() -> None:
    assert isinstance(decided(change(5), {place(): stored(4)}), NeedsVector)
    assert isinstance(decided(change(5), {place(): gone(4)}), NeedsVector)


def test_a_change_without_a_position_is_written_over_its_own_version_but_not_over_a_newer_one() -> None:
    snapshot = change(5, positioned=False, fields={})
    written = decided(snapshot, {place(): stored(5)})
    assert isinstance(written, Ready)
    assert [write.version_type for write in written.writes] == [VersionType.EXTERNAL_GTE]
    assert decided(snapshot, {place(): stored(6)}) == Superseded()


def test_a_positioned_change_is_written_even_if_it_is_what_is_stored() -> None:
    """Its version must rise, or the older write of a worker that lost its partitions could win."""
    written = decided(change(5, fields={"title": "T"}), {place(): embedded(4, text_hash("T"), title="T")})
    assert isinstance(written, Ready)
    assert [(write.version, write.version_type) for write in written.writes] == [(5, VersionType.EXTERNAL)]


# --- vectors


def test_a_new_text_is_embedded() -> None:
    needed = decided(change(5))
    assert isinstance(needed, NeedsVector)
    assert needed.text == "Title Content"
    ready = with_vector(needed, np.array([1, 2], dtype=np.float32), MODEL)
    (write,) = ready.writes
    assert (write.place, write.version, write.tombstone, ready.reused) == (place(), 5, False, False)
    assert body(write)["embedding"] == [1, 2]
    assert (body(write)["sync"]["text_hash"], body(write)["sync"]["model"]) == (HASH, MODEL)


def test_the_vector_of_the_same_text_by_the_same_model_is_taken_again() -> None:
    ready = decided(change(5), {place(): embedded(4)})
    assert isinstance(ready, Ready)
    assert ready.reused
    (write,) = ready.writes
    assert body(write)["embedding"] == [0.5, 0.25]
    assert body(write)["sync"] == {
        "source": "articles",
        "key": "articles/1",
        "version": 5,
        "text_hash": HASH,
        "model": MODEL,
    }


@pytest.mark.parametrize(
    "there",
    [
        embedded(4, text_hash("another text")),
        embedded(4, None),
        embedded(4, model="model@2"),
        embedded(4, model=None),
        stored(4, text_hash=HASH, model=MODEL, vector=None),
        gone(4),
    ],
    ids=["other text", "no hash", "other model", "no model", "no vector", "tombstone"],
)
def test_another_text_another_model_or_no_vector_is_embedded(there: Stored) -> None:
    assert isinstance(decided(change(5), {place(): there}), NeedsVector)


@pytest.mark.parametrize(
    ("there", "is_stored"),
    [
        (stored(4, text_hash=HASH, model=MODEL, vector=None), True),
        (stored(4, text_hash=HASH, model="model@2", vector=None), False),
        (stored(4, text_hash=text_hash("another text"), model=MODEL, vector=None), False),
        (gone(4), False),
    ],
)
def test_a_vector_that_was_not_brought_along_is_told_of_if_it_could_be_taken(
    there: Stored,
    is_stored: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    needed = decided(change(5), {place(): there})
    assert isinstance(needed, NeedsVector)
    assert needed.is_stored is is_stored


def test_a_vector_at_another_place_of_the_row_is_taken_where_that_at_its_own_was_not_brought_along() -> None:
    there = {place(): stored(3, text_hash=HASH, model=MODEL, vector=None), place("globex"): embedded(4)}
    ready = decided(change(5, left=["globex"]), there)
    assert isinstance(ready, Ready)
    assert ready.reused


def test_a_vector_of_full_precision_stands_for_a_quantised_one_and_stays_what_it_is() -> None:
    ready = decided(change(5), {place(): embedded(4)}, model=f"{MODEL}#int8")
    assert isinstance(ready, Ready)
    assert ready.reused
    assert body(ready.writes[0])["sync"]["model"] == MODEL


def test_a_quantised_vector_does_not_stand_for_one_of_full_precision() -> None:
    there = embedded(4, model=f"{MODEL}#int8")
    assert isinstance(decided(change(5), {place(): there}), NeedsVector)
    again = decided(change(5), {place(): there}, model=f"{MODEL}#int8")
    assert isinstance(again, Ready)
    assert body(again.writes[0])["sync"]["model"] == f"{MODEL}#int8"


def test_a_row_that_moves_takes_its_vector_along() -> None:
    ready = decided(change(5, tenant="globex", left=["acme"]), {place("acme"): embedded(4)})
    assert isinstance(ready, Ready)
    assert ready.reused
    document, *rest = ready.writes
    assert (document.place, body(document)["tenant"]) == (place("globex"), "globex")
    assert body(document)["embedding"] == [0.5, 0.25]
    assert tombstoned(rest) == [place("acme")]


@pytest.mark.parametrize("fields", [{}, {"title": None, "content": " \n"}, {"other": "not embedded"}])
def test_a_document_without_text_gets_no_vector_and_needs_none(fields: dict[str, object]) -> None:
    ready = decided(change(5, fields=fields), {place(): embedded(4)})
    assert isinstance(ready, Ready)
    assert not ready.reused
    (write,) = ready.writes
    assert "embedding" not in body(write)
    assert "model" not in body(write)["sync"]


# --- values that the event left out


def test_an_unchanged_value_is_taken_from_the_stored_document_and_its_text_is_not_embedded_again() -> None:
    newest = change(5, fields={"title": "Title"}, absent=["content"])
    ready = decided(newest, {place(): embedded(4, title="Title", content="Content")})
    assert isinstance(ready, Ready)
    assert ready.reused
    assert body(ready.writes[0])["content"] == "Content"


def test_an_unchanged_value_inside_an_object_is_taken_by_its_path() -> None:
    newest = change(5, fields={"title": "new"}, absent=["meta.body", "meta.none"])
    needed = decided(newest, {place(): embedded(4, title="old", meta={"body": "kept"})}, ["title", "meta.body"])
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "new", "meta.body": "kept", "meta.none": None}
    assert needed.text == "new kept"


@pytest.mark.parametrize(
    ("known", "content"), [(None, "waited"), (stored(2), "waited"), (stored(3), "waited"), (stored(4), "stored")]
)
def test_a_value_from_a_hidden_change_gives_way_to_a_newer_stored_one(known: Stored | None, content: str) -> None:
    waiting = change(3, fields={"title": "old", "content": "waited"})
    newest = coalesce(waiting, change(5, fields={"title": "new"}, absent=["content"]))
    there = {} if known is None else {place(): replace(known, body={"title": "old", "content": "stored"})}
    needed = decided(newest, there)
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "new", "content": content}


def test_a_value_from_a_hidden_change_is_enough_where_the_row_is_stored_as_deleted() -> None:
    newest = coalesce(change(3, fields={"title": "kept"}), change(5, fields={}, absent=["title"]))
    needed = decided(newest, {place(): gone(2)})
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "kept"}


def test_a_row_that_moves_takes_unchanged_values_from_its_former_tenant() -> None:
    newest = change(5, tenant="globex", fields={"title": "new"}, absent=["content"], left=["acme"])
    for at_new_place in ({}, {place("globex"): gone(3)}):
        needed = decided(newest, {place("acme"): embedded(4, content="kept"), **at_new_place})
        assert isinstance(needed, NeedsVector)
        assert needed.fields == {"title": "new", "content": "kept"}
        assert tombstoned(needed.tombstones) == [place("acme")]


@pytest.mark.parametrize("known", [{}, {place(): gone(4)}], ids=["nothing stored", "deleted"])
def test_an_unchanged_value_that_nobody_has_is_rejected_with_the_remedy(known: dict[Place, Stored]) -> None:
    rejection = decided(change(5, fields={}, absent=["title", "content"]), known)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is RejectReason.UNCHANGED_VALUE_LOST
    assert "unchanged values of content, title" in rejection.message
    assert "REPLICA IDENTITY FULL" in rejection.message


def test_a_replay_with_values_left_out_is_superseded_not_rejected() -> None:
    assert decided(change(5, fields={}, absent=["content"]), {place(): gone(6)}) == Superseded()


# --- tombstones


def test_a_delete_leaves_a_tombstone_whether_or_not_there_was_a_document() -> None:
    for known in ({}, {place(): stored(4)}, {place(): gone(4)}):
        ready = decided(deletion(5), known)
        assert isinstance(ready, Ready)
        assert tombstoned(ready.writes) == [place()]
        assert body(ready.writes[0])["sync"]["deleted_at"] == NOW


def test_every_place_that_a_row_left_gets_a_tombstone_with_the_rows_version() -> None:
    ready = decided(change(5, tenant="c", left=["a", "b"], fields={}), {place("a"): stored(3)})
    assert isinstance(ready, Ready)
    document, *rest = ready.writes  # first, so that the row is never nowhere
    assert not document.tombstone
    assert tombstoned(rest) == [place("a"), place("b")]
    assert {write.version for write in rest} == {5}


def test_a_deleted_row_is_gone_from_its_place_and_from_those_it_left() -> None:
    ready = decided(deletion(5, tenant="c", left=["a", "b"]))
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [place("c"), place("a"), place("b")]


@pytest.mark.parametrize("version", [5, 6])
def test_no_tombstone_is_written_where_something_newer_is_stored(version: int) -> None:
    newest = change(5, tenant="c", left=["a", "b"])
    needed = decided(newest, {place("a"): stored(version)})
    assert isinstance(needed, NeedsVector)
    assert tombstoned(needed.tombstones) == [place("b")]
    assert decided(deletion(5), {place(): stored(version)}) == Superseded()


@pytest.mark.parametrize("newest", [change(5, tenant="c", left=["a"]), deletion(5, tenant="c", left=["a"])])
def test_an_older_copy_is_cleared_away_even_where_the_row_itself_is_superseded(newest: Change) -> None:
    ready = decided(newest, {place("c"): stored(6), place("a"): stored(2)})
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [place("a")]


def test_tombstones_of_a_change_without_a_position_follow_its_rule() -> None:
    ready = decided(deletion(5, positioned=False), {place(): stored(5)})
    assert isinstance(ready, Ready)
    assert [write.version_type for write in ready.writes] == [VersionType.EXTERNAL_GTE]


def test_tombstones_go_along_with_a_document_that_waits_for_its_vector() -> None:
    needed = decided(change(5, tenant="globex", left=["acme"]))
    assert isinstance(needed, NeedsVector)
    document, *rest = with_vector(needed, np.array([1], dtype=np.float32), MODEL).writes
    assert document.place == place("globex")
    assert tombstoned(rest) == [place("acme")]


# --- unpositioned changes that would write what is stored


def as_stored(version: int, **body: object) -> Stored:
    """The document of `change()` as it would be stored."""
    sync: dict[str, object] = {"source": "articles", "key": "articles/1", "version": version}
    return replace(embedded(version), body={**TEXT, "tenant": "acme", "sync": sync, **body})


def snapshot(version: int = 5, **fields: object) -> Change:
    return change(version, positioned=False, fields={**TEXT, **fields})


@pytest.mark.parametrize("version", [1, 5])
def test_a_snapshot_of_what_is_stored_is_superseded(version: int) -> None:
    assert decided(snapshot(), {place(): as_stored(version)}) == Superseded()
    assert decided(snapshot(url=None), {place(): as_stored(version)}) == Superseded()  # null is not written
    empty = replace(stored(version), body={"tenant": "acme", "sync": as_stored(version).body["sync"]})
    assert decided(change(5, positioned=False, fields={}), {place(): empty}) == Superseded()


@pytest.mark.parametrize(
    ("newest", "there"),
    [
        (snapshot(title="Other"), as_stored(4)),
        (snapshot(url="u"), as_stored(4)),
        (snapshot(), as_stored(4, url="u")),
        (snapshot(), as_stored(4, tenant="globex")),
        (snapshot(flag=True), as_stored(4, flag=1)),
        (snapshot(), as_stored(4, sync={"source": "articles", "key": "another/1"})),
        (snapshot(), replace(as_stored(4), model="model@2")),
        (snapshot(), replace(as_stored(4), vector=None)),
        (snapshot(), replace(as_stored(4), deleted=True)),
        (change(5, positioned=False, fields={}), as_stored(4)),
    ],
    ids=["text", "more", "less", "tenant", "type", "key", "model", "no vector", "deleted", "vector without text"],
)
def test_a_snapshot_of_anything_else_is_written(newest: Change, there: Stored) -> None:
    assert isinstance(decided(newest, {place(): there}), (Ready, NeedsVector))


def test_a_snapshot_that_hides_a_newer_change_is_written_or_a_zombie_could_still_write_that_one() -> None:
    newest = coalesce(change(7, fields={"title": "between"}), snapshot(9))
    assert isinstance(decided(newest, {place(): as_stored(6)}), Ready)
    assert decided(newest, {place(): as_stored(7)}) == Superseded()


def test_a_snapshot_is_written_with_the_version_of_what_it_replaces_and_with_its_place_in_the_log() -> None:
    """Its own is only the watermark: what was open when the row was read commits below it."""
    ready = decided(snapshot(9, url="u"), {place(): as_stored(4)})
    assert isinstance(ready, Ready)
    (write,) = ready.writes
    assert (write.version, write.version_type) == (4, GTE)
    assert body(write)["sync"]["version"] == 4
    assert body(write)["sync"]["log"] == {**snapshot(9).log_place._asdict(), "positioned": False}


def test_a_snapshot_of_an_unknown_row_gives_way_to_every_change_that_commits_later() -> None:
    needed = decided(snapshot(9))
    assert isinstance(needed, NeedsVector)
    (write,) = with_vector(needed, np.array([1], dtype=np.float32), MODEL).writes
    assert (write.version, write.version_type) == (0, GTE)


def test_a_snapshot_takes_the_highest_version_of_all_places_that_it_replaces() -> None:
    """And leaves alone, and out of account, what is newer than itself."""
    found = replace(located(snapshot(9, url="u")), left=frozenset({place("globex"), place("initech")}))
    known = {place(): as_stored(4), place("globex"): embedded(6), key_place(): gone(7), place("initech"): gone(12)}
    ready = decided(found, known)
    assert isinstance(ready, Ready)
    assert [(write.place, write.version) for write in ready.writes] == [(place(), 7), (place("globex"), 7)]


def test_a_snapshot_that_hides_a_change_takes_its_version_if_it_is_higher() -> None:
    ready = decided(coalesce(change(7), snapshot(9, url="u")), {place(): as_stored(6)})
    assert isinstance(ready, Ready)
    assert [write.version for write in ready.writes] == [7]


ELSEWHERE = Place(place().document_id, "globex")


def tombstones_of(known: dict[Place, Stored]) -> list[tuple[Place, int, VersionType]]:
    """Of a snapshot's row that was elsewhere, under an id that it keeps."""
    ready = decided(replace(snapshot(9, url="u"), left=frozenset({ELSEWHERE})), known)
    assert isinstance(ready, (Ready, NeedsVector))
    writes = ready.writes if isinstance(ready, Ready) else ready.tombstones
    return [(write.place, write.version, write.version_type) for write in writes if write.tombstone]


def test_a_snapshot_with_an_id_over_all_tenants_takes_its_watermark_where_it_leaves_its_own_document() -> None:
    """On one shard they are one document, so the tombstone must be newer than what is there, not only as new."""
    one = embedded(6)
    assert tombstones_of({place(): one, ELSEWHERE: one}) == [(ELSEWHERE, 9, VersionType.EXTERNAL)]


@pytest.mark.parametrize("own", [None, gone(6), embedded(5)], ids=["none", "gone", "another"])
def test_where_its_own_is_another_document_the_one_that_it_leaves_may_be_as_new_as_its_watermark(
    own: Stored | None,
) -> None:
    """A tombstone that had to be newer would be refused there, and the former tenant go on seeing the row."""
    known = {ELSEWHERE: embedded(6)} | ({} if own is None else {place(): own})
    assert tombstones_of(known) == [(ELSEWHERE, 6, GTE)]


def test_what_commits_late_is_written_over_a_snapshot_and_deletes_it() -> None:
    row = replace(as_stored(4), log_place=LogPlace(record().position.topic, 0, 7, 9))
    update = replace(change(6, of=record(offset=8)), watermark=9)
    gone_late = replace(deletion(6), record=record(offset=8), watermark=9)
    for newest in (update, gone_late):
        ready = decided(newest, {place(): row})
        assert isinstance(ready, Ready)
        (write,) = ready.writes
        assert (write.version, write.version_type) == (6, VersionType.EXTERNAL)
        assert body(write)["sync"]["log"] == newest.log_place._asdict()


def test_a_deletion_without_a_position_writes_no_second_tombstone_unless_it_must_stop_a_zombie() -> None:
    gone_again = deletion(9, positioned=False, left=["globex"])
    both = {place("acme"): gone(6), place("globex"): gone(5)}
    assert decided(gone_again, both) == Superseded()
    ready = decided(coalesce(change(6, tenant="initech"), gone_again), both)
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [place("globex"), place("initech")]


# --- rows whose places no event tells


def looked_up(newest: Change, known: Mapping[Place, Stored], *found: Place) -> Plan:
    """The plan after the row's places were located."""
    return decided(with_located(unit(newest), found).change, known)


def test_where_a_deleted_row_is_found_a_tombstone_is_left_and_one_for_its_key() -> None:
    ready = looked_up(untold_deletion(5), {place("acme"): embedded(4)}, place("acme"))
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [key_place(), place("acme")]
    assert {body(write)["sync"]["key"] for write in ready.writes} == {"articles/1"}


def test_a_deleted_row_that_is_nowhere_still_leaves_a_tombstone_for_its_key() -> None:
    ready = looked_up(untold_deletion(5), {})
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [key_place()]


@pytest.mark.parametrize("newest", [located(change(5)), located(change(5, tenant="globex", left=["acme"]))])
def test_a_row_that_was_deleted_later_is_not_written_whatever_its_tenant(newest: Change) -> None:
    found = decided(newest, {key_place(): gone(6), place("acme"): gone(6)})
    assert found == Superseded()
    assert isinstance(decided(newest, {key_place(): gone(4)}), NeedsVector)


def test_a_row_that_has_moved_is_gone_from_where_it_is_found_and_takes_its_vector_along() -> None:
    ready = looked_up(located(change(5, tenant="globex")), {place("acme"): embedded(4)}, place("acme"))
    assert isinstance(ready, Ready)
    assert ready.reused
    assert [(write.place, write.tombstone) for write in ready.writes] == [(place("globex"), False), (place(), True)]


def test_a_row_that_is_found_newer_elsewhere_is_superseded_and_its_older_copies_are_cleared() -> None:
    known = {place("globex"): embedded(6), place("initech"): embedded(4)}
    ready = looked_up(located(change(5)), known, *known)
    assert isinstance(ready, Ready)
    assert tombstoned(ready.writes) == [place("initech")]
    assert looked_up(located(change(5)), {place("globex"): embedded(6)}, place("globex")) == Superseded()


def test_a_newer_tombstone_elsewhere_does_not_hide_a_row() -> None:
    """It may have been left by the move that brought the row here: only the place of its key speaks for all tenants."""
    assert isinstance(looked_up(located(change(5)), {place("globex"): gone(6)}, place("globex")), NeedsVector)


def test_unchanged_values_are_taken_from_the_newest_document_that_is_found() -> None:
    newest = located(change(5, tenant="globex", fields={"title": "new"}, absent=["content"]))
    known = {place("acme"): embedded(2, content="old"), place("initech"): embedded(4, content="kept")}
    needed = looked_up(newest, known, *known)
    assert isinstance(needed, NeedsVector)
    assert needed.fields == {"title": "new", "content": "kept"}


@pytest.mark.parametrize(
    ("newest", "known", "expected"),
    [
        (change(5), {}, False),
        (located(change(5)), {}, True),
        (located(change(5)), {place(): stored(4)}, True),
        # It may have been cut off before its tombstones were written.
        (located(change(5)), {place(): stored(5)}, True),
        (located(change(5)), {place(): stored(6)}, False),
        (located(change(5)), {place(): gone(6)}, False),
        (located(change(5)), {key_place(): gone(6)}, False),
        (located(change(5)), {key_place(): gone(4)}, True),
        (untold_deletion(5), {key_place(): gone(5)}, True),
        (untold_deletion(5), {key_place(): gone(6)}, False),
    ],
)
def test_a_row_is_located_unless_a_newer_change_of_it_has_been(
    *, newest: Change, known: dict[Place, Stored], expected: bool
) -> None:
    one = unit(newest)
    assert must_be_located(one, {place: known.get(place) for place in one.places}) is expected


def test_only_what_is_to_be_compared_or_completed_is_read_whole() -> None:
    assert unit(located(change(5, left=["b"]))).whole_places == ()
    assert unit(change(5, positioned=False, left=["b"])).whole_places == (place(),)
    assert unit(change(5, absent=["content"], left=["b"])).whole_places == (place(), place("b"))


def test_a_change_that_is_rejected_leaves_its_tombstones_all_the_same() -> None:
    """A reader of the former tenant must not go on seeing the row; who reads the record again may not know of it."""
    known = {place("acme"): gone(2)}
    owing = decided(change(5, tenant="globex", fields={}, absent=["title"], left=["acme"]), known)
    assert isinstance(owing, Owing)
    assert owing.rejection.reason is RejectReason.UNCHANGED_VALUE_LOST
    assert tombstoned(owing.writes) == [place("acme")]


# --- ids over all tenants: on one shard a row's document and its tombstone are one


def moved_with_a_global_id(*, positioned: bool) -> Change:
    one = change(5, tenant="globex", positioned=positioned, fields={"title": "T"})
    return replace(one, place=Place("articles/1", "globex"), left=frozenset({Place("articles/1", "acme")}))


@pytest.mark.parametrize("positioned", [True, False])
def test_a_tombstone_never_replaces_the_document_that_has_its_id_and_version(*, positioned: bool) -> None:
    written = decided(moved_with_a_global_id(positioned=positioned), {}, embed=())
    assert isinstance(written, Ready)
    types = {write.tombstone: write.version_type for write in written.writes}
    assert types == {True: VersionType.EXTERNAL, False: VersionType.EXTERNAL if positioned else GTE}


def test_a_document_that_is_stored_already_is_not_taken_for_the_copy_that_was_left() -> None:
    """On one shard both places show it; on another the copy gets its tombstone."""
    newest = moved_with_a_global_id(positioned=False)
    there = stored(4, body={"title": "T", "tenant": "globex", "sync": {"source": newest.source, "key": newest.key}})
    former = Place("articles/1", "acme")
    assert decided(newest, {newest.place: there, former: there}, embed=()) == Superseded()
    for copy in ({former: stored(3)}, {}):
        written = decided(newest, {newest.place: there, **copy}, embed=())
        assert isinstance(written, Ready)
        assert tombstoned(written.writes) == [former]


def moved_twice() -> Change:
    first, second = change(1, tenant="a"), change(2, tenant="b", left=["a"])
    return coalesce(coalesce(first, second), change(3, tenant="c", left=["b"]))


def test_a_replay_in_other_batches_writes_no_tombstone_again() -> None:
    """One by one, they were written with the versions 2 and 3; joined, the row's newest version is 3."""
    known = {place("a"): gone(2), place("b"): gone(3), place("c"): embedded(3)}
    assert decided(moved_twice(), known) == Superseded()


@pytest.mark.parametrize("there", [gone(1), stored(2), None])
def test_a_place_where_less_is_told_gets_its_tombstone(there: Stored | None) -> None:
    known = {place("b"): gone(3), place("c"): embedded(3)} | ({} if there is None else {place("a"): there})
    ready = decided(moved_twice(), known)
    assert isinstance(ready, Ready)
    assert [(write.place, write.version, write.tombstone) for write in ready.writes] == [(place("a"), 3, True)]
