"""Whether a model can be had at all: in the cache, from the hub, on the device. Looks, and loads nothing.

The libraries themselves try a hub that does not answer for minutes, file by file, and say so in the middle of a page.
"""

import json
import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_NO_ADDRESS: Final = "HF_ENDPOINT is not the address of a server"
"""Not repeated: a password may be in it."""
_OFFLINE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_FIRST_FILES: Final = ("modules.json", "config.json")
"""A model of one part has no list of its parts."""
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def cache_folder() -> str | None:
    """Return where sentence-transformers keeps models instead of the hub's own cache; None if nobody has told it."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME") or None


def hub_names(model: str) -> list[str]:
    """Return the names that a model may have on the hub, best first: one without an owner is sentence-transformers'.

    But for a few that are older than owners, such as `bert-base-uncased`.
    """
    return [model] if "/" in model else [f"sentence-transformers/{model}", model]


def in_cache(model: str, revision: str | None) -> bool:
    """Whether a model is a folder, or lies with its weights where sentence-transformers looks for it."""
    if Path(model).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - takes a second
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    try:
        found = [
            try_to_load_from_cache(name, file, cache_dir=cache_folder(), revision=revision)
            for name in hub_names(model)
            for file in _FIRST_FILES
        ]
    except HFValidationError:  # a name that no model can have
        return False
    return any(isinstance(path, str) and has_weights(Path(path).parent) for path in found)


def has_weights(folder: Path) -> bool:
    """Whether a model's weights are there: a download that was cut off leaves some of its files, small ones first."""
    places = [folder, *folder.glob("0_*")]  # older models have a folder for their first part
    return any((place / name).is_file() or _has_parts(place, name) for place in places for name in _WEIGHTS)


def _has_parts(folder: Path, name: str) -> bool:
    """Whether all files are there that large weights are divided into."""
    try:
        parts = json.loads((folder / f"{name}.index.json").read_text(encoding="utf-8"))["weight_map"].values()
        return all((folder / part).is_file() for part in parts)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no index, or half of one
        return False


def hub_fault() -> str | None:
    """Return why nothing can come from the model hub; None if it answers, or only a proxy could tell."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in _PROXIES):
        return None
    if (fault := address_fault()) is not None:
        return fault
    host, port = _address()
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except UnicodeError:  # a name that is too long
        return _NO_ADDRESS
    except OSError as error:
        return f"{host}:{port} cannot be reached ({error.strerror or error})"
    return None


def address_fault() -> str | None:
    """Return what is wrong with the hub's address, if anything: the libraries fail on it when they are imported."""
    try:
        _address()
    except ValueError:
        return _NO_ADDRESS
    return None


def _address() -> tuple[str, int]:
    parts = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)


def device_fault(device: str) -> str | None:
    """Return why the model cannot run on a device; None if it can. Imports torch, which takes seconds."""
    if device == "cpu":
        return None
    import torch  # noqa: PLC0415

    there = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if there:
        return None
    built = torch.backends.cuda.is_built() if device == "cuda" else torch.backends.mps.is_built()  # type: ignore[no-untyped-call]
    return "torch finds no such device" if built else "this build of torch is not made for it"
