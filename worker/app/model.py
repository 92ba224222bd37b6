"""The embedding model, before anything slow is tried with it, and the embedder that goes with the settings."""

import asyncio
from typing import NamedTuple

from worker.adapters.http_embedder import HttpEmbedder
from worker.adapters.local_embedder import LocalEmbedder
from worker.adapters.model_hub import address_fault, device_fault, hub_fault, in_cache
from worker.adapters.openvino_model import OpenVinoModel, refuse_missing_openvino
from worker.adapters.processor import available_processors
from worker.adapters.sentence_embedder import SentenceEmbedder
from worker.control.check import refused
from worker.errors import OperatorError
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.settings import EmbeddingSettings
from worker.settings.embedding_backends import HttpEmbeddingSettings
from worker.stages.findings import Finding, counted, ok, warning


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


async def refuse_unreachable_model(embedding: EmbeddingSettings) -> None:
    """Refuse a model that would come from a hub that does not answer, and a device or backend that is not there.

    Raises:
        OperatorError: naming the setting.
    """
    refuse_missing_model(embedding)
    if embedding.backend == "http":
        return
    if (fault := address_fault()) is not None:
        raise OperatorError(f"{fault}: correct the variable, or unset it")
    if embedding.backend == "openvino":
        refuse_missing_openvino()
    if (fault := await asyncio.to_thread(device_fault, embedding.device)) is not None:
        raise OperatorError(
            f"embedding.device: {embedding.device} is not there, {fault}: set device: cpu, or mend that"
        )
    if embedding.path is None and not await asyncio.to_thread(in_cache, embedding.model, embedding.revision):
        fault = await asyncio.to_thread(hub_fault)
        if fault is not None:
            raise OperatorError(
                f"embedding.model: {embedding.model} is not in the local cache, or not all of it, and the model hub "
                f"does not answer ({fault}): set embedding.path to a folder that holds the model, as 'hf download "
                f"{embedding.model} --local-dir FOLDER' makes one where there is a network"
            )


class ModelReport(NamedTuple):
    """What was found, and the length of vectors where a server has told it."""

    findings: list[Finding]
    dimensions: int | None = None


async def check_model(embedding: EmbeddingSettings) -> ModelReport:
    """Return whether the model can be had, and whether it gets the processors that it is to use; it is not loaded."""
    try:
        await refuse_unreachable_model(embedding)
        if embedding.backend == "http":
            return await _served_model(embedding)
    except OperatorError as error:
        return ModelReport([refused("model", error)])
    where = f"in {embedding.path}" if embedding.path is not None else "in the local cache or the model hub"
    found = [ok("model", f"{embedding.model} {where}; not loaded here")]
    if embedding.device == "cpu":
        found += thread_findings(embedding.threads, available_processors())
    return ModelReport(found)


async def _served_model(embedding: EmbeddingSettings) -> ModelReport:
    """A server is asked, which costs two short texts; a model of this process would take seconds to load."""
    embedder = HttpEmbedder(embedding)
    try:
        await embedder.start()
    finally:
        await embedder.close()
    told = f"{embedding.model} at {embedding.http.endpoint}; vectors of {embedder.dimensions} dimensions"
    found = [ok("model", told), *key_findings(embedding.http)]
    if embedder.other_model is not None:
        found.append(
            warning(
                "model",
                f"the server says that it runs {embedder.other_model}, and documents would carry {embedding.model}",
                "set embedding.model to what it runs, or leave it if that is the folder where it has this model",
            )
        )
    return ModelReport(found, embedder.dimensions)


def key_findings(http: HttpEmbeddingSettings) -> list[Finding]:
    """Return whether a key is sent, and with it texts, where others may read it; not on this machine."""
    if http.url is None or http.url.scheme == "https" or (http.api_key is None and http.api_key_file is None):
        return []
    host = (http.url.host or "").strip("[]")
    if host in {"localhost", "::1"} or host.startswith("127."):
        return []
    return [
        warning(
            "key",
            f"the key of {http.endpoint} is sent without TLS: whoever sees the connection can read it, and the texts",
            "give embedding.http.url with https, and ca_file if the authority is your own",
        )
    ]


def thread_findings(threads: int | None, processors: int) -> list[Finding]:
    """Return whether the threads that are asked for have processors, of those that the container may keep busy."""
    if threads is None or threads <= processors:
        return []
    return [
        warning(
            "threads",
            f"embedding.threads is {threads}, but {counted(processors, 'processor')} may be kept busy here: threads "
            "that wait for each other make the model slower",
            "leave embedding.threads out, if the worker runs where this was run: it takes as many as there are",
        )
    ]
