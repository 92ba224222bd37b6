"""One suite for the fake and for the real server: what `apply` and the check at start rely on."""

import copy
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.index_admin import FakeIndexAdmin
from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.errors import OperatorError
from worker.ports import IndexAdmin
from worker.resources import load_index_definition
from worker.settings import ElasticsearchSettings
from worker.stages.index_plan import (
    Existing,
    IndexNames,
    Plan,
    aliases_of,
    component_template,
    index_template,
    plan,
)
from worker.stages.index_state import IndexDefinition, body_differences, tuned_settings

DEFINITION = load_index_definition("articles")


@pytest.fixture
def names() -> IndexNames:
    """Names that no other test and no earlier run has used."""
    alias = f"contract-{secrets.token_hex(6)}"
    return IndexNames(alias, f"{alias}-write", f"{alias}-v000001")


@pytest.fixture(params=["fake", "real"])
async def admin(request: pytest.FixtureRequest, names: IndexNames) -> AsyncIterator[IndexAdmin]:
    if request.param == "fake":
        yield FakeIndexAdmin()
        return
    url = request.getfixturevalue("servers").elasticsearch
    client = build_client(ElasticsearchSettings.model_validate({"hosts": [url]}))
    yield ElasticAdmin(client)
    await client.indices.delete(index=[names.first_index, names.reader], ignore_unavailable=True)
    quiet = client.options(ignore_status=404)
    await quiet.indices.delete_index_template(name=names.index_template)
    await quiet.cluster.delete_component_template(name=names.component_template)
    await client.close()


async def existing(admin: IndexAdmin, names: IndexNames) -> Existing:
    return Existing(
        await admin.indices([names.reader, names.writer, names.first_index]),
        await admin.component_template(names.component_template),
        await admin.index_template(names.index_template),
    )


async def test_where_there_is_nothing_nothing_is_found(admin: IndexAdmin, names: IndexNames) -> None:
    assert await existing(admin, names) == Existing({})


async def test_to_ask_for_no_names_is_a_mistake(admin: IndexAdmin) -> None:
    with pytest.raises(ValueError, match="no names"):
        await admin.indices([])


async def test_what_is_created_leaves_nothing_to_plan(admin: IndexAdmin, names: IndexNames) -> None:
    await admin.put_component_template(names.component_template, component_template(DEFINITION))
    await admin.put_index_template(names.index_template, index_template(names))
    await admin.create_index(names.first_index, DEFINITION, aliases_of(names))
    assert plan(DEFINITION, names, await existing(admin, names)) == Plan()


async def test_an_index_is_found_by_its_name_and_by_each_alias(admin: IndexAdmin, names: IndexNames) -> None:
    await admin.create_index(names.first_index, DEFINITION, aliases_of(names))
    for name in (names.first_index, names.reader, names.writer):
        found = await admin.indices([name, "no-such-index"])
        assert list(found) == [names.first_index]
        assert found[names.first_index].aliases[names.writer] == {"is_write_index": True}


async def test_an_index_cannot_be_created_twice(admin: IndexAdmin, names: IndexNames) -> None:
    await admin.create_index(names.first_index, DEFINITION, {})
    with pytest.raises(OperatorError, match="resource_already_exists_exception"):
        await admin.create_index(names.first_index, DEFINITION, {})


async def test_aliases_are_added_beside_those_there_are(admin: IndexAdmin, names: IndexNames) -> None:
    wanted = aliases_of(names)
    await admin.create_index(names.first_index, DEFINITION, {names.reader: wanted[names.reader]})
    await admin.add_aliases(names.first_index, {names.writer: wanted[names.writer]})
    assert (await admin.indices([names.first_index]))[names.first_index].aliases == wanted


async def test_fields_of_sync_are_added_to_those_there_are(admin: IndexAdmin, names: IndexNames) -> None:
    mappings: Any = copy.deepcopy(dict(DEFINITION.mappings))
    field = mappings["properties"]["sync"]["properties"].pop("log")
    await admin.create_index(names.first_index, IndexDefinition(DEFINITION.settings, mappings), aliases_of(names))
    await admin.add_sync_fields(names.first_index, {"log": field})
    found = (await admin.indices([names.first_index]))[names.first_index]
    assert body_differences(names.first_index, DEFINITION, found) == ()
    assert tuned_settings(names.first_index, DEFINITION, found) == ()


async def test_fields_need_an_index(admin: IndexAdmin, names: IndexNames) -> None:
    with pytest.raises(OperatorError, match="index_not_found_exception"):
        await admin.add_sync_fields(names.first_index, {"log": {"type": "object", "enabled": False}})


async def test_aliases_need_an_index(admin: IndexAdmin, names: IndexNames) -> None:
    with pytest.raises(OperatorError, match="index_not_found_exception"):
        await admin.add_aliases(names.first_index, {names.reader: {}})


async def test_a_template_is_replaced_as_a_whole(admin: IndexAdmin, names: IndexNames) -> None:
    await admin.put_component_template(names.component_template, component_template(DEFINITION))
    small = IndexDefinition({"number_of_shards": 5}, {"dynamic": False})
    await admin.put_component_template(names.component_template, component_template(small))
    await admin.put_index_template(names.index_template, index_template(names))
    await admin.create_index(names.first_index, small, aliases_of(names))
    found = await existing(admin, names)
    assert plan(small, names, found) == Plan()
    where = [difference.where for difference in plan(DEFINITION, names, found).differences]
    assert f"{names.first_index} settings.index.number_of_shards" in where


async def test_a_definition_with_every_kind_of_default_is_recognised(admin: IndexAdmin, names: IndexNames) -> None:
    """Servers drop what says the same as its absence; that must not pass for a difference."""
    wordy = IndexDefinition(
        {"index": {"number_of_shards": "1"}, "index.number_of_replicas": 0},
        {
            "dynamic": False,
            "properties": {
                "word": {"type": "keyword", "index": True, "doc_values": True, "store": False},
                "at": {"type": "date", "format": "strict_date_optional_time||epoch_millis"},
                "inner": {"type": "object", "dynamic": True, "properties": {"type": {"type": "long"}}},
                "vector": {
                    "type": "dense_vector",
                    "dims": 4,
                    "index": True,
                    "similarity": "cosine",
                    "index_options": {"type": "int8_hnsw", "m": 16, "ef_construction": 100},
                },
            },
        },
    )
    await admin.put_component_template(names.component_template, component_template(wordy))
    await admin.put_index_template(names.index_template, index_template(names))
    await admin.create_index(names.first_index, wordy, aliases_of(names))
    assert plan(wordy, names, await existing(admin, names)) == Plan()
