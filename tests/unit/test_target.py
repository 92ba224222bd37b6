"""The write target at start: what would make every write fail is one sentence, what is only odd is a warning."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.fakes.index_admin import FakeIndexAdmin
from worker.control.apply import apply, render
from worker.control.explaining import explained
from worker.control.target import check_moved_alias, check_target
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.settings import ElasticsearchSettings, IndexSettings, Settings
from worker.settings.sources import SourceSettings
from worker.stages.documents import SYNC_FIELDS
from worker.stages.index_state import IndexDefinition, IndexState, Json

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
INDEX = "articles-v000001"
WRITE = "articles-write"


def settings(**elasticsearch: object) -> Settings:
    source = SourceSettings(
        name="articles", topics=["t"], id=["id"], tenant="tenant", fields={"title": "title"}, embed=["title"]
    )
    return Settings(sources=[source], elasticsearch=ElasticsearchSettings.model_validate(elasticsearch))


async def applied() -> FakeIndexAdmin:
    admin = FakeIndexAdmin()
    report = await apply(admin, IndexSettings(), dry_run=False)
    assert report.ok
    return admin


def change(admin: FakeIndexAdmin, *, alias: dict[str, Any] | None = None, **mappings: object) -> None:
    state = admin.state[INDEX]
    aliases = state.aliases if alias is None else {WRITE: alias}
    admin.state[INDEX] = IndexState(aliases, state.settings, {**state.mappings, **mappings})


async def refusal(admin: FakeIndexAdmin, dimensions: int = 384) -> str:
    with pytest.raises(OperatorError) as refused:
        await check_target(admin, settings(), dimensions, MODEL)
    return str(refused.value)


async def test_what_apply_creates_is_a_fit_target() -> None:
    assert await check_target(await applied(), settings(), 384, MODEL) == []


async def test_only_the_write_alias_is_asked_for() -> None:
    """The worker's privileges name the write alias; asking for anything else would be refused."""
    asked: list[str] = []

    class Listening(FakeIndexAdmin):
        @override
        async def indices(self, names: Sequence[str]) -> Mapping[str, IndexState]:
            asked.extend(names)
            return await super().indices(names)

    admin = Listening()
    admin.state = (await applied()).state
    await check_target(admin, settings(), 384, MODEL)
    assert asked == [WRITE]


async def test_a_missing_alias_names_the_command_that_creates_it() -> None:
    assert "articles-write does not exist: create it with 'syncline apply'" in await refusal(FakeIndexAdmin())


async def test_an_index_in_the_alias_place_is_refused() -> None:
    admin = FakeIndexAdmin()
    admin.state[WRITE] = IndexState({}, {}, {})
    assert "articles-write is an index, but must be an alias" in await refusal(admin)


async def test_two_indices_need_a_write_index() -> None:
    admin = await applied()
    change(admin, alias={})
    admin.state["articles-v000002"] = IndexState({WRITE: {}}, {}, {})
    assert "no write index among articles-v000001, articles-v000002" in await refusal(admin)


async def test_beside_the_write_index_there_must_be_no_other() -> None:
    """Elasticsearch looks no document up through an alias of two indices."""
    admin = await applied()
    admin.state["articles-v000002"] = IndexState({WRITE: {"is_write_index": False}}, {}, {})
    sentence = await refusal(admin)
    assert "leads to other indices beside articles-v000001" in sentence
    assert sentence.endswith("remove it from articles-v000002")


async def test_a_lone_index_without_a_flag_is_the_write_index() -> None:
    admin = await applied()
    change(admin, alias={})
    assert await check_target(admin, settings(), 384, MODEL) == []


async def test_a_lone_index_that_is_flagged_off_is_none() -> None:
    admin = await applied()
    change(admin, alias={"is_write_index": False})
    assert "no write index among articles-v000001" in await refusal(admin)


async def test_a_fixed_routing_would_refuse_other_tenants() -> None:
    admin = await applied()
    change(admin, alias={"is_write_index": True, "index_routing": "acme"})
    assert "fixed routing 'acme'" in await refusal(admin)


