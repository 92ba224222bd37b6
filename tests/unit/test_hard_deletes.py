"""`delivery.deletes: hard`: what is kept, and what is given up."""

import pytest

from tests import builders
from tests.fakes.world import World
from worker.errors import HaltReason
from worker.settings import DeliverySettings
from worker.settings.worker import Deletes

pytestmark = pytest.mark.virtual_time
HARD = DeliverySettings(deletes=Deletes.HARD)
RULES = builders.rules(
    trusts_before=True, fields={"title": "title", "content": "content", "url": "url"}, embed=("title",)
)


def world_of(like: World | None = None) -> World:
    return World(like=like, rules=RULES, delivery=HARD)


def delete(world: World, lsn: int) -> None:
    world.append(builders.event("d", None, builders.row(1), lsn=lsn), 1)


async def test_a_delete_leaves_nothing_behind() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    delete(world, 2)
    again = world_of(world)
    await again.run_to_the_end()
    assert not world.index.documents
    assert again.verdicts == {"deleted": 1}


async def test_a_delete_of_what_was_never_there_is_deleted() -> None:
    world = world_of()
    delete(world, 2)
    await world.run_to_the_end()
    assert world.verdicts == {"deleted": 1}
    assert not world.index.documents


async def test_a_row_that_moves_leaves_nothing_at_its_former_tenant() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    world.append(builders.event("u", builders.row(1, "globex", title="b", url=None), builders.row(1), lsn=2), 1)
    await world_of(world).run_to_the_end()
    assert world.index.documents.keys() == {builders.place("globex")}


async def test_within_gc_deletes_an_older_change_is_kept_out_and_after_it_is_not() -> None:
    world = world_of()
    delete(world, 5)
    await world.run_to_the_end()
    world.upsert(1, "late", lsn=3)
    late = world_of(world)
    await late.run_to_the_end()
    assert (late.verdicts, world.titles) == ({"superseded": 1}, {})
    world.index.remembered.clear()
    world.upsert(1, "later", lsn=4)
    await world_of(world).run_to_the_end()
    assert list(world.titles.values()) == ["later"]


async def test_a_replayed_delete_is_written_again() -> None:
    """With a tombstone the lookup would tell; nothing does here."""
    world = world_of()
    delete(world, 5)
    await world.run_to_the_end()
    world.index.remembered.clear()
    writes = world.index.writes
    delete(world, 5)
    again = world_of(world)
    await again.run_to_the_end()
    assert again.verdicts == {"deleted": 1}
    assert world.index.writes == writes + 1


async def test_through_a_missing_alias_nothing_is_deleted_and_no_index_made() -> None:
    """A real server answers such a delete with 404 `not_found`, and creates an index of the alias' name."""
    world = world_of()
    delete(world, 5)
    lookups = world.index.stored

    async def missing_after_the_lookup(places, whole=(), bare=()):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        found = await lookups(places, whole, bare)
        world.index.alias_exists = False
        return found

    world.index.stored = missing_after_the_lookup  # type: ignore[method-assign]
    async with world.running():
        assert (await world.until_halted()).keys() == {HaltReason.TARGET_MISSING}
        assert not world.index.index_in_place_of_alias
        assert world.committed() is None
