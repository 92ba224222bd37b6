"""A tenant in the Kafka key: of a delete it may be made up, as real Debezium does it with `message.key.columns`.

What stands in these keys was seen on PostgreSQL 18 with Debezium 3.3, `message.key.columns=table:tenant,id`, the
primary key without the tenant, and the default replica identity.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from tests.builders import event, key_place, place, record, row, rules
from tests.fakes.world import RULES, TOPIC, World
from worker.errors import RejectReason
from worker.records import Change, ColumnType, ItemResponse, Operation, Rejection, RowChange, TopicPartition
from worker.settings import DeliverySettings
from worker.stages.coalesce import coalesce
from worker.stages.mapping import RowMapper
from worker.stages.rules import Locate, SourceRules, TenantInKey
from worker.stages.tenants import looks_made_up

AUTO: Final = rules()
PRIMARY_KEY: Final = replace(AUTO, tenant_in_key=TenantInKey.PRIMARY_KEY)
MESSAGE_KEY: Final = replace(AUTO, tenant_in_key=TenantInKey.MESSAGE_KEY)
FULL: Final = rules(trusts_before=True)


def mapped(change: RowChange, given: SourceRules = AUTO) -> Change | Rejection:
    found = RowMapper(given).map(record(), change, 0)
    assert isinstance(found, (Change, Rejection))
    return found


def sound(change: RowChange, given: SourceRules = AUTO) -> Change:
    found = mapped(change, given)
    assert isinstance(found, Change), found
    return found


def delete(tenant: object, columns: Mapping[str, ColumnType] | None = None, **more: Any) -> RowChange:  # noqa: ANN401
    return RowChange(Operation.DELETE, {"tenant": tenant, "id": 1}, {}, {}, 7, None, columns, **more)


def upsert(tenant: object, **more: Any) -> RowChange:  # noqa: ANN401
    return RowChange(Operation.UPSERT, {"tenant": tenant, "id": 1}, row(1, tenant), {}, 7, None, **more)


# --- what a tenant that was made up looks like


@pytest.mark.parametrize("value", [None, "", " ", 0, 0.0, False, "AA==", "0", "00000000-0000-0000-0000-000000000000"])
def test_these_stand_for_a_column_that_was_not_logged(value: object) -> None:
    assert looks_made_up(value, None)


def test_and_so_does_the_default_of_the_column_where_the_schema_tells_it() -> None:
    assert looks_made_up(7, ColumnType("int32", default=7))
    assert not looks_made_up(3, ColumnType("int32", default=7))
    assert not looks_made_up(7, None)


@pytest.mark.parametrize("value", [1, -1, "acme", "00", [0], {"a": 0}])
def test_other_values_do_not(value: object) -> None:
    assert not looks_made_up(value, ColumnType("int32"))


# --- nothing declared


@pytest.mark.parametrize("value", [None, "", " ", False])
def test_a_delete_whose_key_holds_what_can_be_no_tenant_is_rejected_with_the_remedies(value: object) -> None:
    found = mapped(delete(value))
    assert isinstance(found, Rejection)
    assert found.reason is RejectReason.TENANT_UNKNOWN
    assert all(
        words in found.message
        for words in ("REPLICA IDENTITY FULL", "tenant_in_key: primary_key", "message_key if it is not")
    )


def test_a_tenant_that_looks_made_up_is_doubted() -> None:
    found = sound(delete(0))
    assert (found.place, found.key) == (place("0"), "articles/~0/1")
    assert found.doubt is not None
    assert found.doubt.reason is RejectReason.TENANT_UNKNOWN
    assert "has 0 for tenant column 'tenant'" in found.doubt.message
    assert len(found.doubt.message) < 500


@pytest.mark.parametrize(
    ("change", "given"),
    [
        (delete("acme"), AUTO),
        (upsert(0), AUTO),
        (delete(0), PRIMARY_KEY),
        (delete(0), FULL),
        (replace(delete(0), tells_moves=True), AUTO),
        (replace(delete(0), key={"id": 1}, before={"tenant": 0}), AUTO),
    ],
    ids=["a real one", "in a row", "declared", "full identity", "a change event", "an old row"],
)
def test_others_are_not_doubted(change: RowChange, given: SourceRules) -> None:
    assert sound(change, given).doubt is None


def test_a_column_s_default_is_doubted_where_the_event_has_its_schema() -> None:
    columns = {"tenant": ColumnType("int32", default=7)}
    assert sound(delete(7, columns)).doubt is not None
    assert sound(delete(8, columns)).doubt is None


def test_the_row_s_own_insert_before_it_ends_the_doubt() -> None:
    """Both were in one batch, so nothing is stored yet."""
    inserted, deleted = sound(upsert(0)), replace(sound(delete(0)), version=8)
    assert coalesce(inserted, deleted).doubt is None
    assert coalesce(deleted, replace(deleted, version=9)).doubt is not None


# --- declared: message_key


def test_all_changes_of_a_row_have_one_source_key_without_the_tenant() -> None:
    found = {sound(change, MESSAGE_KEY).key for change in (upsert("acme"), upsert("globex"), delete(""), delete(7))}
    assert found == {"articles/1"}


@pytest.mark.parametrize("tenant", ["", 0, None, 7, "public"])
def test_a_delete_is_located_whatever_its_key_says(tenant: object) -> None:
    found = sound(delete(tenant), MESSAGE_KEY)
    assert (found.place, found.key_places, found.locates, found.doubt) == (
        key_place(),
        frozenset({key_place()}),
        True,
        None,
    )


def test_an_update_is_located_too_because_it_does_not_tell_a_move() -> None:
    found = sound(upsert("acme"), MESSAGE_KEY)
    assert (found.place, found.key_places, found.locates) == (place("acme"), frozenset({key_place()}), True)


def test_under_full_identity_the_key_is_believed_and_nothing_located() -> None:
    given = replace(FULL, tenant_in_key=TenantInKey.MESSAGE_KEY)
    for change in (upsert("acme"), delete("acme"), replace(upsert("acme"), tells_moves=True)):
        found = sound(change, given)
        assert (found.place, found.key, found.locates) == (place("acme"), "articles/1", False)
        assert found.key_places == frozenset()


def test_where_nothing_may_be_located_it_is_rejected() -> None:
    found = mapped(delete(0), replace(MESSAGE_KEY, locate=Locate.NEVER))
    assert isinstance(found, Rejection)
    assert found.reason is RejectReason.TENANT_UNKNOWN


def test_the_tenant_of_a_former_key_is_not_believed_either() -> None:
    found = sound(upsert("acme", former_key={"tenant": "", "id": 2}), MESSAGE_KEY)
    assert found.former.keys() == {place("acme", 2)}


def test_rows_of_two_tenants_stay_two_rows_where_the_tenant_is_in_the_primary_key() -> None:
    for given in (AUTO, PRIMARY_KEY):
        assert sound(upsert("acme"), given).key != sound(upsert("globex"), given).key


# --- through the pipeline


def world(declared: TenantInKey, *, full: bool = False, **more: Any) -> World:  # noqa: ANN401
    given = replace(RULES, tenant_in_key=declared, trusts_before=full)
    return World(rules=given, delivery=DeliverySettings(rejections_in_a_row=10_000), **more)


def say(world: World, op: str, tenant: object, lsn: int, row_id: int = 1, partition: int = 0) -> None:
    """As Debezium does: whatever is in the key of a delete is in its old row."""
    key = {"tenant": tenant, "id": row_id}
    said = event(op, None if op == "d" else row(row_id, tenant, url=None), key if op == "d" else None, lsn=lsn)
    world.log.append(TopicPartition(TOPIC, partition), orjson.dumps(key), orjson.dumps(said))


@pytest.mark.virtual_time
@pytest.mark.parametrize("made_up", ["", 0, None, "public"])
async def test_a_declared_message_key_makes_deletes_find_their_row(made_up: object) -> None:
    one = world(TenantInKey.MESSAGE_KEY, partitions=2)
    say(one, "c", "acme", 10)
    say(one, "c", "acme", 11, row_id=2)
    async with one.running():
        await one.settle()
        say(one, "u", "globex", 12, row_id=2)
        say(one, "d", made_up, 13, partition=1)
        await one.settle()
    assert one.titles.keys() == {place("globex", 2)}


@pytest.mark.virtual_time
async def test_without_a_declaration_they_are_dead_letters_and_nothing_is_lost_in_silence() -> None:
    one = world(TenantInKey.AUTO)
    say(one, "c", 5, 10)
    say(one, "d", 0, 11)
    await one.run_to_the_end()
    assert one.titles.keys() == {place("5")}
    assert one.verdicts == {"indexed": 1, "tenant_unknown": 1}
    (letter,) = one.dead_letters.sent
    assert {"syncline-tenant", "syncline-routing", "syncline-id"}.isdisjoint(dict(letter.headers))


@pytest.mark.virtual_time
async def test_a_dead_letter_of_a_delete_that_knows_no_tenant_names_none() -> None:
    one = world(TenantInKey.MESSAGE_KEY)
    say(one, "d", 0, 11)
    one.index.fail_item(key_place().document_id, ItemResponse(400, "document_parsing_exception", "refused"))
    await one.run_to_the_end()
    (letter,) = one.dead_letters.sent
    assert {"syncline-tenant", "syncline-routing", "syncline-id"}.isdisjoint(dict(letter.headers))
    assert dict(letter.headers)["syncline-version"] == b"11"


@pytest.mark.virtual_time
async def test_who_declares_it_later_snapshots_the_table_again() -> None:
    """Until then the documents have the tenant in their source key, so that nothing is located by the row's."""
    before = world(TenantInKey.AUTO)
    say(before, "c", "acme", 10)
    await before.run_to_the_end()
    after = world(TenantInKey.MESSAGE_KEY, like=before)
    snapshot = event("r", row(1, "acme", url=None), lsn=None, snapshot="incremental")
    key = orjson.dumps({"tenant": "acme", "id": 1})
    after.log.append(TopicPartition(TOPIC, 0), key, orjson.dumps(snapshot))
    async with after.running():
        await after.settle()
        say(after, "d", 0, 12)
        await after.settle()
    assert after.titles == {}


@pytest.mark.virtual_time
async def test_a_real_tenant_zero_in_the_primary_key_costs_nothing() -> None:
    one = world(TenantInKey.AUTO)
    say(one, "c", 0, 10)
    say(one, "c", 5, 11)
    async with one.running():
        await one.settle()
        say(one, "d", 0, 12)
        say(one, "c", 0, 13, row_id=2)
        say(one, "d", 0, 14, row_id=2)
        await one.settle()
    assert one.titles.keys() == {place("5")}
    assert one.index.searches == []
    again = world(TenantInKey.AUTO, like=one)
    one.log.commits.clear()
    await again.run_to_the_end()
    assert again.verdicts == {"superseded": 5}
