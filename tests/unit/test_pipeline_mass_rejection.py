"""When too much is rejected, the worker halts before the dead-letter topic is flooded, until it is over."""

import asyncio
import logging

import pytest

from tests import builders
from tests.fakes.elasticsearch import UNPARSABLE
from tests.fakes.world import World
from worker.errors import HaltReason, RejectReason
from worker.records import Rejection, TopicPartition
from worker.settings import DeliverySettings

pytestmark = pytest.mark.virtual_time
INTERVAL = 30.0
GARBAGE = b"not json"


def garbage(world: World, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        world.append(GARBAGE, number)


def good(world: World, count: int, first: int) -> None:
    for number in range(first, first + count):
        world.upsert(number, "good", lsn=number)


async def test_the_dead_letter_topic_gets_no_more_than_the_limit_and_one_an_interval() -> None:
    world = World(fetch_max_records=1)
    garbage(world, 1000)
    async with world.running() as task:
        reasons = await world.until_halted()
        await asyncio.sleep(1)
        assert len(world.dead_letters.sent) <= 99
        told = reasons[HaltReason.MASS_REJECTION]
        for part in ("'articles'", "decode", "100 of the last 200", "delivery.rejections_in_a_row", "JSON"):
            assert part in told
        await asyncio.sleep(100 * INTERVAL)
        assert 100 <= len(world.dead_letters.sent) <= 99 + 200
        assert not task.done()
        assert world.value("syncline_halted", reason="mass_rejection") == 1
        await asyncio.sleep(2)
        assert world.committed() == len(world.dead_letters.sent)


async def test_good_records_close_it_and_what_waited_passes() -> None:
    world = World(fetch_max_records=200)
    garbage(world, 400)
    async with world.running():
        await world.until_halted()
        good(world, 300, first=1000)
        await asyncio.sleep(3 * INTERVAL)
        assert len(world.titles) == 300
        assert len(world.dead_letters.sent) == 400
        assert world.value("syncline_halted", reason="mass_rejection") == 0
        await asyncio.sleep(2)
        assert world.committed() == 700


async def test_more_than_half_of_many_is_too_much_though_never_a_hundred_in_a_row() -> None:
    world = World(fetch_max_records=30)
    for number in range(400):
        garbage(world, 2, first=10_000 + 2 * number)
        good(world, 1, first=1 + number)
    async with world.running():
        await world.until_halted()
        await asyncio.sleep(10 * INTERVAL)
        assert len(world.dead_letters.sent) < 150


async def test_good_rows_that_are_slow_to_embed_do_not_make_the_bad_ones_among_them_look_many() -> None:
    world = World()

    async def slow(_texts: object) -> None:
        await asyncio.sleep(10)

    world.embedder.before_embed = slow
    for number in range(300):
        garbage(world, 1, first=10_000 + number)
        good(world, 3, first=1 + 3 * number)
    await world.run_to_the_end()
    assert world.value("syncline_halts_total", reason="mass_rejection") == 0


async def test_half_of_all_may_be_rejected_for_ever() -> None:
    world = World(fetch_max_records=30)
    for number in range(500):
        garbage(world, 1, first=10_000 + number)
        good(world, 1, first=1 + number)
    await world.run_to_the_end()
    assert len(world.dead_letters.sent) == 500
    assert world.value("syncline_halts_total", reason="mass_rejection") == 0


async def test_documents_that_elasticsearch_refuses_count_like_those_that_cannot_be_read() -> None:
    world = World()
    for number in range(150):
        world.upsert(number, "a", lsn=1 + number)
        world.index.fail_item(builders.place(row_id=number).document_id, UNPARSABLE, times=10)
    async with world.running():
        await world.until_halted()
        await asyncio.sleep(1)
        assert len(world.dead_letters.sent) < 100


async def test_in_a_replay_superseded_records_make_up_for_the_bad_ones() -> None:
    world = World(fetch_max_records=20)
    for number in range(300):
        garbage(world, 1, first=10_000 + number)
        good(world, 2, first=1 + 2 * number)
    await world.run_to_the_end()
    again = World(like=world, fetch_max_records=20)
    again.log.commits.clear()
    await again.run_to_the_end()
    assert again.verdicts == {"superseded": 600, "invalid_json": 300}


async def test_skipped_records_neither_break_nor_mend() -> None:
    world = World(fetch_max_records=1)
    for number in range(150):
        garbage(world, 1, first=number)
        world.log.append(next(iter(world.log.records)), b'{"id":1}', None)
    async with world.running():
        await world.until_halted()
        await asyncio.sleep(1)
        assert len(world.dead_letters.sent) <= 99


async def test_a_person_can_switch_it_off() -> None:
    world = World(delivery=DeliverySettings(rejections_in_a_row=0, rejection_share=1))
    garbage(world, 1000)
    await world.run_to_the_end()
    assert len(world.dead_letters.sent) == 1000


@pytest.mark.parametrize("seconds", [0.5, 200])
async def test_stop_is_prompt_while_records_are_held_back(seconds: float) -> None:
    world = World()
    garbage(world, 300)
    async with world.running() as task:
        await world.until_halted()
        await asyncio.sleep(seconds)
        started = asyncio.get_running_loop().time()
        world.pipeline.stop()
        await task
        assert asyncio.get_running_loop().time() - started < 2
    assert (world.committed() or 0) == len(world.dead_letters.sent) < 120


async def test_a_rebalance_hands_what_is_held_back_to_whoever_comes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    garbage(world, 150)
    async with world.running():
        await world.until_halted()
        await world.source.rebalance()
        (lifted,) = (one for one in caplog.records if getattr(one, "action", "") == "halt_lifted")
        assert lifted.message.startswith("not mended")
        await world.until_halted()
        await asyncio.sleep(3 * INTERVAL)
        assert 3 <= len(world.dead_letters.sent) <= 7
        await asyncio.sleep(2)
        assert world.committed() == len(world.dead_letters.sent)


async def test_the_calm_of_another_source_lets_nothing_pass() -> None:
    """A source whose rows are good again says nothing of another one."""
    world = World(delivery=DeliverySettings(rejections_in_a_row=2))
    rejecting = world.pipeline._rejecting
    unreadable = Rejection(RejectReason.INVALID_JSON, "no")
    for offset, source in enumerate(["a", "a", "b", "b"]):
        rejecting.record(builders.record(offset=offset), unreadable, "decode", source, None)
    world.pipeline.ledger.begin(0, {TopicPartition(builders.TOPIC, 0): ""})
    for offset in range(4):
        world.pipeline.ledger.admit(builders.record(offset=offset))
    passing = asyncio.ensure_future(rejecting.run())
    await asyncio.sleep(1)
    for _ in range(2):
        rejecting.accepted("b", "decode")
    await asyncio.sleep(1)
    assert not world.dead_letters.sent
    for _ in range(2):
        rejecting.accepted("a", "decode")
    await asyncio.sleep(1)
    assert len(world.dead_letters.sent) == 4
    passing.cancel()
    await asyncio.wait([passing])
