"""What `syncline status` prints: a table for people, JSON for programs."""

import json
from collections.abc import Iterator
from typing import Any, Final

from worker.control.check_report import finding_lines, plain_section
from worker.control.moments import moment
from worker.control.status import Status
from worker.stages.findings import Level, count_of, counted
from worker.stages.progress import Progress
from worker.stages.worker_answer import WorkerAnswer

_WIDTH: Final = 80
_ROWS: Final = 20
_NUMBERS: Final = 47
"""Columns that the four numbers of a partition take."""


def render(status: Status, group: str) -> str:
    """Return the status as plain text of 80 columns (long names aside), without a final line break."""
    return "\n".join(_lines(status, group))


def _lines(status: Status, group: str) -> Iterator[str]:
    kafka, workers, index = status.sections
    yield f"Kafka, group {group}"
    yield from (line for finding in kafka.findings for line in finding_lines(finding))
    if status.kafka.partitions:
        yield ""
        yield from _table(status.kafka.partitions)
    for section in (workers, index):
        if section.findings:
            yield ""
            yield section.title
            yield from (line for finding in section.findings for line in finding_lines(finding))
    yield ""
    yield _summary(status)


def _table(partitions: tuple[Progress, ...]) -> Iterator[str]:
    shown = sorted(partitions, key=lambda one: (-one.after.lag, one.partition))[:_ROWS]
    yield _row("partition", "committed", "end", "lag", "per s")
    for one in shown:
        look = one.after
        committed = "-" if look.committed is None else f"{look.committed:,}"
        yield _row(one.name, committed, f"{look.end:,}", f"{look.lag:,}", f"{one.rate:,.1f}")
    if left := partitions[len(shown) :]:
        yield f"  and {counted(len(left), 'partition')} with no more than {shown[-1].after.lag:,} waiting"


def _row(name: str, *numbers: str) -> str:
    room = _WIDTH - _NUMBERS - 2
    text = "".join(f"{number:>{width}}" for number, width in zip(numbers, (13, 13, 12, 9), strict=True))
    # A name too long for its column has a line to itself.
    return f"  {name:<{room}}{text}" if len(name) <= room else f"  {name}\n{'':{room + 2}}{text}"


def _summary(status: Status) -> str:
    if status.missing:
        return f"Not there: {', '.join(status.missing)}."
    wrong = count_of(status.sections, Level.FAILURE)
    warnings = count_of(status.sections, Level.WARNING)
    told = "Nothing is wrong" if not wrong else f"{counted(wrong, 'thing')} {'is' if wrong == 1 else 'are'} wrong"
    return f"{told}, {counted(warnings, 'warning')}."


def as_json(status: Status) -> str:
    """Return the status as a JSON object; its `ok` is that of the exit code 0."""
    kafka, index = status.kafka, status.index
    content = {
        "ok": status.ok,
        "at": _time(status.now_ms),
        "missing": list(status.missing),
        "group": None
        if kafka.group is None
        else {
            "state": kafka.group.state,
            "members": [
                {"client": one.client, "host": one.host, "partitions": [f"{t}[{p}]" for t, p in sorted(one.partitions)]}
                for one in kafka.group.members
            ],
        },
        "lag": sum(one.after.lag for one in kafka.partitions),
        "partitions": [_partition(one) for one in kafka.partitions],
        "dead_letters": None
        if kafka.letters is None
        else {
            "topic": kafka.letters.topic,
            "count": kafka.letters.count,
            "newest": _time(kafka.letters.newest_ms),
        },
        "workers": [{"url": one.url, **_worker(one.answer)} for one in status.workers],
        "index": {
            "write_index": index.write_index,
            "reader_indices": list(index.reader_indices),
            "tenant_aliases": index.tenant_aliases,
            "documents": None if index.held is None else index.held.documents,
            "tombstones": None if index.held is None else index.held.tombstones,
        },
        "cluster": None if index.cluster is None else {"status": index.cluster.status, "disks": index.cluster.disks},
        "sections": [plain_section(section) for section in status.sections],
    }
    return json.dumps(content, indent=2)


def _partition(one: Progress) -> dict[str, Any]:
    return {
        "topic": one.partition.topic,
        "partition": one.partition.partition,
        "first": one.after.first,
        "end": one.after.end,
        "committed": one.after.committed,
        "lag": one.after.lag,
        "done_per_second": round(one.rate, 3),
        "added_per_second": round(max(0, one.after.end - one.before.end) / one.seconds, 3),
        "last_done_written": _time(one.times.done_ms),
        "oldest_waiting_written": _time(one.times.next_ms),
    }


def _worker(answer: WorkerAnswer | None) -> dict[str, Any]:
    if answer is None:
        return {"answers": False}
    return {
        "answers": True,
        "ready": answer.ready,
        "reason": answer.reason or None,
        "halts": answer.halts,
        "version": answer.version or None,
        "last_progress": _time(answer.last_progress_ms),
    }


def _time(milliseconds: int | None) -> str | None:
    at = moment(milliseconds)
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
