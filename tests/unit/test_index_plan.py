"""The plan: what is missing is created, what differs is reported, and what is done is not done again."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.index_admin import FakeIndexAdmin
from worker.resources import load_index_definition
from worker.stages.index_plan import (
    AddAliases,
    AddSyncFields,
    CreateIndex,
    Existing,
    IndexNames,
    Plan,
    PutComponentTemplate,
    PutIndexTemplate,
    aliases_of,
    plan,
)
from worker.stages.index_state import Difference, IndexDefinition, IndexState

NAMES = IndexNames("articles", "articles-write", "articles-v000001")
DEFINITION = load_index_definition("articles")


def server(*, index: str = NAMES.first_index, definition: IndexDefinition = DEFINITION) -> FakeIndexAdmin:
    """A server on which all has been applied."""
    admin = FakeIndexAdmin()
    for action in plan(definition, NAMES, Existing({})).actions:
        admin.perform(action)
    admin.state[index] = admin.state.pop(NAMES.first_index)
    return admin


def planned(admin: FakeIndexAdmin, definition: IndexDefinition = DEFINITION) -> Plan:
    return plan(definition, NAMES, admin.existing(NAMES))


def with_mappings(**changes: object) -> IndexDefinition:
    return IndexDefinition(DEFINITION.settings, {**DEFINITION.mappings, **changes})


def with_field(name: str, **body: object) -> IndexDefinition:
    fields = DEFINITION.mappings["properties"]
    assert isinstance(fields, dict)
    return with_mappings(properties={**fields, name: body})


def with_setting(name: str, value: object) -> IndexDefinition:
    return IndexDefinition({**DEFINITION.settings, name: value}, DEFINITION.mappings)


def set_alias(admin: FakeIndexAdmin, index: str, alias: str, body: dict[str, object] | None) -> None:
    """Give an index an alias, or take it away with None."""
    state = admin.state[index]
    kept = {name: value for name, value in state.aliases.items() if name != alias}
    added = {} if body is None else {alias: body}
    admin.state[index] = IndexState({**kept, **added}, state.settings, state.mappings)


def foreign(**aliases: dict[str, object]) -> IndexState:
    return IndexState(aliases, {}, {})


def test_on_an_empty_server_all_is_created_and_templates_come_first() -> None:
    kinds = [type(action) for action in plan(DEFINITION, NAMES, Existing({})).actions]
    assert kinds == [PutComponentTemplate, PutIndexTemplate, CreateIndex]


def test_the_first_index_is_created_with_both_aliases() -> None:
    create = plan(DEFINITION, NAMES, Existing({})).actions[-1]
    assert isinstance(create, CreateIndex)
    assert create.name == "articles-v000001"
    assert create.aliases["articles-write"] == {"is_write_index": True}
    assert create.aliases["articles"] == {
        "filter": {"bool": {"must_not": [{"term": {"sync.deleted": True}}]}},
        "is_write_index": False,
    }


def test_what_is_applied_is_not_applied_again() -> None:
    assert planned(server()) == Plan()


def test_a_later_generation_is_taken_for_the_index() -> None:
    assert planned(server(index="articles-v000007")) == Plan()


def test_an_older_generation_without_aliases_is_left_alone() -> None:
    admin = server(index="articles-v000002")
    admin.state["articles-v000001"] = foreign()
    assert planned(admin) == Plan()


def test_aliases_of_others_on_the_index_are_left_alone() -> None:
    admin = server()
    set_alias(admin, NAMES.first_index, "articles-tenant-acme", {"index_routing": "acme", "search_routing": "acme"})
    assert planned(admin) == Plan()


def test_settings_that_the_definition_does_not_name_are_the_operators() -> None:
    admin = server()
    state = admin.state[NAMES.first_index]
    settings = copy.deepcopy(dict(state.settings))
    settings["index"]["indexing"] = {"slowlog": {"source": "false"}}  # type: ignore[index]
    admin.state[NAMES.first_index] = IndexState(state.aliases, settings, state.mappings)
    assert planned(admin) == Plan()


@pytest.mark.parametrize("alias", ["articles", "articles-write"])
def test_a_missing_alias_is_added(alias: str) -> None:
    admin = server()
    set_alias(admin, NAMES.first_index, alias, None)
    assert planned(admin).actions == (AddAliases(NAMES.first_index, {alias: aliases_of(NAMES)[alias]}),)


def test_a_template_that_somebody_altered_is_put_right() -> None:
    admin = server()
    body = dict(admin.index_templates["articles"])
    admin.index_templates["articles"] = {**body, "priority": 1}
    (action,) = planned(admin).actions
    assert isinstance(action, PutIndexTemplate)
    assert action.replaces


@pytest.mark.parametrize(
    ("definition", "difference"),
    [
        (
            with_field("title", type="keyword"),
            Difference("articles-v000001 mappings.properties.title.type", "keyword", "text"),
        ),
        (
            with_field("author", type="keyword"),
            Difference("articles-v000001 mappings.properties.author", '{"type": "keyword"}', "nothing"),
        ),
        (
            with_mappings(_routing={"required": False}),
            Difference("articles-v000001 mappings._routing.required", "false", "true"),
        ),
        (with_mappings(dynamic=True), Difference("articles-v000001 mappings.dynamic", "true", "strict")),
        (
            with_setting("number_of_shards", 3),
            Difference("articles-v000001 settings.index.number_of_shards", "3", "2"),
        ),
        (
            with_setting("codec", "best_compression"),
            Difference("articles-v000001 settings.index.codec", "best_compression", "nothing"),
        ),
    ],
)
def test_a_definition_that_the_index_does_not_fit_is_a_difference_and_nothing_is_done(
    definition: IndexDefinition, difference: Difference
) -> None:
    found = planned(server(), definition)
    assert difference in found.differences
    assert found.actions == ()


def test_a_field_of_sync_that_only_the_definition_has_is_added() -> None:
    admin = server(definition=without_in_sync("log"))
    fields = planned(admin).actions
    assert fields[-1] == AddSyncFields("articles-v000001", {"log": {"type": "object", "enabled": False}})
    assert [type(action) for action in fields] == [PutComponentTemplate, AddSyncFields]
    for action in fields:
        admin.perform(action)
    assert planned(admin) == Plan()


def test_where_anything_else_differs_fields_of_sync_are_added_all_the_same() -> None:
    """The worker does not start without them, whatever else is not as defined."""
    admin = server(definition=without_in_sync("log"))
    found = planned(admin, with_mappings(dynamic=True))
    assert found.actions == (AddSyncFields("articles-v000001", {"log": {"type": "object", "enabled": False}}),)
    assert [difference.where for difference in found.differences] == ["articles-v000001 mappings.dynamic"]


def test_beside_a_template_of_another_owner_fields_of_sync_are_added() -> None:
    admin = server(definition=without_in_sync("deleted_at"))
    admin.index_templates["articles"] = {"index_patterns": ["articles*"]}
    found = planned(admin)
    assert found.actions == (AddSyncFields("articles-v000001", {"deleted_at": {"type": "date"}}),)
    assert [difference.found for difference in found.differences] == ["a template of another owner"]


def tune(admin: FakeIndexAdmin, **settings: str) -> None:
    state = admin.state[NAMES.first_index]
    index = {**state.settings["index"], **settings}  # type: ignore[dict-item]
    admin.state[NAMES.first_index] = IndexState(state.aliases, {"index": index}, state.mappings)


@pytest.mark.parametrize("name", ["refresh_interval", "number_of_replicas"])
def test_a_setting_that_is_tuned_live_is_told_and_forbids_nothing(name: str) -> None:
    admin = server(definition=without_in_sync("log"))
    tune(admin, **{name: "30"})
    for expected in ([PutComponentTemplate, AddSyncFields], []):
        found = planned(admin)
        assert [type(action) for action in found.actions] == expected
        assert found.differences == ()
        assert [(one.where, one.found) for one in found.tuned] == [(f"articles-v000001 settings.index.{name}", "30")]
        for action in found.actions:
            admin.perform(action)
    assert admin.state[NAMES.first_index].settings["index"][name] == "30"  # type: ignore[index]


@pytest.mark.parametrize("name", ["codec", "gc_deletes", "default_pipeline", "translog.durability"])
def test_a_setting_that_is_fixed_or_concerns_documents_is_a_difference(name: str) -> None:
    found = planned(server(), with_setting(name, "x"))
    assert [one.where for one in found.differences] == [f"articles-v000001 settings.index.{name}"]
    assert found.tuned == ()


def test_a_field_of_sync_that_only_the_index_has_is_a_difference() -> None:
    found = planned(server(), without_in_sync("log"))
    assert [one.where for one in found.differences] == ["articles-v000001 mappings.properties.sync.properties.log"]


def without_in_sync(name: str) -> IndexDefinition:
    mappings: Any = copy.deepcopy(dict(DEFINITION.mappings))
    del mappings["properties"]["sync"]["properties"][name]
    return IndexDefinition(DEFINITION.settings, mappings)


def test_a_field_that_only_the_index_has_is_a_difference() -> None:
    found = planned(server(definition=with_field("author", type="keyword")))
    assert found.differences == (
        Difference("articles-v000001 mappings.properties.author", "nothing", '{"type": "keyword"}'),
    )


def test_another_model_in_meta_is_a_difference() -> None:
    found = planned(server(), with_mappings(_meta={"model": "other", "dimensions": 384, "schema_version": 1}))
    assert [difference.where for difference in found.differences] == ["articles-v000001 mappings._meta.model"]


def test_all_differences_are_reported_at_once() -> None:
    definition = IndexDefinition({"number_of_shards": 3, "refresh_interval": "5s"}, {"dynamic": "strict"})
    found = planned(server(), definition)
    where = [difference.where for difference in found.differences]
    assert "articles-v000001 settings.index.number_of_shards" in where
    assert [one.where for one in found.tuned] == ["articles-v000001 settings.index.refresh_interval"]
    assert "articles-v000001 mappings.properties" in where


@pytest.mark.parametrize(
    ("alias", "body", "where"),
    [
        ("articles-write", {"is_write_index": False}, "alias articles-write.is_write_index"),
        ("articles-write", {}, "alias articles-write.is_write_index"),
        ("articles-write", {"is_write_index": True, "index_routing": "acme"}, "alias articles-write.index_routing"),
        ("articles", {"is_write_index": False}, "alias articles.filter"),
        (
            "articles",
            {"is_write_index": False, "filter": {"term": {"tenant": "acme"}}},
            "alias articles.filter.bool",
        ),
    ],
)
def test_an_alias_with_another_meaning_is_a_difference(alias: str, body: dict[str, object], where: str) -> None:
    admin = server()
    set_alias(admin, NAMES.first_index, alias, body)
    found = planned(admin)
    assert where in [difference.where for difference in found.differences]
    assert found.actions == ()


@pytest.mark.parametrize("name", ["articles", "articles-write"])
def test_an_index_in_the_place_of_an_alias_is_a_difference(name: str) -> None:
    admin = FakeIndexAdmin()
    admin.state[name] = foreign()
    assert planned(admin) == Plan(differences=(Difference(name, "an alias", "an index of that name"),))


def test_an_alias_in_the_place_of_the_index_is_a_difference() -> None:
    admin = FakeIndexAdmin()
    admin.state["somewhere"] = foreign(**{"articles-v000001": {}})
    (difference,) = planned(admin).differences
    assert difference == Difference("articles-v000001", "an index", "an alias of somewhere")


def test_an_alias_of_an_index_that_is_not_ours_is_a_difference() -> None:
    admin = FakeIndexAdmin()
    admin.state["legacy"] = foreign(articles={})
    (difference,) = planned(admin).differences
    assert (difference.where, difference.found) == ("alias articles", "legacy")


def test_an_alias_of_two_indices_is_a_difference() -> None:
    admin = server()
    admin.state["articles-v000002"] = foreign(articles={})
    assert Difference("alias articles", "an alias of one index", "articles-v000001, articles-v000002") in (
        planned(admin).differences
    )


def test_aliases_that_stand_for_different_indices_are_a_difference() -> None:
    admin = server()
    set_alias(admin, NAMES.first_index, "articles", None)
    admin.state["articles-v000002"] = foreign(articles={})
    (difference,) = planned(admin).differences
    assert (difference.where, difference.found) == ("alias articles", "articles-v000002")


def test_a_data_stream_of_the_name_is_a_difference() -> None:
    backing = Existing({".ds-articles-2026.01.01-000001": foreign()})
    (difference,) = plan(DEFINITION, NAMES, backing).differences
    assert difference.where == ".ds-articles-2026.01.01-000001"


def test_a_template_of_another_owner_is_never_overwritten() -> None:
    theirs = {"index_patterns": ["articles*"], "_meta": {"managed_by": "somebody"}}
    for existing in (Existing({}, index_template=theirs), Existing({}, component_template={"template": {}})):
        found = plan(DEFINITION, NAMES, existing)
        assert found.actions == ()
        assert [difference.found for difference in found.differences] == ["a template of another owner"]


def matches(pattern: str, index: str) -> bool:
    prefix, star, rest = pattern.partition("*")
    assert (star, rest) == ("*", ""), "the pattern ends with its only wildcard"
    return index.startswith(prefix)


@pytest.mark.parametrize("index", ["articles-staging-v000001", "articles-video", "articles-v2-v000001", "articles"])
def test_the_template_leaves_other_indices_alone(index: str) -> None:
    assert not matches(NAMES.pattern, index)


ALIASES = st.from_regex(r"[a-z0-9](-v|-v0|0|v|-|\.|[a-z]){0,4}", fullmatch=True)


@given(ALIASES, ALIASES)
def test_of_two_templates_that_match_an_index_its_own_one_wins(one: str, other: str) -> None:
    ours, theirs = (IndexNames(alias, f"{alias}-write", f"{alias}-v000001") for alias in (one, other))
    assert matches(ours.pattern, ours.first_index)
    if one != other and matches(theirs.pattern, ours.first_index):
        assert ours.priority > theirs.priority


SCALARS = st.one_of(st.integers(0, 9), st.booleans(), st.sampled_from(["1s", "-1", "true"]))
SETTINGS = st.dictionaries(
    st.sampled_from(["number_of_shards", "index.number_of_replicas", "refresh_interval", "gc_deletes"]),
    SCALARS | st.lists(SCALARS, max_size=2),
)
LEAVES = st.sampled_from(
    [
        {"type": "keyword"},
        {"type": "keyword", "index": True, "ignore_above": 9},
        {"type": "date", "format": "strict_date_optional_time||epoch_millis"},
        {"type": "text", "fields": {"raw": {"type": "keyword", "index": True}}},
        {"type": "dense_vector", "dims": 4, "index": True, "similarity": "cosine"},
    ]
)
FIELD_NAMES = st.sampled_from(["title", "type", "dynamic", "properties", "index", "sync"])
FIELDS = st.recursive(
    LEAVES,
    lambda fields: st.fixed_dictionaries(
        {"properties": st.dictionaries(FIELD_NAMES, fields, min_size=1)},
        optional={"type": st.just("object"), "dynamic": st.booleans() | st.just("strict")},
    ),
    max_leaves=6,
)
DEFINITIONS = st.builds(
    IndexDefinition,
    SETTINGS,
    st.fixed_dictionaries(
        {"properties": st.dictionaries(FIELD_NAMES, FIELDS)},
        optional={"dynamic": st.booleans(), "_meta": st.just({"schema_version": 1})},
    ),
)


@given(DEFINITIONS, st.data())
def test_a_plan_that_is_carried_out_leaves_nothing_to_plan(definition: IndexDefinition, data: st.DataObject) -> None:
    """From every state that a crash half-way, or somebody tidying up, can leave behind."""
    admin = FakeIndexAdmin()
    first = plan(definition, NAMES, Existing({})).actions
    for action in first[: data.draw(st.integers(0, len(first)), label="steps done before the crash")]:
        admin.perform(action)
    if NAMES.first_index in admin.state:
        for alias in data.draw(st.sets(st.sampled_from([NAMES.reader, NAMES.writer])), label="aliases removed"):
            set_alias(admin, NAMES.first_index, alias, None)

    again = planned(admin, definition)
    assert again.differences == ()
    for action in again.actions:
        admin.perform(action)
    assert planned(admin, definition) == Plan()


@given(DEFINITIONS, DEFINITIONS)
def test_two_definitions_are_equal_or_told_apart(applied: IndexDefinition, wanted: IndexDefinition) -> None:
    """No definition that says something else passes for the one that was applied."""
    found = planned(server(definition=applied), wanted)
    if found.differences:
        assert all(isinstance(action, AddSyncFields) for action in found.actions)
    if not found.differences:
        assert _meaning(wanted.mappings) == _meaning(applied.mappings)


def _meaning(mappings: object) -> object:
    """Field names with their types, which no default can supply."""
    text = json.dumps(mappings, sort_keys=True)
    return sorted(_types(json.loads(text)))


def _types(parent: dict[str, Any], path: str = "") -> list[str]:
    found = []
    for below in ("properties", "fields"):
        for name, field in parent.get(below, {}).items():
            found += [f"{path}.{name}:{field.get('type', 'object')}", *_types(field, f"{path}.{name}")]
    return found
