"""What every embedder promises, on the fake, on the real model and behind HTTP."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import torch

from tests.fakes.embedder import FakeEmbedder
from tests.fakes.embedding_model import FakeModel
from tests.servers.embedding import embedding_server
from worker.adapters.http_embedder import HttpEmbedder
from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.demo.model import embedding_settings
from worker.errors import OperatorError
from worker.ports import Embedder
from worker.settings import EmbeddingSettings, LongTexts

OTHER_LANGUAGES = [
    "检索系统必须与数据库保持一致",
    "検索インデックスはデータベースと一致していなければならない",
    "يجب أن يبقى فهرس البحث متوافقا مع قاعدة البيانات",
    "खोज सूचकांक को डेटाबेस के साथ मेल खाना चाहिए",
    "Поисковый индекс должен соответствовать базе данных",
    "ดัชนีการค้นหาต้องตรงกับฐานข้อมูล",
    "🙂" * 300,
]
TEXTS = ["The runner waits until a place is free.", "Soup", "", "Größe 😀 日本語", "word " * 2000, *OTHER_LANGUAGES]
HUGE = {
    "words": "a search index in step with its database " * 2500,
    "one word": "x" * 100_000,
    "no spaces": "検索" * 50_000,
    "signs": "!?" * 50_000,
}


FORMS: dict[str, dict[str, str]] = {
    "tei": {"form": "tei"},
    "openai": {"form": "openai"},
    "openai-base64": {"form": "openai", "vectors": "base64"},
}


@pytest.fixture(params=["fake", "local", "real", *FORMS])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    if request.param in FORMS:
        async with embedding_server() as server:
            behind = {"backend": "http", "http": {"url": server.url, **FORMS[request.param]}}
            remote = HttpEmbedder(EmbeddingSettings.model_validate(behind))
            await remote.start()
            yield remote
            await remote.close()
    else:
        if request.param not in _started:
            _started[request.param] = unstarted(request.param)
            await _started[request.param].start()
        yield _started[request.param]


def unstarted(kind: str) -> Embedder:
    if kind == "fake":
        return FakeEmbedder()
    if kind == "local":
        return LocalEmbedder(FakeModel(), EmbeddingSettings(long_texts=LongTexts.MEAN))
    return SentenceEmbedder(EmbeddingSettings.model_validate(embedding_settings()))


# The real model takes seconds to load: once for all tests. Its thread outlives the event loops of the tests.
_started: dict[str, Embedder] = {}


async def test_there_is_one_finite_vector_of_unit_length_a_text(embedder: Embedder) -> None:
    vectors = await embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


async def test_vectors_come_in_the_order_of_their_texts_whatever_their_neighbours(embedder: Embedder) -> None:
    together = await embedder.embed(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        (alone,) = await embedder.embed([text])
        assert float(alone @ vector) > 0.999


@pytest.mark.parametrize("kind", HUGE)
async def test_a_text_of_100_000_characters_is_a_text_like_others(embedder: Embedder, kind: str) -> None:
    vectors = await embedder.embed([HUGE[kind], "Soup"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    (alone,) = await embedder.embed(["Soup"])
    assert float(alone @ vectors[1]) > 0.999


async def test_different_texts_have_different_vectors(embedder: Embedder) -> None:
    one, other = await embedder.embed(["Queues of waiting runners", "A recipe for soup"])
    assert float(one @ other) < 0.9


async def test_the_model_and_its_size_have_names(embedder: Embedder) -> None:
    assert embedder.model
    assert embedder.dimensions > 1


def test_a_revision_is_part_of_the_models_name() -> None:
    pinned = SentenceEmbedder(EmbeddingSettings(model="some/model", revision="abc"))
    assert pinned.model == "some/model@abc"
    assert SentenceEmbedder(EmbeddingSettings(model="some/model")).model == "some/model"


@pytest.mark.parametrize("kind", ["fake", "real"])
async def test_a_model_that_is_not_there_is_said_in_one_sentence(kind: str, tmp_path: object) -> None:
    if kind == "fake":
        missing: Embedder = FakeEmbedder("no-such-model", broken=True)
    else:
        missing = SentenceEmbedder(EmbeddingSettings.model_validate({"model": "no-such-model", "path": str(tmp_path)}))
    with pytest.raises(OperatorError, match=r"embedding: the model .* cannot be loaded"):
        await missing.start()
    await missing.close()


async def test_a_gpu_that_is_not_there_is_said_in_one_sentence() -> None:
    embedder = SentenceEmbedder(EmbeddingSettings.model_validate(embedding_settings() | {"device": "cuda"}))
    if not torch.cuda.is_available():
        with pytest.raises(OperatorError, match=r"embedding\.device is cuda, but torch sees no GPU"):
            await embedder.start()
    await embedder.close()
