"""The embedding model, before anything slow is tried with it, and the embedder that goes with the settings."""

from worker.adapters.http_embedder import HttpEmbedder
from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.openvino_model import OpenVinoModel
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.settings import EmbeddingSettings


def build_embedder(settings: EmbeddingSettings, metrics: Metrics | None = None) -> Embedder:
    """Return the embedder of `embedding.backend`, not started. Without `metrics` nobody sees its counts."""
    match settings.backend:
        case "http":
            return HttpEmbedder(settings)
        case "openvino":
            return LocalEmbedder(OpenVinoModel(settings), settings, metrics)
        case "torch":
            return SentenceEmbedder(settings, metrics)


def refuse_missing_model(embedding: EmbeddingSettings) -> None:
    """Refuse a folder that is not there or holds no model, before anything slow is tried.

    Raises:
        OperatorError: naming the setting.
    """
    folder = embedding.path
    if folder is None:
        return
    if not folder.is_dir():
        raise OperatorError(f"embedding.path: there is no folder {folder}: give the folder that holds the model")
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise OperatorError(
            f"embedding.path: {folder} holds no model (neither modules.json nor config.json): give the folder that does"
        )
