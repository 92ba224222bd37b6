"""The real model on a real server: what is meant is found, though no word is shared."""

import re
import uuid

import pytest
from elasticsearch import AsyncElasticsearch

from tests.servers.start import Servers
from worker.adapters.elastic_search import ElasticSearcher
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.control.search import search
from worker.demo.corpus import Document, read_corpus
from worker.demo.model import embedding_settings
from worker.resources import load_index_definition
from worker.settings import EmbeddingSettings
from worker.stages.search import Mode

# Tenant and words -> the text that is meant.
QUESTIONS = {
    ("shutil", "how much room remains on my drive"): "shutil.disk_usage",
    ("statistics", "average"): "statistics.mean",
    ("copy", "clone something including nested parts"): "copy",
    ("secrets", "unguessable password reset links"): "secrets.token_urlsafe",
    ("random", "mix up cards"): "random.Random.shuffle",
}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the model's libraries, not ours
async def test_a_text_is_found_by_meaning_though_no_word_is_shared(servers: Servers) -> None:
    tenants = {tenant for tenant, _ in QUESTIONS}
    documents = [document for document in read_corpus() if document.tenant in tenants]
    by_title = {document.title: document for document in documents}
    index = f"relevance-{uuid.uuid4().hex[:12]}"
    embedder = SentenceEmbedder(EmbeddingSettings.model_validate(embedding_settings()))
    await embedder.start()
    async with AsyncElasticsearch(servers.elasticsearch, max_retries=0) as client:
        await fill(client, index, embedder, documents)
        searcher = ElasticSearcher(client, index)
        for (tenant, asked), meant in QUESTIONS.items():
            text = by_title[meant]
            assert not words(asked) & words(f"{text.title} {text.content}")
            by_words = await search(searcher, None, asked, tenant, Mode.WORDS, 50)
            assert meant not in [hit.found.title for hit in by_words]
            by_meaning = await search(searcher, embedder, asked, tenant, Mode.MEANING)
            assert by_meaning[0].found.title == meant
            fused = await search(searcher, embedder, asked, tenant, Mode.HYBRID)
            assert meant in [hit.found.title for hit in fused[:5]]
        await client.indices.delete(index=index)
    await embedder.close()


async def fill(client: AsyncElasticsearch, index: str, embedder: SentenceEmbedder, documents: list[Document]) -> None:
    definition = load_index_definition("articles")
    settings = {**definition.settings, "number_of_replicas": 0}
    await client.indices.create(index=index, settings=settings, mappings=definition.mappings)
    vectors = await embedder.embed([f"{document.title} {document.content}" for document in documents])
    operations: list[object] = []
    for document, vector in zip(documents, vectors, strict=True):
        place = {"_index": index, "_id": f"{document.tenant}|{document.id}", "routing": document.tenant}
        operations.append({"index": place})
        operations.append(
            {
                "tenant": document.tenant,
                "title": document.title,
                "content": document.content,
                "embedding": vector.tolist(),
            }
        )
    response = await client.bulk(operations=operations, refresh=True)  # type: ignore[arg-type]
    assert not response["errors"]
