"""What a worker says of itself at `/readyz` and `/metrics`, and what is to be told of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.stages.findings import Finding, failure, ok, warning
from worker.stages.progress import age

Samples = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Name of a sample -> its labels and value, one entry a series."""

_HALTED: Final = "syncline_halted"
_PROGRESS: Final = "syncline_last_progress_timestamp_seconds"
_BUILD: Final = "syncline_build_info"
_HALT: Final = "halted"
_RUNBOOK: Final = "deploy/README.md"


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """`reason` says why it is not ready; `samples` are its metrics, {} if it shows none."""

    ready: bool
    reason: str
    samples: Samples

    @property
    def is_worker(self) -> bool:
        """Whether a Syncline worker answers, and not something else on its port."""
        return any(name.startswith("syncline_") for name in self.samples)

    @property
    def halts(self) -> list[str]:
        """The reasons for which it is halted."""
        declared = [labels.get("reason", "") for labels, value in self.samples.get(_HALTED, ()) if value]
        return sorted(reason for reason in declared if reason)

    @property
    def last_progress_ms(self) -> int | None:
        """When it made progress last, in milliseconds since 1970; None if it has not since its start."""
        times = [value for _, value in self.samples.get(_PROGRESS, ()) if value]
        return round(1000 * max(times)) if times else None

    @property
    def version(self) -> str:
        """The worker's version; empty before its model is loaded."""
        return next((labels.get("version", "") for labels, _ in self.samples.get(_BUILD, ())), "")


def worker_findings(url: str, answer: WorkerAnswer, now_ms: int) -> Iterator[Finding]:
    """Yield how a worker is."""
    if not answer.is_worker:
        yield failure("worker", f"what answers at {url} is no worker of Syncline", "correct --worker or server.port")
        return
    name = f"{url} ({answer.version})" if answer.version else url
    if answer.halts or answer.reason.startswith(_HALT):
        yield failure("worker", f"{name} is halted: {_why(answer)}", _fix(answer))
    elif not answer.ready:
        yield warning("worker", f"{name} is not ready: {answer.reason}", "look again; if it stays so, see its log")
    else:
        last = answer.last_progress_ms
        told = "no record since its start" if last is None else f"last progress {age(now_ms - last)} ago"
        yield ok("worker", f"{name} is ready; {told}")


def _fix(answer: WorkerAnswer) -> str:
    entries = " and ".join(f"'Halt {reason}'" for reason in answer.halts) or "'Halts'"
    return f"see {entries} in {_RUNBOOK}: what to do, and whether the worker then goes on by itself"


def _why(answer: WorkerAnswer) -> str:
    return answer.reason.partition(f"{_HALT}: ")[2] or answer.reason or ", ".join(answer.halts)
