"""The real pipeline on fakes, in virtual time: faults that are no record's, and how it goes on when they are mended."""

import asyncio
from collections.abc import Sequence

import pytest

from tests import builders
from tests.fakes.elasticsearch import FLOOD_STAGE, UNPARSABLE
from tests.fakes.source import FakeSource
from tests.fakes.world import GROUP, TOPIC, Gate, World
from worker.errors import Halt, HaltReason, OperatorError, RejectReason, RetryLater, RetryReason
from worker.ports import Commit, RequestTooLargeError
from worker.records import ItemResponse, Position, Record, Rejection, TopicPartition
from worker.runtime.clock import Clock
from worker.runtime.health import Health
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.start_offsets import OffsetPolicy

pytestmark = pytest.mark.virtual_time
ONE, TWO, THREE = (builders.place(row_id=number) for number in (1, 2, 3))
ZERO = TopicPartition(TOPIC, 0)
INTERVAL = 30.0
HOUR = 3600.0
ONE_A_REQUEST = BatchSettings(bulk_documents=1, bulk_concurrency=1)


def three_rows(world: World | None = None) -> World:
    world = world or World()
    for number in (1, 2, 3):
        world.upsert(number, f"text {number}", lsn=number)
    return world


def health_of(world: World) -> Health:
    pipeline = world.pipeline
    return Health(pipeline.ledger, pipeline.retrying, pipeline.watchdog, pipeline.target_watch, 300, Clock())


def halted(world: World, reason: HaltReason) -> float:
    return world.value("syncline_halted", reason=reason)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (ItemResponse(404, "index_not_found_exception", "no such index"), HaltReason.TARGET_MISSING),
        (ItemResponse(403, "cluster_block_exception", "index write (api)"), HaltReason.WRITE_BLOCKED),
        (FLOOD_STAGE, HaltReason.DISK_FLOOD_STAGE),
        (ItemResponse(401, "security_exception", "expired"), HaltReason.UNAUTHENTICATED),
    ],
)
async def test_a_fault_of_the_target_halts_until_it_is_mended(response: ItemResponse, reason: HaltReason) -> None:
    world = three_rows(World(batch=ONE_A_REQUEST))
    health = health_of(world)
    world.index.fail_item(TWO.document_id, response, times=1000)
    async with world.running() as task:
        assert (await world.until_halted()).keys() == {reason}
        await asyncio.sleep(HOUR / 2)
        assert not task.done()
        assert world.committed() == 1, "only what is resolved is committed"
        assert world.titles.keys() == {ONE}
        assert [halted(world, one) for one in HaltReason] == [one is reason for one in HaltReason]
        assert health.live().ok
        assert health.ready().reason.startswith(f"halted: {reason}: {response.error_type}")
        assert world.source in world.source.group.members
        world.index.heal()
        await asyncio.sleep(INTERVAL + 1)
        assert world.titles.keys() == {ONE, TWO, THREE}
        assert health.ready().ok
    assert world.committed() == 3
    assert halted(world, reason) == 0
    assert world.value("syncline_halts_total", reason=reason) == 1
    assert sorted(world.embedder.texts) == ["text 1", "text 2", "text 3"], "vectors are kept"
    tries = [request for request in world.index.requests if b'"_id":"acme/articles/2"' in request[0]]
    assert len(tries) > HOUR / 2 / INTERVAL
    assert all(request == tries[0] for request in tries), "and so are the bytes"


async def test_while_halted_nothing_is_fetched() -> None:
    world = three_rows()
    world.index.alias_exists = False
    async with world.running():
        await world.until_halted()
        consumed = world.consumed
        for number in range(4, 5000):
            world.upsert(number, "late", lsn=number)
        await asyncio.sleep(HOUR)
        assert world.consumed == consumed
        assert world.value("syncline_fetch_paused") == 1
        world.index.alias_exists = True
        await world.settle()
        assert len(world.titles) == 4999
        assert world.value("syncline_fetch_paused") == 0


async def test_a_probe_that_is_too_large_ends_the_halt() -> None:
    """Nothing else may be left that would: its halves are sent, and all that comes later waits to be fetched."""
    world = World()
    world.index.fail_request(Halt(HaltReason.TARGET_MISSING, "no alias"))
    world.index.fail_request(RequestTooLargeError("413"))
    world.upsert(1, "too large", lsn=1)
    async with world.running():
        await world.until_halted()
        world.upsert(2, "later", lsn=2)
        await world.settle()
        assert health_of(world).ready().ok
    assert world.verdicts == {"document_too_large": 1, "indexed": 1}


