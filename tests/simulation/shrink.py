"""A failing story made short: steps are left out and surroundings made simpler as long as it fails in the same way.

Delta debugging (Zeller's ddmin) over the list of steps, then one field at a time; again until nothing more can go.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from tests.simulation.invariants import Violation
from tests.simulation.perform import perform
from tests.simulation.story import Step, Story, Surroundings

MOST_TRIES: Final = 2000
Fails = Callable[[Story], Violation | None]


def violated(story: Story) -> Violation | None:
    """Return what a story violates."""
    return perform(story).violation


def shrink(story: Story, violation: Violation, fails: Fails = violated) -> tuple[Story, Violation]:
    """Return the shortest story found that violates the same invariant, and how."""
    return _Shrinking(story, violation, fails).result()


class _Shrinking:
    def __init__(self, story: Story, violation: Violation, fails: Fails) -> None:
        self._story = story
        self._violation = violation
        self._fails = fails
        self._tries = 0

    def result(self) -> tuple[Story, Violation]:
        before = None
        while before != self._story and self._tries < MOST_TRIES:
            before = self._story
            self._leave_out_steps()
            self._try_each(_simpler_surroundings)
            self._try_each(_simpler_steps)
        return self._story, self._violation

    def _still_fails(self, story: Story) -> bool:
        self._tries += 1
        found = self._fails(story)
        if found is None or found.invariant != self._violation.invariant:
            return False
        self._story, self._violation = story, found
        return True

    def _leave_out_steps(self) -> None:
        size = max(1, len(self._story.steps) // 2)
        while size and self._tries < MOST_TRIES:
            start = 0
            while start < len(self._story.steps):
                steps = self._story.steps[:start] + self._story.steps[start + size :]
                if not self._still_fails(replace(self._story, steps=steps)):
                    start += size
            size //= 2

    def _try_each(self, simpler: Callable[[Story], Iterator[Story]]) -> None:
        improved = True
        while improved and self._tries < MOST_TRIES:
            improved = any(self._still_fails(story) for story in simpler(self._story))


def _simpler_surroundings(story: Story) -> Iterator[Story]:
    default, now = Surroundings(), story.surroundings
    for one in fields(Surroundings):
        if one.name != "schema" and getattr(now, one.name) != getattr(default, one.name):
            yield replace(story, surroundings=replace(now, **{one.name: getattr(default, one.name)}))
    if now.latency > 1:
        yield replace(story, surroundings=replace(now, latency=1))
    schema = now.schema
    simpler = (replace(schema, partitions=1), replace(schema, toast=False), replace(schema, global_ids=False))
    yield from (replace(story, surroundings=replace(now, schema=one)) for one in simpler if one != schema)


def _simpler_steps(story: Story) -> Iterator[Story]:
    for number, step in enumerate(story.steps):
        for simpler in _simpler(step):
            steps: Sequence[Step] = (*story.steps[:number], simpler, *story.steps[number + 1 :])
            yield replace(story, steps=tuple(steps))


def _simpler(step: Step) -> Iterator[Step]:
    for one in fields(Step):
        if one.name not in {"what", "kind", "tenant", "to"} and getattr(step, one.name) != one.default:
            default: Any = one.default
            yield replace(step, **{one.name: default})
    if step.count > 1:
        yield replace(step, count=step.count // 2)
