"""One change at a time, on a worker that has nothing else to do."""

import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

from tests.benchmarks import target
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OURS
from tests.benchmarks.events import TABLE, History, Record
from tests.benchmarks.results import Reach, Result, wrong_documents
from tests.benchmarks.turn import Turn
from tests.e2e import programs
from tests.e2e.process import Scrape
from tests.soak.direct import producer

PAUSE_S: Final = 0.15
_GIVE_UP_S: Final = 60
_CALM_S: Final = 2
"""Before and after a contender is frozen: one that is in the middle of a request would find it timed out."""
_ASK_S: Final = 0.004
"""Asking more often would take the processor from whoever is measured."""
_STAGES: Final = "syncline_stage_duration_seconds"


def rest(bench: Bench) -> Result:
    """From the append to Kafka to Elasticsearch's acknowledgement, beside one `encode` and one index request."""
    count = bench.size(300, 10)
    parts = 1 if bench.quick else 3
    taken: dict[str, list[float]] = {"encode + index": []}
    steps = ""
    runs = {name: Turn(bench.place, name, bench.model, 1) for name in (OURS, *bench.baselines("stream", "loop"))}
    try:
        for name, run in runs.items():
            run.start()
            run.contender.server.pause()
            taken[name] = []
        histories = {name: History() for name in runs}
        for _ in range(parts):
            taken["encode + index"] += _direct(bench, count // parts)
            for name, run in runs.items():
                run.contender.server.resume()
                time.sleep(_CALM_S)
                before = run.contender.scrape()
                taken[name] += asyncio.run(_changes(run, histories[name].inserts(count // parts)))
                if before is not None:
                    steps = _steps(before, run.contender.scrape())
                time.sleep(_CALM_S)
                run.contender.server.pause()
        wrong = {name: run.compare(histories[name].rows()) for name, run in runs.items()}
    finally:
        for run in runs.values():
            run.close()
    base = statistics.median(taken["encode + index"])
    rows = [
        [
            name,
            f"{statistics.median(ms) / base:.2f}x",
            f"{statistics.median(ms):.1f}",
            f"{_p99(ms):.1f}",
            f"{max(ms):.0f}",
            wrong_documents(wrong.get(name)),
        ]
        for name, ms in taken.items()
    ]
    goals = [
        Reach("p50 against one `encode` + one index request", statistics.median(taken[OURS]) / base, 1.5, at_most=True),
        Reach("p99", _p99(taken[OURS]), 250, "ms", at_most=True),
    ]
    how = (
        f"{count} new rows, {PAUSE_S:g} s apart, each from just before its append to Kafka until Elasticsearch has "
        f"acknowledged its document, which is asked for every {1000 * _ASK_S:g} ms: half of that counts against each "
        "but the first. Others are frozen meanwhile."
    )
    result = Result(
        "One change at rest", how, ("", "p50 is", "p50 ms", "p99 ms", "longest ms", "wrong documents"), rows, goals
    )
    result.notes = [f"Steps of the worker on the way of a change, mean: {steps}."]
    result.raw = [{"contender": name, "ms": [round(one, 2) for one in ms]} for name, ms in taken.items()]
    return result


def _steps(before: Scrape, after: Scrape | None) -> str:
    """What each step took, and so what is left to the way through Kafka."""
    assert after is not None
    spent, calls = (after.rise(before, f"{_STAGES}_{part}", "stage") for part in ("sum", "count"))
    return ", ".join(f"{name} {1000 * spent[name] / calls[name]:.1f} ms" for name in spent if calls.get(name))


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def _direct(bench: Bench, count: int) -> list[float]:
    url, index = bench.place.servers.elasticsearch, f"bench-{uuid4().hex[:8]}-direct"
    target.create_plain(url, index)
    rows = [json.loads(one.value or b"null")["after"] for one in History(5).inserts(count + 5)]
    documents = [{name: row[name] for name in ("tenant", "title", "content", "tags", "url")} for row in rows]
    settings = {"MODEL": bench.model, "ELASTICSEARCH": url, "INDEX": index}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.baselines.direct"],
        check=True,
        input=json.dumps(documents),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **programs.environment(), **settings, "PAUSE": str(PAUSE_S)},
    )
    target.remove(url, index)
    taken: list[float] = json.loads(done.stdout)
    return taken[5:]  # the first calls of a model are slow


async def _changes(run: Turn, records: Sequence[Record]) -> list[float]:
    """Milliseconds of each record."""
    url = urlsplit(run.setting.elasticsearch)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 0, timeout=30)
    taken = []
    async with producer(run.setting.kafka) as sender:
        for one in records:
            key = json.loads(one.key)
            id_, routing = run.contender.place((TABLE, key["tenant"], str(key["id"])), key["tenant"])
            path = f"/{run.contender.index_of(TABLE)}/_doc/{quote(id_, safe='')}"
            path += "" if routing is None else f"?routing={quote(routing)}"
            began = time.perf_counter()
            await sender.send_and_wait(run.setting.topics[0].name, key=one.key, value=one.value, partition=0)
            while not _is_there(connection, path):
                assert time.perf_counter() - began < _GIVE_UP_S, run.contender.server.log_tail()
                await asyncio.sleep(_ASK_S)
            taken.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(PAUSE_S)
    connection.close()
    return taken


def _is_there(connection: http.client.HTTPConnection, path: str) -> bool:
    connection.request("HEAD", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status == http.HTTPStatus.OK