async def test_of_many_senders_that_meet_the_same_fault_one_at_a_time_probes() -> None:
    world = World(batch=BatchSettings(bulk_documents=1, bulk_concurrency=8))
    for number in range(50):
        world.upsert(number, "a", lsn=1 + number)
    blocked = ItemResponse(403, "cluster_block_exception", "index write (api)")
    for number in range(50):
        world.index.fail_item(builders.place(row_id=number).document_id, blocked, times=10_000)
    async with world.running():
        await world.until_halted()
        await asyncio.sleep(1)
        before = len(world.index.requests)
        assert before <= 8
        await asyncio.sleep(HOUR)
        probes = len(world.index.requests) - before
        assert HOUR / INTERVAL <= probes <= 2 * HOUR / INTERVAL
        world.index.heal()
        await asyncio.sleep(INTERVAL + 1)
        assert len(world.titles) == 50


async def test_a_halted_lookup_is_not_lifted_by_a_bulk_that_goes_through() -> None:
    world = three_rows()
    world.index.before_bulk = gate = Gate()
    async with world.running():
        await world.until(lambda: gate.waiting)
        for _ in range(1000):
            world.index.fail_lookup(Halt(HaltReason.FORBIDDEN, "may not read"))
        world.upsert(4, "d", lsn=4)
        await world.until_halted()
        gate.open()
        await asyncio.sleep(HOUR)
        assert halted(world, HaltReason.FORBIDDEN) == 1
        assert world.committed() == 3
        world.index.heal()
        await asyncio.sleep(INTERVAL + 1)
        assert world.committed() == 4


async def test_a_server_that_goes_away_while_halted_and_comes_back_blocked_is_told_apart() -> None:
    world = three_rows(World(batch=ONE_A_REQUEST))
    health = health_of(world)
    blocked = ItemResponse(403, "cluster_block_exception", "index write (api)")
    world.index.fail_item(ONE.document_id, blocked, times=3)
    async with world.running():
        await world.until_halted()
        for _ in range(20):
            world.index.fail_request(RetryLater(RetryReason.CONNECTION, "refused"))
        await world.until(lambda: health.ready().reason == "backing off: bulk")
        await world.until_halted()
        await world.settle()
    assert world.committed() == 3


async def test_a_mistake_that_comes_up_while_running_halts_and_does_not_end_the_process() -> None:
    world = three_rows()
    world.index.fail_request(OperatorError("elasticsearch: the TLS handshake failed (certificate has expired)"))
    async with world.running():
        reasons = await world.until_halted()
        assert "certificate has expired" in reasons[HaltReason.MISCONFIGURED]
        await world.settle()
    assert world.committed() == 3


async def test_a_broken_model_halts_until_it_works_again() -> None:
    world = three_rows()
    world.embedder.fail_with = Halt(HaltReason.EMBEDDER_FAILED, "out of memory")
    async with world.running():
        assert (await world.until_halted()).keys() == {HaltReason.EMBEDDER_FAILED}
        await asyncio.sleep(HOUR)
        assert world.committed() is None
        world.embedder.fail_with = None
        await asyncio.sleep(INTERVAL + 2)
        assert world.committed() == 3


class Polls:
    """Counts how often a source is asked for records."""

    def __init__(self, source: FakeSource) -> None:
        self.count = 0
        self._fetch = source.fetch
        source.fetch = self  # type: ignore[method-assign]

    async def __call__(self) -> Sequence[Record]:
        self.count += 1
        return await self._fetch()


async def test_a_dead_letter_topic_that_cannot_be_written_to_halts_until_it_can() -> None:
    world = three_rows()
    world.append(b"not json", 4)
    world.dead_letters.fail_with = Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, "no such topic")
    polls = Polls(world.source)
    async with world.running():
        assert (await world.until_halted()).keys() == {HaltReason.DEAD_LETTERS_UNAVAILABLE}
        await asyncio.sleep(1)
        assert world.committed() == 3
        polls.count = 0
        await asyncio.sleep(HOUR)
        assert polls.count > HOUR, "who polls no more is thrown out of its group"
        world.dead_letters.fail_with = None
        await asyncio.sleep(INTERVAL + 2)
        assert world.committed() == 4
    assert len(world.dead_letters.sent) == 1


