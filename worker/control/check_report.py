"""What `syncline check` prints: a table for people, JSON for programs."""

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from worker.control.check import Report
from worker.control.search import printable
from worker.stages.findings import Finding, Level, Section, count_of, counted

_WIDTH: Final = 80
_MARKS: Final = {Level.OK: "ok", Level.NOTE: "note", Level.WARNING: "warning", Level.FAILURE: "FAILS"}
_SUBJECT_AT: Final = 11
_TEXT_AT: Final = 29
_FIX: Final = "fix: "


def render(report: Report) -> str:
    """Return the report as plain text of 80 columns (long names aside), without a final line break."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    for section in report.sections:
        yield section.title
        for finding in section.findings:
            yield from finding_lines(finding)
        yield ""
    yield from textwrap.wrap(_summary(report), _WIDTH)


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield the lines of one finding: its level, its subject, the sentence and the fix below it."""
    head = f"{_MARKS[finding.level]:{_SUBJECT_AT - 2}}{finding.subject:{_TEXT_AT - _SUBJECT_AT}}"
    yield from _wrapped(finding.sentence, f"  {head}")
    if finding.fix:
        yield from _wrapped(finding.fix, f"{_FIX:>{_TEXT_AT}}")


def _wrapped(text: str, first: str) -> list[str]:
    # What stands in a record reaches this text: nothing in it may drive a terminal.
    return textwrap.wrap(
        printable(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * _TEXT_AT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(report: Report) -> str:
    fails = count_of(report.sections, Level.FAILURE)
    warnings = count_of(report.sections, Level.WARNING)
    told = f"{fails or 'nothing'} {'fails' if fails < 2 else 'fail'}, {counted(warnings, 'warning')}"  # noqa: PLR2004
    if report.missing:
        told += f"; not checked, because there is no server: {', '.join(report.missing)}"
    return f"{told[0].upper()}{told[1:]}."


def as_json(report: Report) -> str:
    """Return the report as a JSON object; its `ok` is that of the exit code 0."""
    return json.dumps(
        {
            "ok": report.ok,
            "missing_servers": list(report.missing),
            "failures": count_of(report.sections, Level.FAILURE),
            "warnings": count_of(report.sections, Level.WARNING),
            "sections": [plain_section(section) for section in report.sections],
        },
        indent=2,
    )


def plain_section(section: Section) -> dict[str, object]:
    """Return a section as JSON has it."""
    findings = [
        {"subject": one.subject, "level": one.level.value, "sentence": one.sentence, "fix": one.fix or None}
        for one in section.findings
    ]
    return {"title": section.title, "findings": findings}
