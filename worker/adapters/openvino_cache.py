"""Where converted models are kept: a folder for each model, precision and version of OpenVINO, written in one step."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from worker.adapters.openvino_conversion import TEXTS, Order, read_texts
from worker.errors import OperatorError
from worker.settings import EmbeddingSettings

_FOLDER: Final = "openvino"
_ASIDE: Final = ".new-"
_ABANDONED_SECONDS: Final = 3600.0
_LAST_WRITTEN: Final = "about.json"
_FORM: Final = "3"
"""To be raised when what is written changes."""
_CONVERTED: Final = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model")
_log = logging.getLogger(__name__)


def converted(settings: EmbeddingSettings, model: Path, version: str, threads: int) -> Path:
    """Return the folder of the converted model; convert it if there is none yet, which takes minutes.

    `model` is the folder of the sentence-transformers model, `version` that of OpenVINO.

    Raises:
        OperatorError: it cannot be written where it is to be kept, or cannot be converted.
    """
    cache = settings.openvino.cache_dir or model / _FOLDER
    _remove_abandoned(cache)  # at every start: a worker that is replaced in the middle is soon followed by the last one
    folder = cache / _key(settings, model, version, cache)
    if (folder / _LAST_WRITTEN).is_file():
        return folder
    _log.info("converting the model, once", extra={"action": "converting_model", "folder": str(folder)})
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=_ASIDE) as aside:
            made = Path(aside) / "made"
            made.mkdir()
            _convert(settings, model, made, threads)
            _put(made, folder)
    except OSError as error:
        raise OperatorError(
            f"embedding.openvino.cache_dir: the converted model cannot be kept in {cache} ({error.strerror or error}): "
            "set it to a folder that can be written to, or to one where another start has left it"
        ) from error
    return folder


def _remove_abandoned(cache: Path) -> None:
    """Remove what conversions have left that were ended before their end; another worker's may be at work here."""
    for aside in cache.glob(f"{_ASIDE}*"):
        with contextlib.suppress(OSError):  # somebody else is removing it, or it is somebody else's
            if time.time() - aside.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(aside)


def _put(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        # Another worker was faster, and what it made is as good; or what is there was never finished.
        if not (folder / _LAST_WRITTEN).is_file():
            shutil.rmtree(folder)
            made.rename(folder)


def _key(settings: EmbeddingSettings, model: Path, version: str, cache: Path) -> str:
    """Return a name that differs where the converted model would: bf16 is computed from what fp32 is."""
    digest = hashlib.blake2b(f"{_FORM} {version}".encode(), digest_size=8)
    ours = _ours(model, cache)
    for file in sorted(file for pattern in _CONVERTED for file in model.rglob(pattern)):
        if _FOLDER not in file.relative_to(model).parts and not any(file.is_relative_to(folder) for folder in ours):
            digest.update(str(file.relative_to(model)).encode())
            _add(digest, file)
    if settings.precision != "int8":
        return f"fp32-{version}-{digest.hexdigest()}"
    calibration = settings.openvino.calibration_file or TEXTS
    try:
        texts = read_texts(calibration)
        _add(digest, calibration)
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise OperatorError(
            f"embedding.openvino.calibration_file: cannot read {calibration}: {reason}; give the path of a text file"
        ) from error
    if not texts:
        raise OperatorError(
            f"embedding.openvino.calibration_file: there is no text in {calibration}: write 100 or more, a text a line"
        )
    return f"int8-{version}-{digest.hexdigest()}"


def _ours(model: Path, cache: Path) -> list[Path]:
    """Return the folders below the model's that hold what was converted of it, as paths below `model`."""
    inside, of_model = cache.resolve(), model.resolve()
    if inside == of_model:
        return [folder for kind in ("fp32-", "int8-", _ASIDE) for folder in model.glob(f"{kind}*")]
    return [model / inside.relative_to(of_model)] if inside.is_relative_to(of_model) else []


def _add(digest: "hashlib.blake2b", file: Path) -> None:
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)


def _convert(settings: EmbeddingSettings, model: Path, folder: Path, threads: int) -> None:
    calibration = settings.openvino.calibration_file
    order = Order(
        model=str(model),
        folder=str(folder),
        quantised=settings.precision == "int8",
        calibration=None if calibration is None else str(calibration),
        threads=threads,
    )
    # Nothing is ever written. However this process ends, its end of the pipe is closed, and the program ends as well.
    reading, writing = os.pipe()
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "worker.adapters.openvino_conversion", json.dumps(asdict(order))],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "PYTHONWARNINGS": "ignore",
            },
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode != 0:
        *_, said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise OperatorError(
            f"embedding.backend: the model in {model} cannot be converted for openvino ({said}): set backend to torch, "
            "or another model"
        )
