"""From the index that is wanted and what exists: the actions that are missing, or the differences that forbid them.

The rule: no document, and no field or alias that exists, is ever changed. What is missing is created; what differs is
reported, all of it at once, and then nothing is done, with one exception: fields of `sync` that the index lacks are
added all the same, since the worker does not start without them. Settings that an operator may tune on a live index
forbid nothing. A plan carried out leaves nothing to plan.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from worker.stages.index_state import (
    Difference,
    IndexDefinition,
    IndexState,
    Json,
    body_differences,
    differences,
    missing_of_sync,
    plain_mappings,
    plain_settings,
    tuned_settings,
    with_sync_fields,
)

_MARK: Final = {"managed_by": "syncline"}
# Above the 100 and the 200 that Elastic's own and most hand-made templates use.
_BASE_PRIORITY: Final = 500


@dataclass(frozen=True, slots=True)
class IndexNames:
    """Every name of one index. All begin with the reader alias, environment included, so environments never mix."""

    reader: str
    writer: str
    first_index: str

    @property
    def component_template(self) -> str:
        """Name of the component template that holds the body."""
        return f"{self.reader}-index"

    @property
    def index_template(self) -> str:
        """Name of the index template for later generations."""
        return self.reader

    @property
    def pattern(self) -> str:
        """What the index template applies to: six digits are spelled as far as wildcards can, so that an unrelated
        `articles-video` is not caught.
        """
        return f"{self.reader}-v0*"

    @property
    def priority(self) -> int:
        """Priority of the index template. It grows with the alias: of two patterns that match one index, the longer
        is the one made for it, and Elasticsearch refuses overlapping patterns of equal priority.
        """
        return _BASE_PRIORITY + len(self.reader)

    def is_generation(self, index: str) -> bool:
        """Whether the index is one of ours: `<reader>-v000001` and so on."""
        return re.fullmatch(rf"{re.escape(self.reader)}-v0\d{{5}}", index) is not None


@dataclass(frozen=True, slots=True)
class Existing:
    """What the server has under the names: indices that are called so or carry such an alias, and both templates."""

    indices: Mapping[str, IndexState]
    component_template: Json | None = None
    index_template: Json | None = None


@dataclass(frozen=True, slots=True)
class PutComponentTemplate:
    """Create the component template, or replace the one that an earlier `apply` made."""

    name: str
    body: Json
    replaces: bool


@dataclass(frozen=True, slots=True)
class PutIndexTemplate:
    """Create the index template, or replace the one that an earlier `apply` made."""

    name: str
    body: Json
    replaces: bool


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create the first index, its aliases with it: there is no moment with one and without the other."""

    name: str
    definition: IndexDefinition
    aliases: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class AddAliases:
    """Add aliases to an index that has the right body."""

    index: str
    aliases: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class AddSyncFields:
    """Add fields of `sync` to the mapping of an index; nothing that is there changes."""

    index: str
    fields: Json


Action = PutComponentTemplate | PutIndexTemplate | CreateIndex | AddSyncFields | AddAliases


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions, in order, and differences; neither if all is as wanted. Beside differences the only action is
    `AddSyncFields`.
    """

    actions: tuple[Action, ...] = ()
    differences: tuple[Difference, ...] = ()
    tuned: tuple[Difference, ...] = ()
    """Settings of the live index that are not as defined, and may stay so."""


def aliases_of(names: IndexNames) -> dict[str, Json]:
    """Return both aliases as they must be: the reader's hides tombstones and refuses writes, the writer's has no
    routing of its own, because a fixed one would refuse every other tenant.
    """
    return {
        names.reader: {
            "filter": {"bool": {"must_not": [{"term": {"sync.deleted": True}}]}},
            "is_write_index": False,
        },
        names.writer: {"is_write_index": True},
    }


def component_template(definition: IndexDefinition) -> Json:
    """Return the component template's body. Settings and mappings go together: Elasticsearch checks each component
    alone, and the mappings name an analyzer of the settings.
    """
    return {"template": {"settings": definition.settings, "mappings": definition.mappings}, "_meta": _MARK}


def index_template(names: IndexNames) -> Json:
    """Return the index template's body. It adds no aliases: a new generation gets them when it is ready."""
    return {
        "index_patterns": [names.pattern],
        "composed_of": [names.component_template],
        "priority": names.priority,
        "_meta": _MARK,
    }


def plan(definition: IndexDefinition, names: IndexNames, existing: Existing) -> Plan:
    """Decide what to do."""
    others = tuple(_template_differences(names, existing))
    taken = tuple(_name_differences(names, existing))
    if taken:
        return Plan(differences=(*others, *taken))
    current = _current_index(names, existing)
    if current is None:
        if others:
            return Plan(differences=others)
        create = CreateIndex(names.first_index, definition, aliases_of(names))
        return Plan(actions=(*_template_actions(definition, names, existing), create))
    state = existing.indices[current]
    fields = tuple(_field_actions(definition, current, state))
    tuned = tuned_settings(current, definition, state)
    found = (*others, *_index_differences(definition, names, current, state))
    if found:
        return Plan(fields, found, tuned)
    templates = _template_actions(definition, names, existing)
    return Plan(actions=(*templates, *fields, *_alias_actions(names, current, state)), tuned=tuned)


