"""The real pipeline on fakes, in virtual time: what becomes of changes when nothing goes wrong."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from tests import builders
from tests.fakes.embedder import vector_of
from tests.fakes.world import RULES, Gate, World
from worker.records import Place
from worker.settings import BatchSettings
from worker.stages.decode import change_event
from worker.stages.rules import IdScope

pytestmark = pytest.mark.virtual_time
ONE, TWO, THREE = (builders.place(row_id=number) for number in (1, 2, 3))


async def test_changes_become_documents_with_vectors() -> None:
    world = World()
    world.upsert(1, "Queues", lsn=10)
    world.upsert(2, "Soup", lsn=11, tenant="globex")
    await world.run_to_the_end()
    assert world.titles == {ONE: "Queues", builders.place("globex", 2): "Soup"}
    held = world.index.documents[ONE]
    assert held.version == 10
    assert held.body["tenant"] == "acme"
    assert held.body["embedding"] == pytest.approx(vector_of("Queues").tolist())
    assert world.verdicts == {"indexed": 2}


async def test_every_record_consumed_gets_exactly_one_verdict() -> None:
    world = World(partitions=2)
    world.upsert(1, "a", lsn=10)
    world.upsert(1, "b", lsn=11)
    world.append(builders.event("d", lsn=12, before=builders.row(1)), 1)
    world.append(b"not json", 2)
    world.append(b"null", 2)
    world.append({"ts_ms": 1}, 2)
    world.upsert(3, "", lsn=13, partition=1)
    world.upsert(3, "", lsn=13, partition=1)
    await world.run_to_the_end()
    assert world.consumed == 8
    assert world.verdicts.total() == 8
    assert world.verdicts["invalid_json"] == 1
    assert (world.committed(0), world.committed(1)) == (6, 2)


async def test_others_run_while_what_one_fetch_brought_is_read() -> None:
    """Heartbeats and probes among them: large records take a while."""
    world, seen = World(), set[int]()
    for row_id in range(40):
        world.upsert(row_id, f"{row_id}", lsn=10 + row_id, url="x" * 20_000)

    async def look() -> None:
        while world.consumed < 40:
            seen.add(world.consumed)
            await asyncio.sleep(0)

    async with world.running():
        await look()
        await world.settle()
    assert len(seen) > 4, "and not only before and after"


async def test_a_delete_leaves_a_tombstone() -> None:
    world = World(rules=builders.rules(trusts_before=True))
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.settle()
        world.append(builders.event("d", lsn=11, before=builders.row(1)), 1)
        await world.settle()
    assert world.titles == {}
    assert world.index.documents[ONE].version == 11
    assert world.verdicts == {"indexed": 1, "deleted": 1}


async def test_a_row_that_changes_tenant_leaves_no_copy_behind() -> None:
    world = World(rules=builders.rules(trusts_before=True))
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.settle()
        world.append(builders.event("u", builders.row(1, "globex"), before=builders.row(1), lsn=11), 1)
        await world.settle()
    assert world.titles == {builders.place("globex", 1): "Title"}
    assert world.index.documents[ONE].deleted


async def test_nothing_is_committed_before_elasticsearch_has_acknowledged() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await asyncio.sleep(15)
        assert world.log.commits == {}
        gate.open()
        await asyncio.sleep(1.5)
        assert world.committed() == 1


async def test_only_the_resolved_prefix_is_committed() -> None:
    world = World(batch=BatchSettings(bulk_documents=1, bulk_concurrency=2))
    world.index.before_bulk = gate = Gate(lambda places: TWO in places)
    for number in (1, 2, 3):
        world.upsert(number, "a", lsn=number)
    async with world.running():
        await world.until(lambda: gate.waiting and THREE in world.index.documents)
        await asyncio.sleep(5)
        assert world.committed() == 1
        gate.open()
        await asyncio.sleep(1.5)
        assert world.committed() == 3


async def test_one_row_has_one_unit_in_flight_and_later_changes_coalesce_meanwhile() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "first", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        for lsn in (2, 3, 4):
            world.upsert(1, f"change {lsn}", lsn=lsn)
        await asyncio.sleep(5)
        assert len(world.index.lookups) == 1, "a second unit of the row was looked up while the first was in flight"
        gate.open()
        await world.settle()
    assert world.embedder.texts == ["first", "change 4"]
    assert world.titles == {ONE: "change 4"}
    assert world.verdicts == {"indexed": 2, "superseded": 2}


async def test_other_rows_pass_a_busy_one() -> None:
    world = World()
    world.index.before_bulk = gate = Gate(lambda places: ONE in places)
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        world.upsert(1, "b", lsn=2)
        world.upsert(2, "c", lsn=3)
        await world.until(lambda: TWO in world.index.documents)
        gate.open()
        await world.settle()
    assert world.titles == {ONE: "b", TWO: "c"}


async def test_stages_overlap() -> None:
    """While row 1 is in a bulk request, row 2 is embedded, and row 3 looked up; none waits for another."""
    world = World(batch=BatchSettings(bulk_concurrency=1))
    world.index.before_bulk = bulk = Gate()
    world.embedder.before_embed = embedding = Gate(lambda texts: "two" in texts)
    async with world.running():
        world.upsert(1, "one", lsn=1)
        await world.until(lambda: bulk.waiting)
        world.upsert(2, "two", lsn=2)
        await world.until(lambda: embedding.waiting)
        world.upsert(3, "three", lsn=3)
        await world.until(lambda: any(THREE in lookup for lookup in world.index.lookups))
        assert (bulk.waiting, embedding.waiting) == (1, 1)
        assert world.index.documents == {}
        embedding.open()
        bulk.open()
        await world.settle()
    assert world.verdicts == {"indexed": 3}


async def test_bulk_requests_overlap_up_to_their_number() -> None:
    world = World(batch=BatchSettings(bulk_documents=1, bulk_concurrency=3))
    world.index.before_bulk = gate = Gate()
    for number in range(10):
        world.upsert(number, "a", lsn=1 + number)
    async with world.running():
        await asyncio.sleep(5)
        assert gate.waiting == 3
        gate.open()
        await world.settle()


async def test_at_low_load_a_change_passes_without_waiting_for_others() -> None:
    world = World()
    async with world.running():
        await world.until(lambda: world.source.group.caught_up)
        started = asyncio.get_running_loop().time()
        world.upsert(1, "a", lsn=1)
        await world.until(lambda: ONE in world.index.documents)
        assert asyncio.get_running_loop().time() - started < 0.01


async def test_under_backlog_batches_fill_by_themselves() -> None:
    world = World(batch=BatchSettings(embed_texts=32))
    for number in range(320):
        world.upsert(number, f"text {number}", lsn=1 + number)
    await world.run_to_the_end()
    assert len(world.embedder.calls) <= 12
    assert max(map(len, world.embedder.calls)) == 32


async def test_a_replay_of_everything_writes_nothing_and_embeds_nothing() -> None:
    world = World()
    for number, title in itertools.product(range(5), ("a", "b")):
        world.upsert(number, title, lsn=10 + number)
        world.upsert(number, title, lsn=20 + number)
    await world.run_to_the_end()
    world.log.commits.clear()
    before = dict(world.index.documents)
    writes, calls, requests = world.index.writes, len(world.embedder.calls), len(world.index.requests)
    again = World(like=world)
    await again.run_to_the_end()
    assert world.index.documents == before
    assert (world.index.writes, len(world.embedder.calls), len(world.index.requests)) == (writes, calls, requests)
    assert again.consumed == again.verdicts["superseded"] == 20


async def test_an_unchanged_text_takes_the_stored_vector() -> None:
    world = World()
    world.upsert(1, "same", lsn=10)
    async with world.running():
        await world.settle()
        world.upsert(1, "same", lsn=11, url="https://example.com")
        await world.settle()
    assert world.embedder.texts == ["same"]
    held = world.index.documents[ONE]
    assert (held.version, held.body["url"]) == (11, "https://example.com")
    assert held.body["embedding"] == pytest.approx(vector_of("same").tolist())
    assert world.value("syncline_reused_vectors_total", origin="stored") == 1


async def test_another_model_embeds_anew() -> None:
    world = World()
    world.upsert(1, "same", lsn=10)
    await world.run_to_the_end()
    again = World(like=world)
    again.embedder._model = "another-model"
    again.upsert(1, "same", lsn=11)
    await again.run_to_the_end()
    assert world.embedder.texts == ["same", "same"]
    assert world.index.documents[ONE].body["sync"]["model"] == "another-model"


async def test_a_document_without_text_has_no_vector_and_costs_no_embedding() -> None:
    world = World()
    world.upsert(1, " ", lsn=10)
    await world.run_to_the_end()
    assert world.embedder.calls == []
    assert "embedding" not in world.index.documents[ONE].body


async def test_unchanged_values_come_from_the_stored_document() -> None:
    world = World()
    world.upsert(1, "a", lsn=10, content="long text")
    async with world.running():
        await world.settle()
        world.upsert(1, "b", lsn=11, content="__debezium_unavailable_value")
        await world.settle()
    assert world.index.documents[ONE].body["content"] == "long text"
    assert world.titles == {ONE: "b"}


async def test_an_unchanged_value_is_not_taken_from_an_old_change_that_was_sent_again() -> None:
    world = World()
    world.upsert(1, "a", lsn=10, content="old text")
    world.upsert(1, "b", lsn=11, content="new text")
    async with world.running():
        await world.settle()
        world.upsert(1, "a", lsn=10, content="old text")
        world.upsert(1, "c", lsn=12, content="__debezium_unavailable_value")
        await world.settle()
    assert world.titles == {ONE: "c"}
    assert world.index.documents[ONE].body["content"] == "new text"


async def test_what_needs_no_vector_does_not_wait_behind_what_does() -> None:
    world = World(batch=BatchSettings(embed_texts=1))
    world.embedder.before_embed = gate = Gate()
    for number in range(10, 30):  # more than the queue before the model holds
        world.upsert(number, "slow", lsn=number)
    world.upsert(2, "", lsn=31)
    async with world.running():
        await world.until(lambda: TWO in world.index.documents)
        assert gate.waiting == 2, "one call in the model, one ready for it"
        gate.open()
        await world.settle()


async def test_a_restart_goes_on_where_the_commit_was() -> None:
    world = World()
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    world.upsert(2, "b", lsn=2)
    again = World(like=world)
    await again.run_to_the_end()
    assert again.consumed == 1
    assert world.titles == {ONE: "a", TWO: "b"}


async def test_the_watermark_survives_a_restart() -> None:
    """A row of an incremental snapshot has no position: it is ordered by those before it, also in a former life."""
    world = World()
    world.upsert(1, "new", lsn=50)
    world.upsert(2, "newest", lsn=60)
    await world.run_to_the_end()
    again = World(like=world)
    snapshot_row = builders.row(1, title="snapshot", url=None)
    again.append(builders.event("r", snapshot_row, lsn=None), 1)
    await again.run_to_the_end()
    held = world.index.documents[ONE]
    assert (held.version, held.body["title"]) == (50, "snapshot")
    assert held.body["sync"]["log"]["watermark"] == 60


@pytest.mark.parametrize("known", [False, True])
async def test_a_row_that_moves_between_two_snapshots_leaves_no_copy_behind(*, known: bool) -> None:
    """No event tells the move, and the id is the same for all tenants: versions and watermark may all be equal."""
    rules = replace(RULES, id_scope=IdScope.GLOBAL)
    world = World(rules=rules)
    if known:
        world.upsert(1, "row", lsn=5)
    for tenant in ("acme", "globex"):
        world.append(builders.event("r", builders.row(1, tenant, url=None), lsn=None, snapshot="incremental"), 1)
        await world.run_to_the_end()
        world = World(like=world, rules=rules)
    assert {place.tenant for place, held in world.index.documents.items() if not held.deleted} == {"globex"}


async def test_freshness_is_measured_from_the_source_to_the_acknowledgement() -> None:
    world = World()
    world.upsert(1, "a", lsn=1)
    await world.run_to_the_end()
    assert world.value("syncline_freshness_seconds_count") == 1
    assert world.value("syncline_freshness_seconds_sum") >= 0


async def test_ids_of_two_tenants_never_meet() -> None:
    world = World(rules=RULES)
    world.upsert(1, "theirs", lsn=1, tenant="acme")
    world.upsert(2, "others", lsn=2, tenant="globex")
    await world.run_to_the_end()
    for place, held in world.index.documents.items():
        assert held.body["tenant"] == place.tenant
        assert place.document_id.startswith(f"{place.tenant}/")
    assert len({Place(*place) for place in world.index.documents}) == 2


async def test_a_move_that_cannot_be_indexed_takes_the_row_from_its_former_tenant() -> None:
    world = World(rules=builders.rules(trusts_before=True))
    after = builders.row(1, "globex", title="__debezium_unavailable_value")
    world.append(builders.event("u", after, builders.row(1), lsn=11), 1)
    await world.run_to_the_end()
    assert world.verdicts == {"unchanged_value_lost": 1}
    assert world.index.documents.keys() == {ONE}
    assert world.index.documents[ONE].deleted


def spoilt_move(world: World, lsn: int, **columns: object) -> None:
    """A move to globex that is rejected while it is mapped: it has no column `url`."""
    world.append(builders.event("u", builders.row(1, "globex") | columns, builders.row(1), lsn=lsn), 1)


@pytest.mark.parametrize(
    ("columns", "reason", "tenant"),
    [({}, "field_invalid", b"globex"), ({"tenant": None, "url": None}, "tenant_missing", None)],
)
async def test_a_move_that_cannot_be_mapped_takes_the_row_from_its_former_tenant(
    columns: dict[str, object], reason: str, tenant: bytes | None
) -> None:
    world = World(rules=replace(RULES, trusts_before=True))
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.settle()
        spoilt_move(world, 11, **columns)
        await world.settle()
    assert world.titles == {}
    assert world.verdicts == {"indexed": 1, reason: 1}
    (letter,) = world.dead_letters.sent
    headers = dict(letter.headers)
    assert (headers["syncline-stage"], headers.get("syncline-tenant")) == (b"decode", tenant)
    world.log.commits.clear()
    again = World(like=world, rules=replace(RULES, trusts_before=True))
    await again.run_to_the_end()
    assert world.titles == {}, "a replay shows it to the former tenant"


async def test_a_move_that_cannot_be_mapped_is_put_aside_when_its_tombstone_is_written() -> None:
    world = World(rules=replace(RULES, trusts_before=True))
    world.upsert(1, "a", lsn=10)
    async with world.running():
        await world.settle()
        world.index.before_bulk = gate = Gate()
        spoilt_move(world, 11)
        await world.until(lambda: gate.waiting)
        assert not world.dead_letters.sent
        gate.open()
        await world.settle()
    assert len(world.dead_letters.sent) == 1


async def test_a_move_that_cannot_be_mapped_gives_way_to_what_comes_after_it() -> None:
    world = World(rules=replace(RULES, trusts_before=True))
    world.upsert(1, "a", lsn=10)
    spoilt_move(world, 11)
    world.upsert(1, "b", lsn=12, tenant="globex")
    await world.run_to_the_end()
    assert world.titles == {builders.place("globex"): "b"}
    assert world.verdicts == {"superseded": 2, "indexed": 1}


async def test_a_change_that_cannot_be_mapped_and_does_not_move_leaves_what_is_there() -> None:
    world = World(rules=replace(RULES, trusts_before=True))
    world.upsert(1, "a", lsn=10)
    spoilt_move(world, 11, tenant="acme")
    await world.run_to_the_end()
    assert world.titles == {ONE: "a"}
    assert world.verdicts == {"indexed": 1, "field_invalid": 1}


async def test_change_events_of_one_key_under_two_tenants_are_two_rows() -> None:
    world = World(decode=change_event.decode)
    for version, tenant in enumerate(("acme", "globex", "initech"), 1):
        world.append(
            {
                "op": "upsert",
                "key": {"id": 1},
                "tenant": tenant,
                "version": version,
                "row": {"title": tenant, "content": "", "url": ""},
            },
            1,
        )
    await world.run_to_the_end()
    assert sorted(world.titles.values()) == ["acme", "globex", "initech"]
    assert world.verdicts == {"indexed": 3}