async def test_without_a_dead_letter_topic_a_rejection_halts_until_a_restart_with_one() -> None:
    rules = builders.rules(fields={"title": "title", "url": "no_such_column"}, embed=("title",))
    world = World(rules=rules, with_dead_letters=False)
    for number in range(300):
        world.upsert(number, "a", lsn=1 + number)
    async with world.running() as task:
        reasons = await world.until_halted()
        await asyncio.sleep(HOUR)
        assert not task.done()
        assert reasons.keys() == {HaltReason.RECORD_REJECTED}, "and not mass_rejection"
        for part in ("cms.public.articles[0] offset 0", "'no_such_column'", "'url'", "kafka.dead_letter_topic"):
            assert part in reasons[HaltReason.RECORD_REJECTED]
        assert world.committed() is None
        started = asyncio.get_running_loop().time()
        world.pipeline.stop()
        await task
        assert asyncio.get_running_loop().time() - started < 2
    mended = World(like=world)
    await mended.run_to_the_end()
    assert mended.committed() == 300


async def test_without_a_dead_letter_topic_a_refused_document_halts_with_elasticsearchs_reason() -> None:
    world = three_rows(World(with_dead_letters=False))
    world.index.fail_item(TWO.document_id, UNPARSABLE)
    async with world.running():
        told = (await world.until_halted())[HaltReason.RECORD_REJECTED]
        await asyncio.sleep(HOUR)
    assert "offset 1" in told
    assert "failed to parse field [published]" in told
    assert world.committed() == 1


async def test_stop_while_halted_commits_what_is_durable_at_once() -> None:
    world = three_rows(World(batch=ONE_A_REQUEST))
    world.index.fail_item(TWO.document_id, FLOOD_STAGE, times=1000)
    loop = asyncio.get_running_loop()
    async with world.running() as task:
        await world.until(lambda: ONE in world.titles)
        await world.until_halted()
        world.pipeline.stop()
        started = loop.time()
        await task
        assert loop.time() - started < 2
    assert world.committed() == 1


async def test_what_can_end_while_halted_still_ends_before_a_stop() -> None:
    world = three_rows(World(batch=BatchSettings(bulk_documents=1, bulk_concurrency=2)))
    world.index.fail_item(TWO.document_id, FLOOD_STAGE, times=1000)

    async def slow(_places: object) -> None:
        await asyncio.sleep(0.5)

    world.index.before_bulk = slow
    async with world.running() as task:
        await world.until_halted()
        assert ONE in world.titles
        world.pipeline.stop()
        await task
    assert world.committed() == 1


async def test_a_rebalance_while_halted_is_quick_and_loses_nothing() -> None:
    world = three_rows(World(batch=ONE_A_REQUEST, partitions=2))
    world.upsert(4, "text 4", lsn=4, partition=1)
    other = World(like=world)
    loop = asyncio.get_running_loop()
    world.index.alias_exists = False
    async with world.running():
        await world.until_halted()
        started = loop.time()
        async with other.running():
            await world.until(lambda: other.value("syncline_rebalances_total"))
            assert loop.time() - started < 2
            await other.until(lambda: other.pipeline.retrying.halting.halted)
            world.index.alias_exists = True
            await world.until(lambda: len(world.titles) == 4)
            await asyncio.sleep(INTERVAL + 2)
        world.upsert(1, "newer", lsn=10)
        await world.settle()
    assert world.titles[ONE] == "newer"
    assert world.committed() == 4


async def test_rejected_records_of_a_lost_assignment_are_somebody_elses() -> None:
    world = World()
    world.append(b"not json", 1)
    world.dead_letters.fail_with = Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, "no such topic")
    async with world.running():
        await world.until_halted()
        await world.source.rebalance()
        await world.until_halted()
        world.dead_letters.fail_with = None
        await asyncio.sleep(INTERVAL + 2)
        assert world.committed() == 1
    assert len(world.dead_letters.sent) == 1
    assert world.verdicts.total() == world.consumed == 2


async def test_the_row_of_a_dropped_rejection_is_free_again() -> None:
    world = World()
    world.upsert(1, "bad", lsn=1)
    world.index.fail_item(ONE.document_id, UNPARSABLE)
    world.dead_letters.fail_with = Halt(HaltReason.DEAD_LETTERS_UNAVAILABLE, "no such topic")
    async with world.running():
        await world.until_halted()
        await world.source.rebalance()
        await world.settle()
    assert world.titles == {ONE: "bad"}
    assert world.committed() == 1


async def test_what_is_refused_after_its_assignment_was_lost_is_put_aside_by_who_reads_it_again() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "bad", lsn=1)
    world.index.fail_item(ONE.document_id, UNPARSABLE, times=2)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await world.source.rebalance()
        gate.open()
        await world.settle()
    assert len(world.index.requests) == 2
    assert len(world.dead_letters.sent) == 1
    assert world.committed() == 1


