"""Which vectors are brought along with what is stored, and what becomes of rows whose vectors are not."""

from collections.abc import Collection, Sequence

import pytest

from tests import builders
from tests.builders import place
from tests.fakes.world import World
from worker.errors import RetryLater, RetryReason
from worker.records import Place, Stored
from worker.runtime import asking
from worker.settings import BatchSettings
from worker.stages.conversion.unavailable import UNAVAILABLE
from worker.stages.vectors import Worth

pytestmark = pytest.mark.virtual_time
ROWS = (1, 2, 3)


async def replayed(world: World) -> None:
    """Index some rows and read them once more: no stored vector is of any use for that."""
    for _ in range(2):
        for row_id in ROWS:
            world.upsert(row_id, f"title {row_id}", lsn=10 + row_id)
        await world.settle()
    world.index.lookups.clear()
    world.index.vectors_asked_for.clear()


def taken_again(world: World) -> float:
    return world.value("syncline_reused_vectors_total", origin="stored")


async def test_vectors_are_brought_along_as_long_as_they_are_taken_again() -> None:
    world = World()
    async with world.running():
        world.upsert(1, "title", lsn=10)
        await world.settle()
        for lsn in (11, 12, 13):
            world.upsert(1, "title", lsn=lsn, url=f"/{lsn}")
            await world.settle()
    assert [place() in asked for asked in world.index.vectors_asked_for] == [True] * 4
    assert (taken_again(world), world.embedder.calls) == (3, [["title"]])


async def test_a_replay_brings_no_vectors_and_a_row_that_needs_its_own_gets_it_with_a_second_look() -> None:
    world = World()
    async with world.running():
        await replayed(world)
        world.upsert(1, "title 1", lsn=20, url="/new")
        world.upsert(2, "another title", lsn=21)
        await world.settle()
    wanted = [{*asked} & {place(row_id=row_id) for row_id in ROWS} for asked in world.index.vectors_asked_for]
    assert [*filter(None, wanted)] == [{place()}], "the vector of a row whose text is another is not asked for"
    assert (taken_again(world), world.embedder.calls[1:]) == (1, [["another title"]])
    held = world.index.documents[place()].body
    assert (held["url"], held["sync"]["version"]) == ("/new", 20)


async def test_updates_outside_the_text_bring_vectors_along_again() -> None:
    world = World()
    async with world.running():
        await replayed(world)
        for lsn in range(20, 30):
            world.upsert(1, "title 1", lsn=lsn, url=f"/{lsn}")
            await world.settle()
    lookups = [place() in asked for asked in world.index.vectors_asked_for]
    assert lookups[:2] == [False, True], "not brought along, and looked up again"
    assert all(lookups[-3:]), "brought along"
    assert len(world.embedder.calls) == 1


@pytest.mark.parametrize("theirs", ["another text", "title 1"])
async def test_a_vector_counts_only_with_the_hash_that_it_came_with(theirs: str) -> None:
    """Another worker, which has lost its partitions and not noticed, writes between one look and the next."""
    world = World()
    async with world.running():
        await replayed(world)
        other = World()
        other.upsert(1, theirs, lsn=15)
        await other.run_to_the_end()

        async def write_between(places: Sequence[Place]) -> None:
            if len(world.index.lookups) == 2 and place() in places:
                world.index.documents[place()] = other.index.documents[place()]

        world.index.before_lookup = write_between
        world.upsert(1, "title 1", lsn=20, url="/new")
        await world.settle()
    held = world.index.documents[place()].body
    assert (held["title"], held["url"], held["sync"]["version"]) == ("title 1", "/new", 20)
    (embedded,) = await world.embedder.embed(["title 1"])
    assert held["embedding"] == pytest.approx(embedded.tolist())
    assert taken_again(world) == (theirs == "title 1")


async def test_a_delete_brings_no_vector_along() -> None:
    world = World()
    async with world.running():
        world.upsert(1, "title", lsn=10)
        await world.settle()
        world.append(builders.event("d", lsn=11, before={"id": 1, "tenant": "acme", "title": ""}), 1)
        await world.settle()
    first, *rest = world.index.vectors_asked_for
    assert place() in first
    assert [asked & {place()} for asked in rest[:1]] == [set()]


