"""Whether a model can be had at all: in the cache, from the hub, on the device. Looks, and loads nothing.

The libraries themselves try a hub that does not answer for minutes, file by file, and say so in the middle of a page.
"""

import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_OFFLINE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def in_cache(model: str, revision: str | None) -> bool:
    """Whether a model is a folder, or lies in the local cache of the hub."""
    if Path(model).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - takes a second
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    names = [model] if "/" in model else [model, f"sentence-transformers/{model}"]
    try:
        found = [try_to_load_from_cache(name, "config.json", revision=revision) for name in names]
    except HFValidationError:  # a name that no model can have
        return False
    return any(isinstance(path, str) for path in found)


def hub_fault() -> str | None:
    """Return why nothing can come from the model hub; None if it answers, or only a proxy could tell."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in _PROXIES):
        return None
    parts = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"{host}:{port} cannot be reached ({error.strerror or error})"
    return None


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
