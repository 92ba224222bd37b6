"""Batches of like length, windows of long texts, and vectors put together again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.packing import averaged, normalised, packed, windows

lengths = st.lists(st.integers(0, 300), max_size=60)
budgets = st.integers(1, 2000)


@given(lengths, budgets)
def test_every_text_is_in_one_batch(sizes: list[int], budget: int) -> None:
    assert sorted(position for batch in packed(sizes, budget) for position in batch) == list(range(len(sizes)))


@given(lengths, budgets)
def test_no_batch_is_over_the_budget_unless_it_holds_one_text(sizes: list[int], budget: int) -> None:
    for batch in packed(sizes, budget):
        assert len(batch) == 1 or len(batch) * max(sizes[position] for position in batch) <= budget


@given(lengths, budgets)
def test_without_padding_only_the_tokens_themselves_count(sizes: list[int], budget: int) -> None:
    batches = packed(sizes, budget, padded=False)
    assert sorted(position for batch in batches for position in batch) == list(range(len(sizes)))
    tokens = [sum(sizes[position] for position in batch) for batch in batches]
    assert all(len(batch) == 1 or total <= budget for batch, total in zip(batches, tokens, strict=True))
    following = (sizes[batch[0]] for batch in batches[1:])
    assert all(total + more > budget for total, more in zip(tokens, following, strict=False))


@given(lengths, budgets)
def test_longest_first_so_that_neighbours_are_alike(sizes: list[int], budget: int) -> None:
    order = [sizes[position] for batch in packed(sizes, budget) for position in batch]
    assert order == sorted(sizes, reverse=True)


@given(lengths, budgets)
def test_no_batch_has_room_for_the_next_text(sizes: list[int], budget: int) -> None:
    batches = packed(sizes, budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * sizes[batch[0]] > budget


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(1, 20))
def test_windows_cover_the_text_from_its_begin_without_gap_or_overlap(length: int, longest: int, most: int) -> None:
    cuts = windows(length, longest, most)
    assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])]
    assert cuts[-1].stop == min(length, longest * most)
    assert 1 <= len(cuts) <= most
    assert max(map(len, cuts)) <= longest


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(1, 20))
def test_windows_are_as_few_as_possible_and_of_one_length(length: int, longest: int, most: int) -> None:
    cuts = windows(length, longest, most)
    assert (len(cuts) - 1) * longest < max(1, min(length, longest * most))
    assert max(map(len, cuts)) - min(map(len, cuts)) <= 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 10), st.integers(1, 5), st.integers(0))
def test_a_texts_vector_is_the_average_over_its_tokens(sizes: list[int], longest: int, most: int, seed: int) -> None:
    cuts = [windows(size, longest, most) for size in sizes]
    made = np.random.default_rng(seed).standard_normal((sum(map(len, cuts)), 4), dtype=np.float32)
    at = 0
    for vector, its in zip(averaged(made, cuts), cuts, strict=True):
        weights = [max(1, len(cut)) for cut in its]
        average = np.average(made[at : at + len(its)], axis=0, weights=weights)
        assert np.abs(vector - average).max() < 1e-5
        at += len(its)


def test_vectors_get_unit_length_and_a_zero_stays_one() -> None:
    found = normalised(np.array([[3, 4], [0, 0]], dtype=np.float32))
    assert np.abs(found - np.array([[0.6, 0.8], [0, 0]])).max() < 1e-6
    assert found.dtype == np.float32
