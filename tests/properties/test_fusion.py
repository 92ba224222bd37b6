import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from worker.stages.search import fuse

documents = st.sampled_from([f"d{number}" for number in range(30)])
rankings = st.lists(st.lists(documents, unique=True, max_size=30), max_size=4)


@given(rankings, st.randoms(use_true_random=False))
def test_the_order_of_the_rankings_is_of_no_consequence(given_rankings: list[list[str]], random: Random) -> None:
    shuffled = list(given_rankings)
    random.shuffle(shuffled)
    assert fuse(shuffled) == fuse(given_rankings)


@given(rankings)
def test_every_document_found_comes_back_once_with_its_sum_of_reciprocal_ranks(given_rankings: list[list[str]]) -> None:
    fused = fuse(given_rankings)
    assert sorted(entry.id for entry in fused) == sorted(
        {document for ranking in given_rankings for document in ranking}
    )
    for document, score in fused:
        ranks = [ranking.index(document) + 1 for ranking in given_rankings if document in ranking]
        assert math.isclose(score, sum(1 / (60 + rank) for rank in ranks))


@given(rankings)
def test_scores_never_rise(given_rankings: list[list[str]]) -> None:
    scores = [entry.score for entry in fuse(given_rankings)]
    assert scores == sorted(scores, reverse=True)


@given(rankings.filter(lambda some: len(some) == 2))
def test_a_document_found_by_both_is_above_every_document_that_one_alone_found_no_better(
    given_rankings: list[list[str]],
) -> None:
    words, meaning = given_rankings
    order = [entry.id for entry in fuse(given_rankings)]
    for both in set(words) & set(meaning):
        best = min(words.index(both), meaning.index(both))
        for single in set(words) ^ set(meaning):
            rank = (words if single in words else meaning).index(single)
            if rank >= best:
                assert order.index(both) < order.index(single)


@given(st.lists(documents, unique=True))
def test_one_ranking_keeps_its_order(ranking: list[str]) -> None:
    assert [entry.id for entry in fuse([ranking])] == ranking


@given(rankings, st.integers(min_value=1, max_value=10))
def test_nothing_beyond_the_window_counts_or_comes_back(given_rankings: list[list[str]], window: int) -> None:
    fused = fuse(given_rankings, window=window)
    assert len(fused) <= window
    assert fused == fuse([ranking[:window] for ranking in given_rankings])[:window]


@given(st.lists(documents))
def test_a_document_that_comes_twice_in_a_ranking_has_its_first_rank(ranking: list[str]) -> None:
    assert fuse([ranking]) == fuse([list(dict.fromkeys(ranking))])


@given(rankings, rankings)
def test_the_same_input_gives_the_same_order(given_rankings: list[list[str]], others: list[list[str]]) -> None:
    before = fuse(given_rankings)
    fuse(others)
    assert fuse(given_rankings) == before
