from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from tests.builders import change, deletion, place, stored, unit
from worker.errors import RejectReason
from worker.records import Change, DocumentWrite, Place, Rejection, Stored, VersionType
from worker.stages.coalesce import coalesce
from worker.stages.embedding_text import text_hash
from worker.stages.planning import NeedsVector, Plan, Ready, Superseded, plan, with_vector

MODEL = "model@1"
EMBED = ("title", "content")
HASH = text_hash("Title Content")
NOW = 1234


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