def _template_differences(names: IndexNames, existing: Existing) -> Iterator[Difference]:
    templates = {
        f"component template {names.component_template}": existing.component_template,
        f"index template {names.index_template}": existing.index_template,
    }
    for where, template in templates.items():
        if template is not None and not _is_ours(template):
            yield Difference(where, "none, or the one that `apply` made", "a template of another owner")


def _is_ours(template: Json) -> bool:
    meta = template.get("_meta")
    return isinstance(meta, Mapping) and meta.get("managed_by") == _MARK["managed_by"]


def _name_differences(names: IndexNames, existing: Existing) -> Iterator[Difference]:
    """Yield names that are taken for something else."""
    for index, state in existing.indices.items():
        held = [name for name in (names.reader, names.writer) if name in state.aliases]
        if index in (names.reader, names.writer):
            yield Difference(index, "an alias", "an index of that name")
        elif names.first_index in state.aliases:
            yield Difference(names.first_index, "an index", f"an alias of {index}")
        elif held and not names.is_generation(index):
            yield Difference(f"alias {held[0]}", f"an alias of an index such as {names.first_index}", index)
        elif not held and index != names.first_index:
            # What else answers to a name: a data stream, by its backing indices.
            yield Difference(index, "nothing of these names but our own", "an index behind one of them")
    yield from _holder_differences(names, existing)


def _holder_differences(names: IndexNames, existing: Existing) -> Iterator[Difference]:
    """Yield aliases that stand for more than one index, or for two different ones."""
    readers, writers = _holders(names.reader, existing), _holders(names.writer, existing)
    for alias, holders in ((names.reader, readers), (names.writer, writers)):
        if len(holders) > 1:
            yield Difference(f"alias {alias}", "an alias of one index", ", ".join(holders))
    if len(readers) == 1 and len(writers) == 1 and readers != writers:
        yield Difference(f"alias {names.reader}", f"an alias of {writers[0]}, like {names.writer}", readers[0])


def _holders(alias: str, existing: Existing) -> list[str]:
    return sorted(index for index, state in existing.indices.items() if alias in state.aliases)


def _current_index(names: IndexNames, existing: Existing) -> str | None:
    """Return the index that the aliases stand for, whichever generation it is; else the first one, if it exists."""
    holders = _holders(names.writer, existing) or _holders(names.reader, existing)
    if holders:
        return holders[0]
    return names.first_index if names.first_index in existing.indices else None


def _index_differences(
    definition: IndexDefinition, names: IndexNames, index: str, state: IndexState
) -> tuple[Difference, ...]:
    aliases = [
        difference
        for alias, wanted in aliases_of(names).items()
        if alias in state.aliases
        for difference in differences(f"alias {alias}", wanted, state.aliases[alias])
    ]
    fields = missing_of_sync(definition.mappings, state.mappings)
    extended = replace(state, mappings=with_sync_fields(state.mappings, fields))
    return (*body_differences(index, definition, extended), *aliases)


def _template_actions(definition: IndexDefinition, names: IndexNames, existing: Existing) -> Iterator[Action]:
    component = component_template(definition)
    if not _same_template(component, existing.component_template):
        yield PutComponentTemplate(names.component_template, component, existing.component_template is not None)
    index = index_template(names)
    if not _same_template(index, existing.index_template):
        yield PutIndexTemplate(names.index_template, index, existing.index_template is not None)


def _same_template(wanted: Json, found: Json | None) -> bool:
    return found is not None and _plain_template(wanted) == _plain_template(found)


def _plain_template(template: Json) -> dict[str, object]:
    # Newer servers add times of their own, and empty lists where nothing was given.
    plain = {name: value for name, value in template.items() if value and not name.endswith("_date_millis")}
    body = plain.get("template")
    if isinstance(body, Mapping):
        plain["template"] = {
            "settings": plain_settings(body.get("settings", {})),
            "mappings": plain_mappings(body.get("mappings", {})),
        } | {name: value for name, value in body.items() if value and name not in ("settings", "mappings")}
    return plain


def _field_actions(definition: IndexDefinition, index: str, state: IndexState) -> Iterator[Action]:
    if fields := missing_of_sync(definition.mappings, state.mappings):
        yield AddSyncFields(index, fields)


def _alias_actions(names: IndexNames, index: str, state: IndexState) -> Iterator[Action]:
    if missing := {alias: body for alias, body in aliases_of(names).items() if alias not in state.aliases}:
        yield AddAliases(index, missing)
