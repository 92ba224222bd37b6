"""The same text is not embedded again, as long as there is room."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.embedder import vector_of
from worker.runtime.vector_cache import ENTRY_BYTES, VectorCache

ENTRY = 8 * 4 + ENTRY_BYTES


def test_what_was_put_comes_back() -> None:
    cache = VectorCache(10 * ENTRY)
    cache.put("m", "a", vector_of("a"))
    found = cache.get("m", "a")
    assert found is not None
    assert np.array_equal(found, vector_of("a"))
    assert cache.get("m", "b") is None


def test_models_never_share_a_vector() -> None:
    cache = VectorCache(10 * ENTRY)
    cache.put("m", "1 a", vector_of("a"))
    cache.put("m 1", "b", vector_of("b"))
    assert cache.get("m 1", "a") is None
    assert cache.get("n", "1 a") is None


def test_what_was_not_asked_for_longest_goes_first() -> None:
    cache = VectorCache(2 * ENTRY)
    for text in "ab":
        cache.put("m", text, vector_of(text))
    cache.get("m", "a")
    cache.put("m", "c", vector_of("c"))
    assert [text for text in "abc" if cache.get("m", text) is not None] == ["a", "c"]


@given(st.lists(st.text("abcdef", max_size=2)), st.integers(0, 5 * ENTRY))
def test_it_never_takes_more_than_it_may_and_counts_right(texts: list[str], most: int) -> None:
    cache = VectorCache(most)
    for text in texts:
        cache.put("m", text, vector_of(text))
        assert cache.size <= most
    held = [text for text in set(texts) if cache.get("m", text) is not None]
    assert cache.size == len(held) * ENTRY
    assert len(held) == min(len(set(texts)), most // ENTRY)


def test_a_row_of_a_call_does_not_keep_the_whole_call() -> None:
    cache = VectorCache(10 * ENTRY)
    call = np.ones((1000, 8), dtype=np.float32)
    cache.put("m", "a", call[0])
    call[:] = 0
    found = cache.get("m", "a")
    assert found is not None
    assert found.base is None
    assert found.tolist() == [1] * 8
    assert not found.flags.writeable


def test_the_size_of_an_entry_is_not_told_too_small() -> None:
    """Measured with real memory: tracemalloc counts what Python and numpy allocate."""
    import tracemalloc  # noqa: PLC0415 - only here

    cache = VectorCache(64 * 1024 * 1024)
    vectors = np.ones((5000, 384), dtype=np.float32)
    tracemalloc.start()
    for number, vector in enumerate(vectors):
        cache.put("m", str(number), vector)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 < taken / cache.size <= 1
