import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import change, deletion, place, record
from worker.records import Change, DocumentWrite, LogPlace, VersionType
from worker.stages.documents import document, log_place, nested, tombstone, value_at

VECTOR = np.array([0.5, -1.25, 0.1], dtype=np.float32)


def body(write: DocumentWrite) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(write.body)
    return parsed


def test_a_document_holds_its_fields_its_tenant_its_vector_and_what_it_was_made_from() -> None:
    write = document(change(7, source_ts_ms=5), {"title": "T", "meta.tags": ["a"]}, "hash", "model", VECTOR)
    assert body(write) == {
        "title": "T",
        "meta": {"tags": ["a"]},
        "tenant": "acme",
        "embedding": [0.5, -1.25, 0.1],
        "sync": {
            "source": "articles",
            "key": "articles/1",
            "version": 7,
            "source_ts": 5,
            "text_hash": "hash",
            "model": "model",
        },
    }
    assert (write.place, write.version, write.tombstone) == (place(), 7, False)


def test_a_document_without_text_has_neither_vector_nor_model_nor_hash() -> None:
    write = document(change(7), {"title": None}, None, "model", None)
    assert body(write) == {"tenant": "acme", "sync": {"source": "articles", "key": "articles/1", "version": 7}}


def test_its_place_in_the_log_is_kept_where_the_version_alone_does_not_tell_the_order() -> None:
    for written in (change(7, positioned=False, of=record(offset=3)), late(change(5, of=record(offset=3)))):
        for write in (document(written, {}, None, "model", None), tombstone(written, place("acme"), 1234)):
            kept = log_place(body(write)["sync"])
            assert kept == written.log_place == LogPlace(record().position.topic, 0, 3, 7)


@pytest.mark.parametrize("sync", [{}, {"log": None}, {"log": {"topic": "t"}}, {"log": {"offset": "7"}}])
def test_where_no_place_in_the_log_is_kept_there_is_none(sync: dict[str, object]) -> None:
    assert log_place(sync) is None


def late(written: Change) -> Change:
    """Committed when its partition had got to version 7."""
    return replace(written, watermark=7)


def test_a_vector_is_read_back_bit_for_bit() -> None:
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32)
    written = body(document(change(), {}, "hash", "model", vector))["embedding"]
    assert np.array_equal(np.array(written, dtype=np.float32), vector)


def test_a_tombstone_has_no_tenant_no_text_and_no_vector_so_no_search_finds_it() -> None:
    write = tombstone(change(7, tenant="globex", left=["acme"]), place("acme"), 1234)
    assert body(write) == {
        "sync": {"source": "articles", "key": "articles/1", "version": 7, "deleted": True, "deleted_at": 1234}
    }
    assert (write.place, write.version, write.tombstone) == (place("acme"), 7, True)


def test_the_tenant_field_is_the_routing_whatever_a_field_says() -> None:
    assert body(document(change(tenant="globex"), {"tenant": "acme"}, None, "m", None))["tenant"] == "globex"


@pytest.mark.parametrize(("positioned", "expected"), [(True, VersionType.EXTERNAL), (False, VersionType.EXTERNAL_GTE)])
def test_only_a_change_without_a_position_may_replace_its_own_version(
    *, positioned: bool, expected: VersionType
) -> None:
    assert document(change(positioned=positioned), {}, None, "m", None).version_type is expected
    assert tombstone(deletion(positioned=positioned), place(), 0).version_type is expected


@pytest.mark.parametrize("characters", [10, 3_000, 100_000])
def test_a_body_takes_no_more_memory_than_its_bytes(characters: int) -> None:
    written, fields = change(), {"title": "a" * characters}
    tracemalloc.start()
    try:
        bodies = [document(written, fields, None, "model", None).body for _ in range(20)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < sum(map(len, bodies)) + 20 * 400


def test_null_is_left_out_and_what_is_merely_empty_stays() -> None:
    fields: dict[str, object] = {"a": None, "b.c": None, "d": "", "e": 0, "f": False, "g": []}
    assert nested(fields) == {"d": "", "e": 0, "f": False, "g": []}


def test_paths_with_common_parents_share_them() -> None:
    assert nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


@pytest.mark.parametrize("path", ["a.b", "a", "x.y", "e.f", ""])
def test_there_is_nothing_at_a_path_that_leads_nowhere(path: str) -> None:
    assert value_at({"e": "text"}, path) is None


leaves = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
names = st.sampled_from("abc")
bodies = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=6)
)


def flat(body: Mapping[str, object], above: str = "") -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in body.items():
        fields |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return fields


@given(bodies)
def test_paths_and_nested_objects_say_the_same(body: dict[str, object]) -> None:
    fields = flat(body)
    assert nested(fields) == body
    assert {path: value_at(body, path) for path in fields} == fields
