"""What every embedder promises, on the fake, on the real model and behind HTTP."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.fakes.embedder import FakeEmbedder
from tests.servers.embedding import embedding_server
from worker.adapters.http_embedder import HttpEmbedder
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.demo.model import embedding_settings
from worker.errors import OperatorError
from worker.ports import Embedder
from worker.settings import EmbeddingSettings

TEXTS = ["The runner waits until a place is free.", "Soup", "", "Größe 😀 日本語", "word " * 2000]


FORMS: dict[str, dict[str, str]] = {
    "tei": {"form": "tei"},
    "openai": {"form": "openai"},
    "openai-base64": {"form": "openai", "vectors": "base64"},
}


@pytest.fixture(params=["fake", "real", *FORMS])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    if request.param in FORMS:
        async with embedding_server() as server:
            behind = {"backend": "http", "http": {"url": server.url, **FORMS[request.param]}}
            remote = HttpEmbedder(EmbeddingSettings.model_validate(behind))
            await remote.start()
            yield remote
            await remote.close()
    elif request.param == "fake":
        yield FakeEmbedder()
    else:
        yield await real(_loaded)


# The real model takes seconds to load: once for all tests. Its thread outlives the event loops of the tests.
_loaded: list[Embedder] = []


async def real(loaded: list[Embedder]) -> Embedder:
    if not loaded:
        model = SentenceEmbedder(EmbeddingSettings.model_validate(embedding_settings()))
        await model.start()
        loaded.append(model)
    return loaded[0]


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
