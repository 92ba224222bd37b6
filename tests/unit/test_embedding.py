"""A text that the model fails on is put aside; a model that fails halts."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.embedder import FakeEmbedder, vector_of
from tests.fakes.world import World
from worker.errors import Halt, HaltReason, RejectReason
from worker.metrics import Metrics
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.embedding import Embedding
from worker.runtime.vector_cache import VectorCache

pytestmark = pytest.mark.virtual_time


def failing_on(bad: set[str], reason: HaltReason = HaltReason.EMBEDDER_FAILED) -> FakeEmbedder:
    embedder = FakeEmbedder()

    async def fail(texts: Sequence[str]) -> None:
        if bad.intersection(texts):
            raise Halt(reason, "it fails")

    embedder.before_embed = fail
    return embedder


def embedding(embedder: FakeEmbedder, metrics: Metrics | None = None, cache_bytes: int = 0) -> Embedding:
    return Embedding(embedder, metrics or Metrics(), Clock(), VectorCache(cache_bytes))


def reused(metrics: Metrics, origin: str) -> float | None:
    return metrics.registry.get_sample_value("syncline_reused_vectors_total", {"origin": origin})


async def test_where_nothing_fails_there_is_one_call() -> None:
    embedder = FakeEmbedder()
    await embedding(embedder).vectors(["a", "b", "c"])
    assert embedder.calls == [["a", "b", "c"]]


@given(texts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20), bad=st.sets(st.sampled_from("abcd")))
async def test_each_text_gets_its_vector_or_its_rejection_in_order(texts: list[str], bad: set[str]) -> None:
    found = await embedding(failing_on(bad)).vectors(texts)
    assert len(found) == len(texts)
    for text, one in zip(texts, found, strict=True):
        if text in bad:
            assert one == Rejection(RejectReason.EMBEDDING_FAILED, "it fails")
        else:
            assert isinstance(one, np.ndarray)
            assert np.array_equal(one, vector_of(text))


async def test_one_bad_text_of_many_costs_few_calls() -> None:
    embedder = failing_on({"bad"})
    await embedding(embedder).vectors([*map(str, range(31)), "bad"])
    assert len(embedder.calls) < 20


async def test_a_model_that_fails_on_a_plain_text_halts() -> None:
    embedder = FakeEmbedder()
    embedder.fail_with = Halt(HaltReason.EMBEDDER_FAILED, "out of memory")
    with pytest.raises(Halt, match="out of memory"):
        await embedding(embedder).vectors(["a", "b"])
    assert len(embedder.calls) == 2, "one try, and one with a plain text"


async def test_the_same_text_is_given_to_the_model_once_a_call() -> None:
    embedder, metrics = FakeEmbedder(), Metrics()
    found = await embedding(embedder, metrics).vectors(["a", "b", "a", "a"])
    assert embedder.calls == [["a", "b"]]
    assert [np.array_equal(one, vector_of(text)) for one, text in zip(found, "abaa", strict=True)] == [True] * 4  # type: ignore[arg-type]
    assert (reused(metrics, "same_call"), metrics.registry.get_sample_value("syncline_embedded_texts_total")) == (2, 2)


async def test_without_a_cache_it_is_given_again_in_the_next_call() -> None:
    embedder, metrics = FakeEmbedder(), Metrics()
    without = embedding(embedder, metrics)
    for _ in range(2):
        await without.vectors(["a"])
    assert embedder.calls == [["a"], ["a"]]
    assert metrics.registry.get_sample_value("syncline_vector_cache_misses_total") == 0


async def test_with_one_only_what_is_not_in_it() -> None:
    embedder, metrics = FakeEmbedder(), Metrics()
    cached = embedding(embedder, metrics, 100_000)
    await cached.vectors(["a", "b"])
    found = await cached.vectors(["b", "c", "a", "b"])
    assert embedder.calls == [["a", "b"], ["c"]]
    assert [np.array_equal(one, vector_of(text)) for one, text in zip(found, "bcab", strict=True)] == [True] * 4  # type: ignore[arg-type]
    assert (reused(metrics, "cache"), reused(metrics, "same_call")) == (3, 0)
    assert metrics.registry.get_sample_value("syncline_vector_cache_misses_total") == 3
    assert (metrics.registry.get_sample_value("syncline_vector_cache_bytes") or 0) > 3 * 8 * 4
    await cached.vectors(["a"])
    assert len(embedder.calls) == 2


async def test_a_rejected_text_is_not_kept() -> None:
    embedder = failing_on({"bad"})
    cached = embedding(embedder, cache_bytes=100_000)
    await cached.vectors(["bad", "good"])
    embedder.before_embed = FakeEmbedder().before_embed
    (vector,) = await cached.vectors(["bad"])
    assert isinstance(vector, np.ndarray)


async def test_a_cached_plain_text_does_not_hide_a_broken_model() -> None:
    embedder = FakeEmbedder()
    cached = embedding(embedder, cache_bytes=100_000)
    await cached.vectors(["a plain text"])
    embedder.fail_with = Halt(HaltReason.EMBEDDER_FAILED, "out of memory")
    with pytest.raises(Halt, match="out of memory"):
        await cached.vectors(["a"])


async def test_another_halt_is_not_the_texts_matter() -> None:
    with pytest.raises(Halt):
        await embedding(failing_on({"a"}, HaltReason.TARGET_MISSING)).vectors(["a", "b"])


async def test_the_others_of_its_batch_are_written_and_its_offset_is_committed() -> None:
    world = World()
    world.embedder.before_embed = failing_on({"bad"}).before_embed
    for row, title in enumerate(["good", "bad", "good too"]):
        world.upsert(row, title, lsn=100 + row)
    async with world.running():
        await world.settle()
    assert sorted(held.body["title"] for held in world.index.live.values()) == ["good", "good too"]
    (letter,) = world.dead_letters.sent
    assert dict(letter.headers)["syncline-reason"] == b"embedding_failed"
    assert dict(letter.headers)["syncline-stage"] == b"embed"
