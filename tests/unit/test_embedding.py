"""A text that the model fails on is put aside; a model that fails halts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.fakes.embedder import FakeEmbedder, vector_of
from tests.fakes.world import RULES, World
from worker.errors import Halt, HaltReason, RejectReason
from worker.metrics import Metrics
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.embedding import Embedding
from worker.settings import DeliverySettings
from worker.settings.worker import Deletes

pytestmark = pytest.mark.virtual_time


def failing_on(bad: set[str], reason: HaltReason = HaltReason.EMBEDDER_FAILED) -> FakeEmbedder:
    embedder = FakeEmbedder()

    async def fail(texts: Sequence[str]) -> None:
        if bad.intersection(texts):
            raise Halt(reason, "it fails")

    embedder.before_embed = fail
    return embedder


def embedding(embedder: FakeEmbedder) -> Embedding:
    return Embedding(embedder, Metrics(), Clock())


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


@pytest.mark.parametrize("deletes", Deletes)
async def test_a_move_whose_text_the_model_fails_on_takes_the_row_from_its_former_tenant(deletes: Deletes) -> None:
    world = World(rules=replace(RULES, trusts_before=True), delivery=DeliverySettings(deletes=deletes))
    world.embedder.before_embed = failing_on({"bad"}).before_embed
    world.upsert(1, "good", lsn=100)
    async with world.running():
        await world.settle()
        moved = builders.row(1, "globex", title="bad", url=None)
        world.append(builders.event("u", moved, builders.row(1), lsn=101), 1)
        await world.until(lambda: world.verdicts.total() == 2)
    assert world.index.live == {}, "a reader of the former tenant still sees the row"
    assert world.verdicts == {"indexed": 1, "embedding_failed": 1}
    assert world.committed() == 2
