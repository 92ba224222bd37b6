"""Asks a worker's own HTTP server how it is."""

import asyncio
from http import HTTPStatus
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from worker.adapters.http_body import read_body
from worker.ports import WorkerProbe
from worker.stages.worker_answer import Samples, WorkerAnswer

_SECONDS: Final = 3.0
_LONGEST_REASON: Final = 2000
_LONGEST_METRICS: Final = 16 << 20


class HttpWorkerProbe(WorkerProbe):
    """`ports.WorkerProbe` over HTTP; each question has a connection of its own."""

    @override
    async def ask(self, url: str) -> WorkerAnswer | None:
        limit = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=limit) as session:
                (status, reason), (_, metrics) = await asyncio.gather(
                    _get(session, f"{url}/readyz", _LONGEST_REASON), _get(session, f"{url}/metrics", _LONGEST_METRICS)
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
        ready = status == HTTPStatus.OK
        return WorkerAnswer(ready, "" if ready else " ".join(reason.split()), _samples(metrics))


async def _get(session: aiohttp.ClientSession, url: str, longest: int) -> tuple[int, str]:
    async with session.get(url, allow_redirects=False) as response:
        content = await read_body(response, longest)
        return response.status, content.decode("utf-8", "replace")


def _samples(text: str) -> Samples:
    """Return what is in a page of metrics; {} if it is another page."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    except ValueError:
        return {}
    return found
