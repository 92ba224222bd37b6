"""Texts to batches of tokens: cut, packed, counted, checked, and back in order."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from typing_extensions import override

from tests.fakes.embedding_model import MAX_TOKENS, FakeModel
from worker.adapters.local_embedder import LocalEmbedder
from worker.errors import Halt, HaltReason, OperatorError
from worker.metrics import Metrics
from worker.ports import ModelShape, Vectors
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.embedding import Embedding
from worker.settings import EmbeddingSettings
from worker.stages.prompts import Prompts

LONG = " ".join(f"w{number}" for number in range(20))


class Bench:
    def __init__(self, prompt: str = "", /, **settings: object) -> None:
        self.model = FakeModel(prompt=prompt)
        self.metrics = Metrics()
        self.embedder = LocalEmbedder(self.model, EmbeddingSettings.model_validate(settings), self.metrics)

    async def vectors(self, *texts: str) -> Vectors:
        if not self.embedder.dimensions:
            await self.embedder.start()
            self.model.batches.clear()
            self.model.characters = 0
        return await self.embedder.embed(texts)

    def total(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"syncline_{name}_total") or 0.0

    def unit(self, text: str) -> Vectors:
        vector = self.model.vector(text.split())
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


async def test_texts_of_like_length_share_batches_and_come_back_in_order() -> None:
    bench = Bench(batch_tokens=20)
    texts = ["a", "a b c d e f g h", "b", "a b c", "", "a b c d e f g i"]
    found = await bench.vectors(*texts)
    assert bench.model.batches == [[8, 8], [3, 1, 1, 0]]
    for text, vector in zip(texts, found, strict=True):
        assert np.allclose(vector, bench.unit(text), atol=1e-6)


async def test_how_full_batches_are_is_counted() -> None:
    bench = Bench(batch_tokens=20)
    await bench.vectors("warm")
    tokens, places = bench.total("embedded_tokens"), bench.total("embedding_token_places")
    await bench.vectors("a b c", "a")
    assert bench.total("embedded_tokens") - tokens == 5 + 3
    assert bench.total("embedding_token_places") - places == 2 * 5
    assert bench.total("embedding_seconds") > 0


async def test_a_long_text_is_cut_and_what_is_lost_is_counted() -> None:
    bench = Bench()
    (vector, _) = await bench.vectors(LONG, "short")
    assert np.allclose(vector, bench.unit(" ".join(LONG.split()[:MAX_TOKENS])), atol=1e-6)
    assert (bench.total("truncated_texts"), bench.total("truncated_tokens")) == (1, 20 - MAX_TOKENS)


async def test_a_text_that_just_fits_loses_nothing() -> None:
    bench = Bench()
    await bench.vectors(" ".join(LONG.split()[:MAX_TOKENS]))
    assert bench.total("truncated_texts") == 0


async def test_the_average_of_a_long_texts_windows() -> None:
    bench = Bench(long_texts="mean")
    (vector,) = await bench.vectors(LONG)
    words = LONG.split()
    parts = [words[0:6], words[6:13], words[13:20]]
    mean = np.average([bench.model.vector(part) for part in parts], axis=0, weights=[6, 7, 7])
    assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert bench.total("truncated_texts") == 0


async def test_windows_are_bounded_and_the_rest_is_counted() -> None:
    bench = Bench(long_texts="mean", long_text_windows=2)
    await bench.vectors(LONG)
    assert [len(batch) for batch in bench.model.batches] == [2]
    assert (bench.total("truncated_texts"), bench.total("truncated_tokens")) == (1, 20 - 2 * MAX_TOKENS)


async def test_each_window_has_the_prompt_before_it_which_counts_for_nothing_else() -> None:
    bench = Bench("title: none ", long_texts="mean", long_text_windows=3)
    (vector, _) = await bench.vectors(LONG, "short")
    assert bench.model.batches == [[8, 8, 8, 3]]
    words = LONG.split()
    parts = [words[0:6], words[6:12], words[12:18]]
    mean = np.average([bench.model.vector(["title:", "none", *part]) for part in parts], axis=0)
    assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert (bench.total("truncated_texts"), bench.total("truncated_tokens")) == (1, 2)


async def test_a_long_text_behind_a_prompt_is_cut_where_the_model_ends() -> None:
    bench = Bench("title: none ")
    (vector,) = await bench.vectors(LONG)
    assert np.allclose(vector, bench.unit(" ".join(["title: none", *LONG.split()[: MAX_TOKENS - 2]])), atol=1e-6)
    assert (bench.total("truncated_texts"), bench.total("truncated_tokens")) == (1, 20 - (MAX_TOKENS - 2))


async def test_a_prompt_for_documents_is_told_in_the_origin_of_their_vectors_and_stands_before_no_question() -> None:
    bench = Bench("title: none ", model="m", revision="1")
    await bench.vectors("warm")
    assert bench.embedder.model == "m@1#document"
    assert np.allclose(await bench.embedder.embed_question("a b"), bench.unit("a b"), atol=1e-6)
    plain = Bench(model="m", revision="1")
    await plain.vectors("warm")
    assert plain.embedder.model == "m@1"


async def test_a_prompt_that_leaves_no_token_to_a_text_is_told_at_the_start() -> None:
    bench = Bench("word " * MAX_TOKENS, model="m")
    with pytest.raises(OperatorError, match=r"'m' cannot be loaded \(its prompt for documents has 8 tokens, and it"):
        await bench.vectors("a")


async def test_a_question_that_cannot_be_embedded_is_the_operators_matter() -> None:
    class Refusing(FakeModel):
        @override
        def question_tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
            return self.tokens([Prompts(question=None).before_question() + text for text in texts])

    embedder = LocalEmbedder(Refusing(), EmbeddingSettings(model="some/model"))
    await embedder.start()
    with pytest.raises(OperatorError, match=r"embedding\.model: the pooling .* search by words only"):
        await embedder.embed_question("a")
    await embedder.embed(["a"])


@pytest.mark.parametrize(
    ("settings", "characters"), [({}, 320), ({"long_texts": "mean", "long_text_windows": 10}, 800)]
)
async def test_of_a_huge_text_only_a_part_is_tokenised_and_the_rest_estimated(
    settings: dict[str, object], characters: int
) -> None:
    bench = Bench(**settings)
    await bench.vectors("word " * 100_000)
    assert bench.model.characters == characters
    kept = MAX_TOKENS * int(str(settings.get("long_text_windows", 1)))
    assert bench.total("truncated_tokens") == pytest.approx(100_000 - kept, rel=0.01)


async def test_one_thread_makes_all_calls() -> None:
    bench = Bench()
    threads = set()

    def note(vectors: Vectors) -> Vectors:
        threads.add(threading.current_thread().name)
        return vectors

    bench.model.spoil = note
    for text in ("a", "b", "c"):
        await bench.vectors(text)
    assert threads == {"embedder_0"}


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
async def test_a_vector_that_cannot_be_stored_is_a_failure_of_the_model(value: float) -> None:
    bench = Bench()
    await bench.vectors("a")
    bench.model.spoil = lambda vectors: np.full_like(vectors, value)
    with pytest.raises(Halt, match="not finite, or zero") as caught:
        await bench.vectors("a", "b")
    assert caught.value.reason is HaltReason.EMBEDDER_FAILED


async def test_one_vector_for_two_texts_is_not_given_to_both() -> None:
    bench = Bench()
    await bench.vectors("a")
    bench.model.spoil = lambda vectors: vectors[:1]
    with pytest.raises(Halt, match="shape"):
        await bench.vectors("a", "b")


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, MemoryError, IndexError, Exception])
async def test_a_model_that_raises_is_a_failure_of_the_model(kind: type[Exception]) -> None:
    """Torch raises an IndexError for a token that it does not know, a tokeniser a plain Exception."""
    bench = Bench()
    await bench.vectors("a")

    def fail(_vectors: Vectors) -> Vectors:
        raise kind("out of memory")

    bench.model.spoil = fail
    with pytest.raises(Halt, match=f"{kind.__name__}: out of memory") as caught:
        await bench.vectors("a")
    assert caught.value.reason is HaltReason.EMBEDDER_FAILED


async def test_a_text_that_cannot_be_tokenised_is_told_from_the_others_of_its_batch() -> None:
    class Picky(FakeModel):
        @override
        def tokens(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
            if any("unusual" in text for text in texts):
                raise Exception("WordPiece error: Missing [UNK] token")  # noqa: TRY002 - so it comes from the tokeniser
            return super().tokens(texts)

    embedder = LocalEmbedder(Picky(), EmbeddingSettings(model="some/model"))
    await embedder.start()
    found = await Embedding(embedder, Metrics(), Clock()).vectors(["plain", "an unusual word", "other"])
    assert [isinstance(one, Rejection) for one in found] == [False, True, False]


async def test_a_model_that_cannot_be_loaded_is_the_operators_mistake() -> None:
    class Broken(FakeModel):
        @override
        def load(self) -> ModelShape:
            raise OSError("no such model\nand a page of advice")

    embedder = LocalEmbedder(Broken(), EmbeddingSettings(model="some/model"))
    with pytest.raises(
        OperatorError, match=r"the model 'some/model' cannot be loaded \(no such model\): set embedding"
    ):
        await embedder.start()


class SafetensorError(Exception):
    """As the library's, which is no ValueError."""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SafetensorError("incomplete metadata"), r"\(SafetensorError: incomplete metadata\)"),
        (KeyError("word_embedding_dimension"), r"\(KeyError: 'word_embedding_dimension'\)"),
        (TypeError("missing 1 argument\nof many"), r"\(TypeError: missing 1 argument\)"),
        (RuntimeError(), r"\(RuntimeError\)"),
        (Exception(), r"\(Exception\)"),
    ],
    ids=lambda case: type(case).__name__,
)
async def test_whatever_a_broken_model_raises_is_one_sentence(raised: Exception, said: str) -> None:
    class Broken(FakeModel):
        @override
        def load(self) -> ModelShape:
            raise raised

    with pytest.raises(OperatorError, match=rf"'some/model' cannot be loaded {said}: set embedding\.model"):
        await LocalEmbedder(Broken(), EmbeddingSettings(model="some/model")).start()


@pytest.mark.parametrize(
    "raised", [OperatorError("embedding.precision: set another"), Halt(HaltReason.EMBEDDER_FAILED, "a shape")]
)
async def test_what_says_itself_what_is_wrong_is_passed_on(raised: Exception) -> None:
    class Refusing(FakeModel):
        @override
        def load(self) -> ModelShape:
            raise raised

    with pytest.raises(type(raised)) as caught:
        await LocalEmbedder(Refusing(), EmbeddingSettings(model="some/model")).start()
    assert caught.value is raised