async def test_where_no_vector_can_be_read_a_row_is_looked_up_once() -> None:
    """An index may leave vectors out of what it gives back."""
    world = World()
    lookup = world.index.stored

    async def without_vectors(
        places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        del bare
        return await lookup(places, whole, places)

    world.index.stored = without_vectors  # type: ignore[method-assign]
    async with world.running():
        world.upsert(1, "title", lsn=10)
        await world.settle()
        before = len(world.index.lookups)
        world.upsert(1, "title", lsn=11, url="/new")
        await world.settle()
    looked = [places for places in world.index.lookups[before:] if place() in places]
    assert len(looked) == 1
    assert world.embedder.calls == [["title"], ["title"]]
    assert world.index.documents[place()].body["url"] == "/new"


def test_vectors_are_worth_their_way_if_half_of_them_are_taken() -> None:
    worth = Worth()
    given = [worth.is_given]
    for there, taken in ((10, 4), (2, 2)):
        worth.note(there, taken)
        given.append(worth.is_given)
    assert given == [True, False, True]


def test_what_was_long_ago_does_not_count_for_ever() -> None:
    worth = Worth()
    worth.note(1_000_000, 0)
    for _ in range(30):
        worth.note(100, 100)
    assert worth.is_given


async def indexed(world: World, rows: int) -> None:
    for row_id in range(rows):
        world.upsert(row_id, "title", lsn=1 + row_id, content="large")
    await world.settle()
    world.index.lookups.clear()


async def changed_beside_a_large_value(world: World, rows: int) -> None:
    """Their events leave the large value out; one more row is new."""
    world.upsert(rows, "small", lsn=1000)
    for row_id in range(rows):
        world.upsert(row_id, "title", lsn=1001 + row_id, url="/new", content=UNAVAILABLE)
    await world.settle()
    changed = [held.body for held in world.index.live.values() if held.body.get("url") == "/new"]
    assert [body["content"] for body in changed] == ["large"] * rows


PLACES = 2
"""Of a row whose tenant may have changed: its own, and that of its key."""


async def test_large_documents_are_looked_up_a_few_at_a_time() -> None:
    """What the changes take tells nothing: they leave the large value out."""
    rows, characters = 200, 400_000
    world = World()
    for row_id in range(rows):
        world.upsert(row_id, "title", lsn=1 + row_id, content="c" * characters)
    await world.run_to_the_end()
    world = World(like=world)
    world.index.lookups.clear()
    for row_id in range(rows):
        world.upsert(row_id, "title", lsn=1001 + row_id, url="/new", content=UNAVAILABLE)
    await world.run_to_the_end()
    first, rest, *others = [len(places) for places in world.index.lookups]
    assert first + rest == PLACES * 64, "nothing is known of the documents yet"
    assert max(others) * characters <= PLACES * 16 * 1024 * 1024
    assert sum(others) == PLACES * (rows - 64)


async def test_small_documents_are_soon_looked_up_as_many_as_may_be() -> None:
    world = World()
    for row_id in range(1000):
        world.upsert(row_id, "title", lsn=1 + row_id, content="c")
    await world.run_to_the_end()
    world = World(like=world, batch=BatchSettings(lookup_documents=300))
    world.index.lookups.clear()
    for row_id in range(1000):
        world.upsert(row_id, "title", lsn=1001 + row_id, url="/new", content=UNAVAILABLE)
    await world.run_to_the_end()
    batches = [len(places) for places in world.index.lookups]
    assert batches[:2] == [125, PLACES * 64 - 125]
    assert batches[2:5] == [125, 125, PLACES * 128 - 250]
    assert sum(batches) == PLACES * 1000
    assert batches.count(125) >= PLACES * 1000 // 125 - 5


@pytest.fixture
def parts_of_50(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_MOST_WHOLE", 50)


@pytest.mark.usefixtures("parts_of_50")
async def test_whole_documents_are_asked_for_in_parts() -> None:
    """A row is looked for at two places: its own, and that of its key."""
    world = World()
    async with world.running():
        await indexed(world, 60)
        await changed_beside_a_large_value(world, 60)
    assert [len(places) for places in world.index.lookups] == [2 + 50, 50, 20]
    assert place(row_id=60) in world.index.lookups[0], "what is small goes with the first part"


@pytest.mark.usefixtures("parts_of_50")
@pytest.mark.parametrize("reason", [RetryReason.TIMEOUT, RetryReason.REJECTED])
async def test_where_they_may_be_too_many_fewer_are_asked_for(reason: RetryReason) -> None:
    world = World()

    async def too_many(places: Sequence[Place]) -> None:
        if len(places) > 20:
            raise RetryLater(reason, "too much")

    async with world.running():
        await indexed(world, 60)
        world.index.before_lookup = too_many
        await changed_beside_a_large_value(world, 60)
    assert [len(places) for places in world.index.lookups] == [2 + 50, 2 + 25, 2 + 12, *[12] * 9]


@pytest.mark.usefixtures("parts_of_50")
async def test_after_another_fault_they_are_asked_for_anew_and_as_many() -> None:
    """What the first part has told may be old by then."""
    world = World()

    async def second_fails(_places: Sequence[Place]) -> None:
        if len(world.index.lookups) == 2:
            raise RetryLater(RetryReason.CONNECTION, "reset")

    async with world.running():
        await indexed(world, 60)
        world.index.before_lookup = second_fails
        await changed_beside_a_large_value(world, 60)
    assert [len(places) for places in world.index.lookups] == [2 + 50, 50, 2 + 50, 50, 20]
