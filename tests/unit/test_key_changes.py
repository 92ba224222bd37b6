"""A changed Kafka key comes as a delete and an insert with one position, often on two partitions.

What changed may be no part of the row's identity here: `message.key.columns` can put any column into the key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest

from tests.builders import event, place, record, row, rules
from tests.fakes.world import RULES, TOPIC, World
from worker.errors import Halt, HaltReason, SkipReason
from worker.records import Change, Operation, Record, RowChange, Skip, TopicPartition
from worker.stages.mapping import RowMapper
from worker.stages.rules import SourceRules, TenantInKey

Key = dict[str, object]
FULL: Final = rules(trusts_before=True)
BOTH_ORDERS: Final = pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["delete first", "insert first"])
EACH_BATCH: Final = pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])


def declared(given: SourceRules, tenant_in_key: TenantInKey = TenantInKey.MESSAGE_KEY) -> SourceRules:
    return replace(given, tenant_in_key=tenant_in_key)


def half(key: Key, new_key: Key, given: SourceRules, before: Key | None = None) -> Change | Skip:
    change = RowChange(Operation.DELETE, key, {}, before or {}, 7, None, new_key=new_key)
    found = RowMapper(given).map(record(), change, 0)
    assert isinstance(found, (Change, Skip)), found
    return found


@pytest.mark.parametrize(
    ("key", "new_key", "given"),
    [
        ({"id": 1, "part": "a"}, {"id": 1, "part": "b"}, rules()),
        ({"tenant": "acme", "id": 1, "part": "a"}, {"tenant": "acme", "id": 1, "part": "b"}, rules()),
        ({"tenant": "acme", "id": 1, "part": "a"}, {"tenant": "acme", "id": 1, "part": "b"}, declared(FULL)),
        ({"tenant": "", "id": 1}, {"tenant": "acme", "id": 1}, declared(rules())),
    ],
    ids=["tenant nowhere", "tenant in the key", "tenant in a message key", "tenant made up"],
)
def test_a_delete_whose_row_stays_where_it_is_is_skipped(key: Key, new_key: Key, given: SourceRules) -> None:
    assert half(key, new_key, given) == Skip(SkipReason.KEY_CHANGE)


@pytest.mark.parametrize(
    ("key", "new_key", "given"),
    [
        ({"id": 1}, {"id": 2}, rules()),
        ({"id": 1, "part": "a"}, {"id": 2, "part": "a"}, rules()),
        ({"tenant": "acme", "id": 1}, {"tenant": "globex", "id": 1}, rules()),
        ({"tenant": "acme", "id": 1}, {"tenant": "acme", "id": 2}, rules()),
        ({"tenant": "", "id": 1}, {"tenant": "acme", "id": 2}, declared(rules())),
        ({"id": 1}, {"id": None}, rules()),
    ],
)
def test_a_delete_whose_key_goes_on_as_another_row_s_stays_a_delete(key: Key, new_key: Key, given: SourceRules) -> None:
    found = half(key, new_key, given)
    assert isinstance(found, Change)
    assert (found.operation, found.version) == (Operation.DELETE, 7)


@pytest.mark.parametrize(
    ("key", "new_key", "given", "before"),
    [
        ({"tenant": "acme", "id": 1}, {"tenant": "globex", "id": 1}, declared(FULL), {"tenant": "acme"}),
        ({"id": 1, "part": "a"}, {"id": 1, "part": "b"}, FULL, {"tenant": "acme"}),
    ],
    ids=["a tenant in a message key", "a tenant in the old row alone"],
)
def test_a_delete_whose_row_goes_on_elsewhere_is_ordered_before_its_insert(
    key: Key, new_key: Key, given: SourceRules, before: Key
) -> None:
    found = half(key, new_key, given, before)
    assert isinstance(found, Change)
    assert (found.place, found.version, found.key) == (place("acme"), 6, "articles/1")


@pytest.mark.parametrize(
    ("former", "key", "given", "follows"),
    [
        ({"id": 1}, {"id": 2}, rules(), "articles/1"),
        ({"tenant": "globex", "id": 1}, {"tenant": "acme", "id": 1}, rules(), "articles/globex/1"),
        ({"tenant": "globex", "id": 1}, {"tenant": "acme", "id": 2}, declared(rules()), "articles/1"),
        ({"id": None}, {"id": 2}, rules(), None),
        ({}, {"id": 2}, rules(), None),
    ],
)
def test_an_insert_tells_which_row_it_was_before(
    former: Key, key: Key, given: SourceRules, follows: str | None
) -> None:
    """By the same source key as the other half, or neither would wait for the other."""
    entering = RowChange(Operation.UPSERT, key, row(key["id"], "acme"), {}, 7, None, former_key=former)
    found = RowMapper(given).map(record(), entering, 0)
    assert isinstance(found, Change)
    assert (found.follows, found.leads, found.born) == (follows, False, 7 if found.former else 0)
    if follows is not None:
        leaving = half(former, key, given)
        assert isinstance(leaving, Change)
        assert (leaving.key, leaving.leads) == (follows, True)


def test_where_events_leave_nothing_out_no_deletion_waits() -> None:
    leaving = half({"id": 1}, {"id": 2}, FULL, {"tenant": "acme"})
    assert isinstance(leaving, Change)
    assert not leaving.leads


def write(
    world: World,
    op: str,
    key: Key,
    lsn: int,
    partition: int = 0,
    other: Key | None = None,
    **columns: Any,  # noqa: ANN401
) -> None:
    """`other` is the key of the other half."""
    header = "__debezium.newkey" if op == "d" else "__debezium.oldkey"
    whole = row(key["id"], **{"url": None, **columns})
    said = event(op, None if op == "d" else whole, whole if op == "d" else None, lsn=lsn)
    headers = [] if other is None else [(header, orjson.dumps(other))]
    world.log.append(TopicPartition(TOPIC, partition), orjson.dumps(key), orjson.dumps(said), headers)


async def change_key(world: World, order: tuple[int, int], old: Key, new: Key, *, together: bool, **moves: Any) -> None:  # noqa: ANN401
    write(world, "c", old, 10)
    async with world.running():
        await world.settle()
        for half in order:
            if half == 0:
                write(world, "d", old, 20, half, new)
            else:
                write(world, "c", new, 20, half, old, **moves)
            if not together:
                await world.settle()
        await world.settle()


@pytest.mark.virtual_time
@BOTH_ORDERS
@EACH_BATCH
@pytest.mark.parametrize("in_key", [{}, {"tenant": "acme"}], ids=["", "tenant in the key"])
@pytest.mark.parametrize("full", [False, True])
async def test_a_row_is_still_there_after_another_column_of_its_key_has_changed(
    order: tuple[int, int], in_key: Key, *, together: bool, full: bool
) -> None:
    world = World(rules=replace(RULES, trusts_before=full), partitions=2)
    old, new = {**in_key, "id": 1, "part": "a"}, {**in_key, "id": 1, "part": "b"}
    await change_key(world, order, old, new, together=together, title="changed")
    assert world.titles == {place(): "changed"}


@pytest.mark.virtual_time
@BOTH_ORDERS
@EACH_BATCH
@pytest.mark.parametrize(
    ("old", "new", "tenant_in_key"),
    [
        ({"id": 1, "part": "a"}, {"id": 1, "part": "b"}, TenantInKey.AUTO),
        ({"tenant": "acme", "id": 1}, {"tenant": "globex", "id": 1}, TenantInKey.AUTO),
        ({"tenant": "acme", "id": 1}, {"tenant": "globex", "id": 1}, TenantInKey.MESSAGE_KEY),
    ],
    ids=["tenant in the row alone", "in the primary key", "in a message key"],
)
async def test_a_row_that_changes_its_tenant_with_its_key_leaves_no_copy_behind(
    order: tuple[int, int], old: Key, new: Key, tenant_in_key: TenantInKey, *, together: bool
) -> None:
    world = World(rules=replace(RULES, trusts_before=True, tenant_in_key=tenant_in_key), partitions=2)
    await change_key(world, order, old, new, together=together, title="moved", tenant="globex")
    assert world.titles == {place("globex"): "moved"}


@pytest.mark.virtual_time
async def test_a_halt_between_the_halves_does_not_let_the_delete_go_first() -> None:
    """The insert would find a tombstone where the value was that it leaves out."""
    world = World(fetch_max_records=3)
    fetch, partition = world.source.fetch, TopicPartition(TOPIC, 0)

    async def as_over_a_network() -> Sequence[Record]:
        await asyncio.sleep(0.05)
        return await fetch()

    world.source.fetch = as_over_a_network  # type: ignore[method-assign]
    old: Key = {"id": 1}
    new: Key = {"id": 2}
    write(world, "c", old, 10, content="large")
    async with world.running():
        await world.settle()
        world.dead_letters.fail_with = Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, "away")
        world.source.pause()
        world.log.append(partition, b"key", b"not json")
        write(world, "d", old, 20, other=new)
        world.log.append(partition, orjson.dumps(old), None)
        write(world, "c", new, 20, other=old, content="__debezium_unavailable_value")
        world.source.resume()
        await world.until_halted()
        await asyncio.sleep(20)
        assert world.consumed == 4, "the halt came too late for what is tested here"
        world.dead_letters.fail_with = None
        await world.settle()
    assert world.verdicts == {"invalid_json": 1, "indexed": 2, "deleted": 1, "tombstone": 1}
    (shown,) = world.index.live.values()
    assert shown.body["content"] == "large"