@pytest.mark.parametrize(
    "own", [{"search_routing": "acme"}, {"filter": {"exists": {"field": "tenant"}}}], ids=["routing", "filter"]
)
async def test_what_narrows_a_search_would_hide_rows_that_have_moved(own: dict[str, object]) -> None:
    admin = await applied()
    change(admin, alias={"is_write_index": True, **own})
    assert f"has a {next(iter(own))}, so the worker would not find all documents" in await refusal(admin)


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ({"enabled": False}, False),
        ({"enabled": "false"}, False),
        ({"includes": ["title"]}, False),
        ({"excludes": ["content", "embedding"]}, False),
        ({"excludes": ["embedding"]}, True),
        ({"enabled": True, "includes": [], "excludes": []}, True),
    ],
)
async def test_values_that_events_leave_out_must_be_kept_in_the_source(
    source: dict[str, object], *, fits: bool
) -> None:
    admin = await applied()
    change(admin, _source=source)
    if fits:
        assert await check_target(admin, settings(), 384, MODEL) == []
    else:
        assert "articles-v000001 does not keep the whole _source" in await refusal(admin)


@pytest.mark.parametrize("name", ["default_pipeline", "final_pipeline"])
async def test_an_ingest_pipeline_is_a_warning(name: str) -> None:
    admin = await applied()
    tune(admin, **{name: "enrich"})
    (warning,) = await check_target(admin, settings(), 384, MODEL)
    assert f"articles-v000001 has index.{name} enrich" in warning
    await check_moved_alias(admin, settings(), 384, MODEL)
    tune(admin, **{name: "_none"})
    assert await check_target(admin, settings(), 384, MODEL) == []


async def test_an_alias_that_is_moved_while_the_worker_runs_may_lead_to_an_index_that_fits() -> None:
    await check_moved_alias(await applied(), settings(), 384, MODEL)


@pytest.mark.parametrize(
    ("mappings", "told"),
    [
        ({"_meta": {"model": "another"}}, "was moved while the worker ran, and articles-v000001 was made for vectors"),
        ({"_meta": {}}, "does not say in _meta.model"),
        ({"_routing": {}}, "does not require routing"),
    ],
)
async def test_an_alias_that_is_moved_to_an_index_for_another_model_halts_the_worker(
    mappings: dict[str, Any], told: str
) -> None:
    admin = await applied()
    change(admin, **mappings)
    with pytest.raises(Halt) as halt:
        await check_moved_alias(admin, settings(), 384, MODEL)
    assert halt.value.reason is HaltReason.TARGET_MISCONFIGURED
    assert told in str(halt.value)


@pytest.mark.parametrize("fault", [RetryLater(RetryReason.TIMEOUT, "slow"), Halt(HaltReason.FORBIDDEN, "403")])
async def test_where_a_moved_alias_cannot_be_checked_the_fault_is_as_that_of_any_request(
    fault: RetryLater | Halt,
) -> None:
    admin = await applied()
    admin.fail_with = fault
    with pytest.raises(type(fault)) as raised:
        await check_moved_alias(admin, settings(), 384, MODEL)
    assert raised.value is fault


@pytest.mark.parametrize("routing", [None, {}, {"required": False}, {"required": "false"}])
async def test_routing_must_be_required(routing: object) -> None:
    admin = await applied()
    change(admin, _routing=routing)
    assert "does not require routing" in await refusal(admin)


@pytest.mark.parametrize("properties", [None, {}, {"embedding": {"type": "float"}}])
async def test_the_vector_field_must_be_there(properties: object) -> None:
    admin = await applied()
    change(admin, properties=properties)
    assert "no dense_vector field 'embedding'" in await refusal(admin)


@pytest.mark.parametrize("name", SYNC_FIELDS)
async def test_an_index_of_an_earlier_version_lacks_a_field_that_apply_adds(name: str) -> None:
    admin = await applied()
    without_in_sync(admin, name)
    sentence = await refusal(admin)
    assert f"articles-v000001 has no field 'sync.{name}'" in sentence
    assert sentence.endswith("run 'syncline apply', which adds it from index.definition")
    report = await apply(admin, IndexSettings(), dry_run=False)
    assert report.ok
    told = " ".join(render(report).split())
    assert f"done add to the mapping of articles-v000001 the fields sync.{name}" in told
    assert await check_target(admin, settings(), 384, MODEL) == []


