"""The worker's embedder alone, with its defaults: JSON texts in, the seconds to embed them out.

python -m tests.benchmarks.embedding_alone MODEL_FOLDER < texts.json
"""

import asyncio
import json
import sys
import time

from worker.app import worker as composition
from worker.demo.model import DEFAULT_MODEL
from worker.settings import EmbeddingSettings


async def seconds(folder: str, texts: list[str]) -> float:
    settings = EmbeddingSettings.model_validate({"model": DEFAULT_MODEL, "path": folder})
    build = getattr(composition, "build_embedder", None) or composition.SentenceEmbedder  # type: ignore[attr-defined]
    embedder = build(settings)
    await embedder.start()
    try:
        await embedder.embed(texts[:8])
        began = time.perf_counter()
        await embedder.embed(texts)
        return time.perf_counter() - began
    finally:
        await embedder.close()


if __name__ == "__main__":
    json.dump(asyncio.run(seconds(sys.argv[1], json.load(sys.stdin))), sys.stdout)
