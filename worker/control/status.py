"""`syncline status`: how the group, the workers and the index are now. Reads only: nothing is joined or committed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from worker.control.status_index import IndexStatus
from worker.control.status_kafka import KafkaStatus
from worker.ports import WorkerProbe
from worker.runtime.clock import Clock
from worker.stages.findings import Finding, Level, Section, count_of, failure, note
from worker.stages.worker_answer import WorkerAnswer, worker_findings


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker, by the address that was asked; `answer` None: nothing answers there."""

    url: str
    answer: WorkerAnswer | None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it; `missing` names servers that are not there."""

    now_ms: int
    kafka: KafkaStatus
    workers: tuple[WorkerStatus, ...]
    worker_findings: tuple[Finding, ...]
    index: IndexStatus
    missing: tuple[str, ...] = ()

    @property
    def sections(self) -> tuple[Section, ...]:
        """The findings, server by server."""
        return (
            Section("Kafka", self.kafka.findings),
            Section("Workers", self.worker_findings),
            Section("Elasticsearch", self.index.findings),
        )

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.missing and not count_of(self.sections, Level.FAILURE)


async def worker_status(
    probe: WorkerProbe, urls: Sequence[str], given: Sequence[str], clock: Clock
) -> tuple[tuple[WorkerStatus, ...], list[Finding]]:
    """Ask the workers; one that was `given` on the command line and does not answer is a failure."""
    answers = await asyncio.gather(*(probe.ask(url) for url in urls))
    findings: list[Finding] = []
    for url, answer in zip(urls, answers, strict=True):
        if answer is not None:
            findings += worker_findings(url, answer, clock.wall_ms())
        elif url in given:
            findings.append(failure("worker", f"nothing answers at {url}", "correct --worker, or start the worker"))
        else:
            findings.append(
                note("worker", f"none answers at {url}", "ask one with --worker URL, or run this beside it, in its pod")
            )
    return tuple(map(WorkerStatus, urls, answers)), findings
