"""sentence-transformers on torch: the embedder that needs nothing but a model."""

from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.torch_model import TorchModel
from worker.metrics import Metrics
from worker.settings import EmbeddingSettings


class SentenceEmbedder(LocalEmbedder):
    """`ports.Embedder` on a sentence-transformers model."""

    def __init__(self, settings: EmbeddingSettings, metrics: Metrics | None = None) -> None:
        super().__init__(TorchModel(settings), settings, metrics)
