"""`syncline apply`: create what is missing of the index, its aliases and templates; change no document, no field."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from worker.control.check_index import unmapped_findings
from worker.ports import IndexAdmin
from worker.resources import load_index_definition
from worker.settings import IndexSettings, SourceSettings
from worker.stages.findings import Finding
from worker.stages.index_plan import (
    Action,
    AddAliases,
    AddSyncFields,
    CreateIndex,
    Existing,
    IndexNames,
    Plan,
    PutComponentTemplate,
    PutIndexTemplate,
    plan,
)
from worker.stages.index_state import Difference, IndexDefinition

_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Report:
    """What `apply` did (or would do, in a dry run), and what stands in the way.

    Differences without `CreateIndex`: nothing was done, but for fields of `sync` that the index lacked. Differences
    after it: what was created is not what was asked for, because something else on the server (another template) has
    a hand in it.
    """

    names: IndexNames
    dry_run: bool
    actions: tuple[Action, ...]
    differences: tuple[Difference, ...]
    unmapped: tuple[Finding, ...] = ()
    """Fields of the sources that the definition does not map; they do not keep the index from being created."""
    tuned: tuple[Difference, ...] = ()
    """Settings of the live index that are not as defined: an operator's, and left as they are."""

    @property
    def ok(self) -> bool:
        """Whether the command may exit with 0."""
        return not self.differences


async def apply(
    admin: IndexAdmin, settings: IndexSettings, *, dry_run: bool, sources: Sequence[SourceSettings] = ()
) -> Report:
    """Bring the server to what the settings say, as far as no document and no field would have to change.

    Safe to repeat, also after a failure half-way.

    Raises:
        OperatorError: the definition cannot be used, or the server refuses a step.
        RetryLater: the server cannot be reached.
        Halt: the credentials are refused, or do not suffice.
    """
    definition = load_index_definition(settings.definition)
    names = names_of(settings)
    unmapped = tuple(unmapped_findings(settings.definition, definition.mappings, sources))
    planned = await _planned(admin, definition, names)
    if dry_run or not planned.actions:
        return Report(names, dry_run, planned.actions, planned.differences, unmapped, planned.tuned)
    for action in planned.actions:
        await _perform(admin, action)
    left = await _planned(admin, definition, names)
    return Report(names, dry_run, planned.actions, left.differences, unmapped, left.tuned)


def names_of(settings: IndexSettings) -> IndexNames:
    """Return the names that the settings ask for."""
    return IndexNames(settings.reader_alias, settings.writer_alias, settings.first_index)


async def _planned(admin: IndexAdmin, definition: IndexDefinition, names: IndexNames) -> Plan:
    existing = Existing(
        indices=await admin.indices([names.reader, names.writer, names.first_index]),
        component_template=await admin.component_template(names.component_template),
        index_template=await admin.index_template(names.index_template),
    )
    return plan(definition, names, existing)


async def _perform(admin: IndexAdmin, action: Action) -> None:
    match action:
        case PutComponentTemplate(name, body):
            await admin.put_component_template(name, body)
        case PutIndexTemplate(name, body):
            await admin.put_index_template(name, body)
        case CreateIndex(name, definition, aliases):
            await admin.create_index(name, definition, aliases)
        case AddSyncFields(index, fields):
            await admin.add_sync_fields(index, fields)
        case AddAliases(index, aliases):
            await admin.add_aliases(index, aliases)
        case _:
            assert_never(action)


def render(report: Report) -> str:
    """Return the report as plain text of at most 80 columns (long names aside), without a final line break."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    names = report.names
    yield from _wrapped(f"Index {names.reader}, written through {names.writer}")
    yield ""
    done = "would" if report.dry_run else "done"
    for action in report.actions:
        yield from _wrapped(f"{done:<6}{_told(action)}", indent="  ", hanging=6)
    if not report.actions and not report.differences:
        yield "  Nothing to do: all of it exists" + ("." if report.tuned else " as defined.")
    if report.differences:
        yield from _difference_lines(report)
    if report.tuned:
        yield ""
        yield from _wrapped(f"note  {_told_tuned(report.tuned)}", indent="  ", hanging=6)
    for finding in report.unmapped:
        yield ""
        yield from _wrapped(f"{'!':<6}{finding.sentence}", indent="  ", hanging=6)
        yield from _wrapped(f"fix   {finding.fix}", indent="  ", hanging=6)


def _told(action: Action) -> str:
    match action:
        case PutComponentTemplate(name, _, replaces):
            return f"{_verb(replaces=replaces)} component template {name}"
        case PutIndexTemplate(name, _, replaces):
            return f"{_verb(replaces=replaces)} index template {name}"
        case CreateIndex(name, _, aliases):
            return f"create index {name} with aliases {', '.join(aliases)}"
        case AddSyncFields(index, fields):
            return f"add to the mapping of {index} the fields {', '.join(f'sync.{name}' for name in fields)}"
        case AddAliases(index, aliases):
            return f"add to {index} the aliases {', '.join(aliases)}"
        case _:
            assert_never(action)


def _told_tuned(tuned: Sequence[Difference]) -> str:
    told = "; ".join(f"{one.where} is {one.found}, and {one.wanted} in index.definition" for one in tuned)
    return f"{told}: left as it is, since it may be tuned on a live index."


def _verb(*, replaces: bool) -> str:
    return "update" if replaces else "create"


def _difference_lines(report: Report) -> Iterator[str]:
    if report.actions:
        yield ""
    for difference in report.differences:
        yield from _wrapped(difference.where, indent="  ")
        yield from _wrapped(f"wanted  {difference.wanted}", indent="    ", hanging=8)
        yield from _wrapped(f"found   {difference.found}", indent="    ", hanging=8)
    yield ""
    if any(isinstance(action, CreateIndex) for action in report.actions):
        advice = "The index is not as defined: look for another index template that matches its name."
    else:
        advice = (
            f"Nothing {'else ' if report.actions else ''}was changed: apply changes no document and no field that "
            "exists. Either take the definition back to what is there, or choose another index.alias, or build a new "
            "index and move the aliases to it."
        )
    yield from _wrapped(advice)


def _wrapped(text: str, *, indent: str = "", hanging: int = 0) -> list[str]:
    rest = indent + " " * hanging
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
