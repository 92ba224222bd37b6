"""What a replay tells: a line a letter, and the counts at the end; as text or as JSON."""

import json
from collections import Counter

from worker.control.dead_letters import as_object, place_of
from worker.control.replay import Outcome, Replayed
from worker.control.search import printable
from worker.stages.dead_letters import Letter


def line(done: Replayed, *, dry_run: bool) -> str:
    """Return one letter's outcome as a line of text."""
    letter = done.letter
    row = f"{letter.place.document_id} of {letter.place.tenant}" if letter.place is not None else _where(letter)
    detail = f": {done.detail}" if done.detail else ""
    outcome = f"would be {done.outcome}" if dry_run and done.outcome is not Outcome.REFUSED else done.outcome
    return f"{place_of(letter):<8} {outcome:<10} {printable(row)}{printable(detail)}"


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
    told = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome])
    lines = [f"{counts.total():,} dead letters{' looked at, nothing written' if dry_run else ''}: {told}"]
    if stopped:
        lines.append("Stopped by a signal before the end: run it again for the rest.")
    return "\n".join(lines)


def summary_json(counts: Counter[Outcome], *, dry_run: bool, stopped: bool) -> str:
    """Return the counts as a JSON object in one line."""
    by_outcome = {outcome.value: counts[outcome] for outcome in Outcome}
    return json.dumps({"summary": by_outcome, "total": counts.total(), "dry_run": dry_run, "stopped": stopped})