async def test_a_rejection_that_is_dropped_as_it_is_taken_up_does_no_harm() -> None:
    world = World()
    rejecting = world.pipeline._rejecting
    async with world.running():
        await asyncio.sleep(1)
        rejecting.record(
            Record(Position(TOPIC, 0, 0), None, b""), Rejection(RejectReason.INVALID_JSON, "no"), "decode", "a", None
        )
        rejecting.clear()
        await asyncio.sleep(1)
        world.append(b"not json", 1)
        await world.settle()
    assert len(world.dead_letters.sent) == 1


async def test_lost_offsets_halt_outside_the_group_until_they_are_reset() -> None:
    world = three_rows()
    await world.run_to_the_end()
    world.upsert(1, "newest", lsn=9)
    again = World(like=world)
    health = health_of(again)
    again.log.commits[GROUP, ZERO] = Commit(100, "")
    async with again.running() as task:
        assert (await again.until_halted()).keys() == {HaltReason.OFFSETS_LOST}
        await asyncio.sleep(HOUR)
        assert not task.done()
        assert health.live().ok
        assert health.ready().reason.startswith("halted: offsets_lost: offset 100")
        assert again.committed() == 100
        members = []
        for _ in range(200):
            await asyncio.sleep(1)
            members.append(len(again.log.group(GROUP).members))
        assert members.count(0) > 150, "offsets can only be reset while the group is empty"
        again.log.commits[GROUP, ZERO] = Commit(3, "")
        await asyncio.sleep(INTERVAL + 2)
        assert again.titles[ONE] == "newest"
        assert again.committed() == 4
        assert health.ready().ok
        assert again.value("syncline_halts_total", reason="offsets_lost") == 1


async def test_offsets_lost_while_running_end_consumption_in_good_order() -> None:
    world = World(partitions=2, batch=ONE_A_REQUEST, fetch_max_records=1)
    world.upsert(1, "a", lsn=1)
    world.upsert(2, "b", lsn=2, partition=1)
    async with world.running():
        await world.settle()
        world.index.before_bulk = gate = Gate()
        world.upsert(1, "c", lsn=3)
        await world.until(lambda: gate.waiting)
        for _ in range(2):
            world.log.append(TopicPartition(TOPIC, 1), None, None)
        world.source._next[TopicPartition(TOPIC, 1)] = 1
        world.log.delete_before(TopicPartition(TOPIC, 1), 2)
        await world.until_halted()
        await asyncio.sleep(5)
        assert world.committed() == 1
        gate.open()
        await asyncio.sleep(2)
        assert world.committed() == 2, "what was in flight is finished and committed"
        world.log.commits[GROUP, TopicPartition(TOPIC, 1)] = Commit(2, "")
        world.upsert(1, "d", lsn=6)
        await asyncio.sleep(INTERVAL + 2)
        assert world.titles[ONE] == "d"
        assert world.committed(0) == 3
        assert world.committed(1) == 3


async def test_a_group_without_an_offset_waits_for_one() -> None:
    world = three_rows()
    world.source._start_from = OffsetPolicy.FAIL
    world._new_source = lambda: FakeSource(  # type: ignore[method-assign]
        world.log, [TOPIC], group_id=GROUP, start_from=OffsetPolicy.FAIL
    )
    async with world.running():
        assert (await world.until_halted()).keys() == {HaltReason.NO_COMMITTED_OFFSET}
        await asyncio.sleep(HOUR)
        world.log.commits[GROUP, ZERO] = Commit(1, "")
        await asyncio.sleep(INTERVAL + 2)
        assert world.titles.keys() == {TWO, THREE}
        assert world.committed() == 3


async def test_stop_while_the_group_is_left_is_prompt() -> None:
    world = three_rows()
    world.log.commits[GROUP, ZERO] = Commit(100, "")
    loop = asyncio.get_running_loop()
    async with world.running() as task:
        await world.until_halted()
        await asyncio.sleep(10)
        started = loop.time()
        world.pipeline.stop()
        await task
        assert loop.time() - started < 2


async def test_what_is_remembered_behind_one_stuck_record_is_bounded() -> None:
    batch = BatchSettings.model_validate({"max_in_flight": "1MiB"})
    world = World(batch=batch)
    world.index.before_bulk = gate = Gate(lambda places: ONE in places)
    world.upsert(1, "stuck", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        for _ in range(20_000):
            world.log.append(ZERO, None, None)
        await world.until(lambda: world.source.paused)
        await asyncio.sleep(60)
        assert 3000 < world.consumed < 6000
        gate.open()
        await world.settle()
    assert world.committed() == 20_001
