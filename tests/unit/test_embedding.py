"""A text that the model fails on is put aside; a model that fails halts."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tests import builders
from tests.fakes.embedder import FakeEmbedder, vector_of
from tests.fakes.world import RULES, World
from worker.errors import Halt, HaltReason, RejectReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.embedding import Embedding
from worker.runtime.model_calls import Result
from worker.runtime.vector_cache import VectorCache
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


async def test_a_model_that_is_mended_right_after_it_failed_costs_no_text() -> None:
    world = World()
    world.upsert(1, "good", lsn=1)

    async def mended_after(_texts: Sequence[str]) -> None:
        world.embedder.fail_with = Halt(HaltReason.EMBEDDER_FAILED, "out of memory") if is_first() else None

    def is_first() -> bool:
        return len(world.embedder.calls) == 1

    world.embedder.before_embed = mended_after
    await world.run_to_the_end()
    assert world.embedder.calls[0] == ["good"]
    assert world.verdicts == {"indexed": 1}
    assert not world.dead_letters.sent


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


class Server:
    """Embeds like the fake, unless it is told to fail."""

    def __init__(self) -> None:
        self.embedder = FakeEmbedder()
        self.embedder.before_embed = self._before
        self.up = True
        self.killed_by: set[str] = set()
        self.reason = RetryReason.SERVER_ERROR

    async def _before(self, texts: Sequence[str]) -> None:
        if not self.up or self.killed_by.intersection(texts):
            raise RetryLater(self.reason, "it is down")

    async def until_it_returns(
        self, batch: Callable[[], Awaitable[list[Result]]], tries: int = 100
    ) -> tuple[list[Result], list[str]]:
        """Call a batch as the runtime does; return its results, and the faults on the way."""
        faults: list[str] = []
        for _ in range(tries):
            try:
                return await batch(), faults
            except (RetryLater, Halt) as fault:
                faults.append(fault.reason)
        raise AssertionError(f"no result after {tries} tries: {faults}")


@given(texts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20), bad=st.sets(st.sampled_from("abcd")))
async def test_texts_that_a_server_breaks_on_are_put_aside_and_the_others_embedded(
    texts: list[str], bad: set[str]
) -> None:
    server = Server()
    server.killed_by = bad
    found, _ = await server.until_it_returns(embedding(server.embedder).request(texts))
    for text, one in zip(texts, found, strict=True):
        if isinstance(one, Rejection):
            assert text in bad
        else:
            assert text not in bad
            assert np.array_equal(one, vector_of(text))


async def test_a_server_that_is_down_halts_and_costs_no_text() -> None:
    server = Server()
    server.up = False
    batch = embedding(server.embedder).request(["a", "b"])
    faults = []
    for _ in range(50):
        with pytest.raises((RetryLater, Halt)) as caught:
            await batch()
        faults.append(caught.value.reason)  # type: ignore[attr-defined]
    assert faults[:3] == [RetryReason.SERVER_ERROR] * 3
    assert faults[-1] is HaltReason.EMBEDDER_UNAVAILABLE
    server.up = True
    found, _ = await server.until_it_returns(batch)
    assert not any(isinstance(one, Rejection) for one in found)


async def test_a_server_that_a_text_kills_is_killed_few_times() -> None:
    server = Server()
    server.killed_by = {"bad"}
    batch = embedding(server.embedder).request([*map(str, range(31)), "bad"])
    found, faults = await server.until_it_returns(batch)
    assert [isinstance(one, Rejection) for one in found] == [False] * 31 + [True]
    assert len([call for call in server.embedder.calls if "bad" in call]) < 20
    assert server.embedder.texts.count("0") < 20, "what has its vector keeps it"
    assert faults.count(HaltReason.EMBEDDER_UNAVAILABLE) == 0


@pytest.mark.parametrize(
    ("plain_fails", "rejected_after"), [(False, 8 + 3), (True, 8 + 8)], ids=["starts at once", "is away for a try"]
)
async def test_a_single_text_is_rejected_when_it_has_failed_several_times_after_a_good_plain_one(
    rejected_after: int, *, plain_fails: bool
) -> None:
    server, texts = Server(), list[str]()
    server.killed_by = {"bad"}
    before = server.embedder.before_embed

    async def starting_again(given: Sequence[str]) -> None:
        texts.extend(given)
        # Each time that the text has killed it, the first plain text finds nobody.
        server.up = not plain_fails or given == ["bad"] or texts[-2] == given[0]
        await before(given)

    server.embedder.before_embed = starting_again
    ((found,), _) = await server.until_it_returns(embedding(server.embedder).request(["bad"]))
    assert isinstance(found, Rejection)
    assert texts.count("bad") == rejected_after


@pytest.mark.parametrize("plain_fails", [False, True])
async def test_a_single_text_that_fails_now_and_then_gets_its_vector(*, plain_fails: bool) -> None:
    server = Server()
    batch = embedding(server.embedder).request(["a"])
    server.up = False
    for _ in range(8):
        with pytest.raises(RetryLater):
            await batch()
    server.up = True
    server.killed_by = {"a"}
    for _ in range(2):
        with pytest.raises(RetryLater):
            await batch()
    if plain_fails:
        server.up = False
        with pytest.raises(Halt):
            await batch()
        server.up = True
        for _ in range(2):
            with pytest.raises(RetryLater):
                await batch()
    server.killed_by = set()
    ((found,), _) = await server.until_it_returns(batch)
    assert not isinstance(found, Rejection)


async def test_who_is_asked_to_wait_waits_and_doubts_no_text() -> None:
    server = Server()
    server.killed_by, server.reason = {"a"}, RetryReason.REJECTED
    batch = embedding(server.embedder).request(["a"])
    for _ in range(50):
        with pytest.raises(RetryLater):
            await batch()
    server.killed_by = set()
    ((found,), _) = await server.until_it_returns(batch)
    assert not isinstance(found, Rejection)


async def test_fewer_calls_are_made_at_a_time_while_the_server_is_overloaded_and_more_again_later() -> None:
    class Wide(FakeEmbedder):
        @property
        @override
        def concurrency(self) -> int:
            return 8

    embedder, metrics = Wide(), Metrics()
    one = Embedding(embedder, metrics, Clock())

    def limit() -> float | None:
        return metrics.registry.get_sample_value("syncline_embed_concurrency_limit")

    assert limit() == 8
    embedder.fail_with = RetryLater(RetryReason.REJECTED, "slow down")
    for _ in range(2):
        with pytest.raises(RetryLater):
            await one.vectors(["a"])
    assert limit() == 2
    embedder.fail_with = None
    for _ in range(60):
        await one.vectors(["a"])
    assert limit() == 8


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
