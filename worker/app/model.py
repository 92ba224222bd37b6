"""The embedding model, before anything slow is tried with it."""

import asyncio
import math

from worker.adapters.model_hub import device_fault, hub_fault, in_cache
from worker.adapters.processor import available_processors, processor_quota
from worker.control.check import refused
from worker.errors import OperatorError
from worker.settings import EmbeddingSettings
from worker.stages.findings import Finding, ok, warning


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


async def refuse_unreachable_model(embedding: EmbeddingSettings) -> None:
    """Refuse a model that would have to come from a hub that does not answer, and a device that is not there.

    Raises:
        OperatorError: naming the setting.
    """
    refuse_missing_model(embedding)
    if (fault := await asyncio.to_thread(device_fault, embedding.device)) is not None:
        raise OperatorError(
            f"embedding.device: {embedding.device} is not there, {fault}: set device: cpu, or mend that"
        )
    if embedding.path is None and not await asyncio.to_thread(in_cache, embedding.model, embedding.revision):
        fault = await asyncio.to_thread(hub_fault)
        if fault is not None:
            raise OperatorError(
                f"embedding.model: {embedding.model} is not in the local cache, and the model hub does not answer "
                f"({fault}): set embedding.path to a folder that holds the model, as 'hf download "
                f"{embedding.model} --local-dir FOLDER' makes one where there is a network"
            )


async def model_findings(embedding: EmbeddingSettings) -> list[Finding]:
    """Return whether the model can be had, and whether it gets the processors that it is to use; it is not loaded."""
    try:
        await refuse_unreachable_model(embedding)
    except OperatorError as error:
        return [refused("model", error)]
    where = f"in {embedding.path}" if embedding.path is not None else "in the local cache or the model hub"
    found = [ok("model", f"{embedding.model} {where}; not loaded here")]
    if embedding.device == "cpu":
        found += thread_findings(embedding.threads, available_processors(), processor_quota())
    return found


def thread_findings(threads: int | None, processors: int, quota: float | None) -> list[Finding]:
    """Return whether the model's threads have the processors that they need: `quota` is the container's limit."""
    used = threads or processors
    allowed = min(processors, quota or processors)
    if used <= max(1, math.ceil(allowed)):
        return []
    return [
        warning(
            "threads",
            f"the model uses {used} threads ({'embedding.threads' if threads else 'the processors seen here'}), but "
            f"may use {allowed:.3g} processors' time here: threads that wait for each other make it slower",
            f"set embedding.threads: {max(1, math.floor(allowed))}, if the worker runs where this was run",
        )
    ]