async def test_beside_a_setting_that_is_tuned_live_apply_adds_the_field_and_succeeds() -> None:
    admin = await applied()
    without_log_place(admin)
    tune(admin, refresh_interval="30s")
    report = await apply(admin, IndexSettings(), dry_run=False)
    assert report.ok
    told = " ".join(render(report).split())
    assert "done add to the mapping of articles-v000001 the fields sync.log" in told
    assert "note articles-v000001 settings.index.refresh_interval is 30s, and 1s in index.definition: left" in told
    assert await check_target(admin, settings(), 384, MODEL) == []
    assert "Nothing to do: all of it exists. note" in " ".join(
        render(await apply(admin, IndexSettings(), dry_run=False)).split()
    )


async def test_beside_a_difference_apply_adds_the_field_and_fails() -> None:
    admin = await applied()
    without_log_place(admin)
    change(admin, dynamic="true")
    would = await apply(admin, IndexSettings(), dry_run=True)
    report = await apply(admin, IndexSettings(), dry_run=False)
    for one, verb in ((would, "would"), (report, "done")):
        told = " ".join(render(one).split())
        assert not one.ok
        assert f"{verb} add to the mapping of articles-v000001 the fields sync.log" in told
        assert "articles-v000001 mappings.dynamic wanted strict found true" in told
        assert "Nothing else was changed" in told
    assert await check_target(admin, settings(), 384, MODEL) == []


def tune(admin: FakeIndexAdmin, **values: str) -> None:
    state = admin.state[INDEX]
    index: Any = state.settings["index"]
    admin.state[INDEX] = IndexState(state.aliases, {"index": {**index, **values}}, state.mappings)


@pytest.mark.parametrize("dynamic", [True, False, "true", "runtime"])
async def test_where_sync_takes_any_field_none_is_asked_for(dynamic: object) -> None:
    admin = await applied()
    without_log_place(admin, dynamic=dynamic)
    assert await check_target(admin, settings(), 384, MODEL) == []


async def test_fields_that_lack_are_told_at_once() -> None:
    admin = await applied()
    without_in_sync(admin, "deleted_at")
    without_in_sync(admin, "log")
    sentence = await refusal(admin)
    assert "has no fields 'sync.deleted_at', 'sync.log': run 'syncline apply', which adds them" in sentence


def without_log_place(admin: FakeIndexAdmin, dynamic: object = "strict") -> None:
    without_in_sync(admin, "log", dynamic)


def without_in_sync(admin: FakeIndexAdmin, name: str, dynamic: object = "strict") -> None:
    mappings: Any = copy.deepcopy(dict(admin.state[INDEX].mappings))
    del mappings["properties"]["sync"]["properties"][name]
    mappings["properties"]["sync"]["dynamic"] = dynamic
    change(admin, properties=mappings["properties"])


async def test_other_dimensions_name_both_numbers_and_the_setting() -> None:
    sentence = await refusal(await applied(), dimensions=768)
    assert "vectors of 384 dimensions and the model makes 768" in sentence
    assert "embedding.model" in sentence


@pytest.mark.parametrize(
    ("in_mapping", "of_embedder", "warnings"),
    [
        ("m", "m", 0),
        ("m", "m@abc", 0),
        ("m@abc", "m@abc", 0),
        ("m@abc", "m@def", 1),
        ("m@abc", "m", 1),
        ("m", "n", 1),
        ("m", "n@m", 1),
        ("m", "m@abc#int8", 0),
        ("m@abc", "m@abc#int8", 0),
        ("m", "m@abc#document", 0),
        ("m@abc", "m@abc#document#int8", 0),
    ],
)
async def test_another_model_is_a_warning(in_mapping: str, of_embedder: str, warnings: int) -> None:
    admin = await applied()
    change(admin, _meta={"model": in_mapping})
    found = await check_target(admin, settings(), 384, of_embedder)
    assert len(found) == warnings
    assert all(in_mapping in warning and of_embedder in warning for warning in found)


