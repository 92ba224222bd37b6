"""`python -m tests.contract.half_precision MODEL TEXT...`: the cosine of each text's bf16 and fp32 vectors."""

import sys
from pathlib import Path

from worker.adapters.torch_model import TorchModel
from worker.settings import EmbeddingSettings

if __name__ == "__main__":
    folder, *texts = sys.argv[1:]
    found = []
    for precision in ("bf16", "fp32"):
        settings = {"model": "tiny", "path": Path(folder), "threads": 1, "precision": precision}
        model = TorchModel(EmbeddingSettings.model_validate(settings))
        shape = model.load()
        found.append(model.embed([tokens[: shape.max_tokens] for tokens in model.tokens(texts)]))
    print(*(found[0] * found[1]).sum(axis=1))  # noqa: T201
