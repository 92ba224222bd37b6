"""What a replay tells: a line a letter, and the counts at the end; as text or as JSON."""

import json
import textwrap
from collections import Counter

from worker.control.dead_letters import as_object, place_of
from worker.control.replay import Outcome, Replayed
from worker.control.search import printable
from worker.stages.dead_letters import Letter


def line(done: Replayed, *, dry_run: bool) -> str:
    """Return one letter's outcome as a line of text, with what there is to say of it below."""
    letter = done.letter
    row = f"{letter.place.document_id} of {letter.place.tenant}" if letter.place is not None else _where(letter)
    outcome = f"would be {done.outcome}" if dry_run and done.outcome is not Outcome.REFUSED else done.outcome
    first = f"{place_of(letter):<8} {outcome:<10} {printable(row)}"
    indent = " " * 9
    below = textwrap.wrap(printable(done.detail), 80, initial_indent=indent, subsequent_indent=indent)
    return "\n".join([first, *below])


def _where(letter: Letter) -> str:
    at = letter.record.position
    return f"{at.topic}[{at.partition}] offset {at.offset}"


def line_json(done: Replayed) -> str:
    """Return one letter's outcome as a JSON object in one line."""
    return json.dumps({"outcome": done.outcome, "detail": done.detail, **as_object(done.letter)})


def summary(counts: Counter[Outcome], *, dry_run: bool, stopped: bool) -> str:
    """Return the counts as a sentence or two."""
    if not counts:
        return "No dead letters that match: nothing to replay."
    lines = [_counted(counts, dry_run=dry_run)]
    if stopped:
        lines.append("Stopped by a signal before the end: run it again for the rest.")
    return "\n".join(lines)


def unread(counts: Counter[Outcome], error: OSError, *, dry_run: bool) -> str:
    """Return what to say of a replay that ended because nobody could be told what becomes of the letters."""
    done = _counted(counts, dry_run=dry_run)
    return f"standard output cannot be written ({error.strerror}), so the replay was stopped; {done}; run it again"


def _counted(counts: Counter[Outcome], *, dry_run: bool) -> str:
    told = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome])
    letters = "dead letter" if counts.total() == 1 else "dead letters"
    return f"{counts.total():,} {letters}{' looked at, nothing written' if dry_run else ''}: {told}"


def summary_json(counts: Counter[Outcome], *, dry_run: bool, stopped: bool) -> str:
    """Return the counts as a JSON object in one line."""
    by_outcome = {outcome.value: counts[outcome] for outcome in Outcome}
    return json.dumps({"summary": by_outcome, "total": counts.total(), "dry_run": dry_run, "stopped": stopped})