async def test_a_mapping_without_a_model_is_a_warning() -> None:
    admin = await applied()
    change(admin, _meta={})
    (warning,) = await check_target(admin, settings(), 384, MODEL)
    assert "does not say in _meta.model" in warning


@pytest.mark.parametrize(
    ("fault", "elasticsearch", "named"),
    [
        (RetryLater(RetryReason.CONNECTION, "refused"), {}, "elasticsearch.hosts"),
        (RetryLater(RetryReason.TIMEOUT, "slow"), {}, "elasticsearch.request_timeout"),
        (RetryLater(RetryReason.UNREADABLE_RESPONSE, "html"), {}, "the port in elasticsearch.hosts"),
        (RetryLater(RetryReason.SERVER_ERROR, "503"), {}, "try again"),
        (RetryLater(RetryReason.REJECTED, "429"), {}, "try again"),
        (Halt(HaltReason.UNAUTHENTICATED, "401"), {}, "none is set"),
        (Halt(HaltReason.UNAUTHENTICATED, "401"), {"api_key": "k"}, "check elasticsearch.api_key ("),
        (Halt(HaltReason.UNAUTHENTICATED, "401"), {"api_key_file": Path("key")}, "elasticsearch.api_key_file (key)"),
        (Halt(HaltReason.FORBIDDEN, "403"), {"username": "u", "password": "p"}, "elasticsearch.password"),
        (Halt(HaltReason.FORBIDDEN, "403"), {"username": "u", "password_file": Path("f")}, "password_file"),
    ],
)
async def test_a_server_that_does_not_answer_is_named_with_the_setting_to_change(
    fault: RetryLater | Halt, elasticsearch: dict[str, Any], named: str
) -> None:
    admin = await applied()
    admin.fail_with = fault
    with pytest.raises(OperatorError) as refused:
        await check_target(admin, settings(hosts=["http://search-1:9200"], **elasticsearch), 384, MODEL)
    sentence = str(refused.value)
    assert "http://search-1:9200" in sentence
    assert named in sentence
    assert str(fault) in sentence


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), explained(ElasticsearchSettings()):
        raise KeyError


async def test_a_dry_run_writes_nothing_and_says_what_it_would() -> None:
    admin = FakeIndexAdmin()
    report = await apply(admin, IndexSettings(environment="staging"), dry_run=True)
    assert admin.writes == []
    assert "would create index articles-staging-v000001" in render(report)


async def test_apply_twice_writes_once() -> None:
    admin = await applied()
    admin.writes.clear()
    report = await apply(admin, IndexSettings(), dry_run=False)
    assert admin.writes == []
    assert report.ok
    assert "Nothing to do" in render(report)


async def test_differences_stop_everything_and_are_rendered_in_80_columns() -> None:
    admin = await applied()
    del admin.index_templates["articles"]
    admin.writes.clear()
    change(admin, dynamic="true", properties={"title": {"type": "text", "analyzer": "standard", "boost": 1.5}})
    report = await apply(admin, IndexSettings(), dry_run=False)
    assert admin.writes == []
    assert not report.ok
    text = render(report)
    assert "  articles-v000001 mappings.dynamic\n    wanted  strict\n    found   true" in text
    assert "Nothing was changed" in text
    assert max(map(len, text.splitlines())) <= 80


async def test_a_hand_of_somebody_else_in_the_new_index_is_found() -> None:
    """Another template may add to what `apply` creates; then it must not be called done."""

    class Meddled(FakeIndexAdmin):
        @override
        async def create_index(self, name: str, definition: IndexDefinition, aliases: Mapping[str, Json]) -> None:
            await super().create_index(name, definition, aliases)
            change(self, dynamic="true")

    report = await apply(Meddled(), IndexSettings(), dry_run=False)
    assert not report.ok
    assert "another index template" in render(report)
