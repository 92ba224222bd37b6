"""Indices, aliases and templates in memory, with the parts of Elasticsearch's manners that `apply` has to cope with."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from worker.errors import OperatorError, SynclineError
from worker.ports import IndexAdmin
from worker.stages.index_plan import (
    Action,
    AddAliases,
    AddSyncFields,
    CreateIndex,
    Existing,
    IndexNames,
    PutComponentTemplate,
    PutIndexTemplate,
)
from worker.stages.index_state import IndexDefinition, IndexState, Json, plain_settings, with_sync_fields


class FakeIndexAdmin(IndexAdmin):
    """`fail_with` is raised by every call, as a client would that cannot reach its server."""

    def __init__(self) -> None:
        self.state: dict[str, IndexState] = {}
        self.component_templates: dict[str, Json] = {}
        self.index_templates: dict[str, Json] = {}
        self.writes: list[str] = []
        self.fail_with: SynclineError | None = None

    @override
    async def indices(self, names: Sequence[str]) -> Mapping[str, IndexState]:
        self._answer()
        if not names:
            raise ValueError("no names")
        return {name: index for name, index in self.state.items() if {name, *index.aliases} & set(names)}

    @override
    async def component_template(self, name: str) -> Json | None:
        self._answer()
        return self.component_templates.get(name)

    @override
    async def index_template(self, name: str) -> Json | None:
        self._answer()
        return self.index_templates.get(name)

    @override
    async def put_component_template(self, name: str, body: Json) -> None:
        self._write(f"component template {name}")
        self.perform(PutComponentTemplate(name, body, replaces=False))

    @override
    async def put_index_template(self, name: str, body: Json) -> None:
        self._write(f"index template {name}")
        self.perform(PutIndexTemplate(name, body, replaces=False))

    @override
    async def create_index(self, name: str, definition: IndexDefinition, aliases: Mapping[str, Json]) -> None:
        self._write(f"index {name}")
        self.perform(CreateIndex(name, definition, aliases))

    @override
    async def add_sync_fields(self, index: str, fields: Json) -> None:
        self._write(f"fields of {index}")
        self.perform(AddSyncFields(index, fields))

    @override
    async def add_aliases(self, index: str, aliases: Mapping[str, Json]) -> None:
        self._write(f"aliases of {index}")
        self.perform(AddAliases(index, aliases))

    @override
    async def close(self) -> None:
        return

    def existing(self, names: IndexNames) -> Existing:
        wanted = {names.reader, names.writer, names.first_index}
        return Existing(
            indices={name: index for name, index in self.state.items() if {name, *index.aliases} & wanted},
            component_template=self.component_templates.get(names.component_template),
            index_template=self.index_templates.get(names.index_template),
        )

    def perform(self, action: Action) -> None:
        """Do what the server would; a plain function, so that tests of the plan need no event loop."""
        match action:
            case PutComponentTemplate(name, body):
                self.component_templates[name] = _echoed_template(body)
            case PutIndexTemplate(name, body):
                self._refuse_unknown_component(body)
                self.index_templates[name] = {**copy.deepcopy(dict(body)), "created_date_millis": 1}
            case CreateIndex(name, definition, aliases):
                self._create(name, definition, aliases)
            case AddSyncFields(index, fields):
                if index not in self.state:
                    raise OperatorError(f"index_not_found_exception: no such index [{index}]")
                state = self.state[index]
                mappings: dict[str, Any] = copy.deepcopy(dict(with_sync_fields(state.mappings, fields)))
                _drop_defaults(mappings)
                self.state[index] = IndexState(state.aliases, state.settings, mappings)
            case AddAliases(index, aliases):
                if index not in self.state:
                    raise OperatorError(f"index_not_found_exception: no such index [{index}]")
                state = self.state[index]
                self.state[index] = IndexState({**state.aliases, **aliases}, state.settings, state.mappings)

    def _create(self, name: str, definition: IndexDefinition, aliases: Mapping[str, Json]) -> None:
        taken = {*self.state, *(alias for index in self.state.values() for alias in index.aliases)}
        if name in taken:
            raise OperatorError(f"resource_already_exists_exception: index [{name}] already exists")
        if clash := set(aliases) & set(self.state):
            raise OperatorError(f"invalid_alias_name_exception: an index exists with the name {sorted(clash)}")
        added = {"index.uuid": "u1", "index.creation_date": "1", "index.version.created": "9107000"}
        settings = _nested({**plain_settings(definition.settings), **added, "index.provided_name": name})
        mappings = copy.deepcopy(dict(definition.mappings))
        _drop_defaults(mappings)
        self.state[name] = IndexState(copy.deepcopy(dict(aliases)), settings, mappings)

    def _refuse_unknown_component(self, body: Json) -> None:
        composed = body.get("composed_of", [])
        assert isinstance(composed, list)
        if missing := [name for name in composed if name not in self.component_templates]:
            raise OperatorError(f"invalid_index_template_exception: {missing} do not exist")

    def _answer(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def _write(self, what: str) -> None:
        self._answer()
        self.writes.append(what)


def _echoed_template(body: Json) -> Json:
    echoed: dict[str, Any] = copy.deepcopy(dict(body))
    echoed["template"]["settings"] = _nested(plain_settings(echoed["template"]["settings"]))
    # Mappings of a template come back as they were given, those of an index do not.
    return {**echoed, "created_date_millis": 1, "modified_date_millis": 1}


def _nested(flat: Mapping[str, object]) -> dict[str, object]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[last] = value
    return tree


def _drop_defaults(parent: dict[str, Any]) -> None:
    """Change mappings the way a real server does: a boolean `dynamic` is text, some defaults are gone."""
    if isinstance(parent.get("dynamic"), bool):
        parent["dynamic"] = str(parent["dynamic"]).lower()
    for below in ("properties", "fields"):
        for field in parent.get(below, {}).values():
            if field.get("type") == "object":
                del field["type"]
            if field.get("type") == "date" and field.get("format") == "strict_date_optional_time||epoch_millis":
                del field["format"]
            if field.get("type") in ("keyword", "date", "long") and field.get("index") is True:
                del field["index"]
            _drop_defaults(field)
