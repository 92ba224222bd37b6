"""The results as Markdown: ratios and goals first, then a table for each scenario."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def rendered(content: Json) -> str:
    """All scenarios of a results file."""
    return "\n".join([*_summary(content["scenarios"]), *_sections(content["scenarios"])]).rstrip() + "\n"


def section(scenario: Json) -> str:
    """One scenario."""
    return "\n".join(_section(scenario))


def _summary(scenarios: Json) -> Iterator[str]:
    yield from ("| scenario | to reach | reached | |", "|---|---|---|---|")
    for one in scenarios.values():
        for goal in one["reach"]:
            yield _goal(one["title"], goal)
    yield ""


def _goal(title: str, goal: Json) -> str:
    sign = "<=" if goal["at_most"] else ">="
    wanted = f"{goal['what']}: {sign} {_figure(goal['goal'])}{_unit(goal['unit'])}"
    if goal["value"] is None:
        return f"| {title} | {wanted} | not measured | |"
    spread = "" if goal["low"] in {None, goal["high"]} else f" ({_figure(goal['low'])} to {_figure(goal['high'])})"
    found = f"**{_figure(goal['value'])}{_unit(goal['unit'])}**{spread}"
    return f"| {title} | {wanted} | {found} | {'yes' if goal['reached'] else 'no'} |"


def _unit(unit: str) -> str:
    return unit if unit in {"", "x"} else f" {unit}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def _sections(scenarios: Json) -> Iterator[str]:
    for one in scenarios.values():
        yield from _section(one)


def _section(one: Json) -> Iterator[str]:
    yield from (f"## {one['title']}", "", one["how"], "")
    yield from _rows(one["columns"], one["rows"])
    yield ""
    yield from (f"- {note}" for note in one["notes"])
    yield from ("", f"{one['at']}, {one['took_s']:,} s, load {one['load_before']} before: `{one['command']}`", "")


def _rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    if not columns:
        return
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
