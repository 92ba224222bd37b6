"""What a check found, as values: one line each of the table that `syncline check` prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. Only a failure changes the exit code."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at (two words or so), how it stands, and for what is not as it should be, what to change."""

    subject: str
    level: Level
    sentence: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings about one server or one source."""

    title: str
    findings: tuple[Finding, ...]


def ok(subject: str, sentence: str) -> Finding:
    """Return what is as it should be."""
    return Finding(subject, Level.OK, sentence)


def note(subject: str, sentence: str, fix: str = "") -> Finding:
    """Return what is good to know, or could not be looked at."""
    return Finding(subject, Level.NOTE, sentence, fix)


def warning(subject: str, sentence: str, fix: str) -> Finding:
    """Return what loses or delays something in some cases."""
    return Finding(subject, Level.WARNING, sentence, fix)


def failure(subject: str, sentence: str, fix: str) -> Finding:
    """Return what stops the worker, or loses something for sure."""
    return Finding(subject, Level.FAILURE, sentence, fix)


def count_of(sections: Iterable[Section], level: Level) -> int:
    """Return how many findings are of a level."""
    return sum(finding.level is level for section in sections for finding in section.findings)


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 record`, `1,200 records`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return names as a sentence lists them, cut where there are many."""
    shown: Sequence[str] = sorted(names)
    more = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {more} more" if more > 0 else "")
