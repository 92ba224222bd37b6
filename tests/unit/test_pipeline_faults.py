"""The real pipeline on fakes, in virtual time: retries, rejections, halts, pressure and the end."""

import asyncio
import dataclasses

import pytest

from tests import builders
from tests.fakes.elasticsearch import REJECTED, UNAVAILABLE, UNPARSABLE
from tests.fakes.world import RULES, TOPIC, Gate, World
from worker.errors import HaltReason, RetryLater, RetryReason
from worker.records import ItemResponse, TopicPartition
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.dead_letters import letter_of
from worker.stages.rules import FieldRule, FieldType, OnBadField, TombstoneMeaning

pytestmark = pytest.mark.virtual_time
ONE, TWO, THREE = (builders.place(row_id=number) for number in (1, 2, 3))
MIB = 1024 * 1024


def three_rows(*, with_dead_letters: bool = True) -> World:
    world = World(with_dead_letters=with_dead_letters)
    for number in (1, 2, 3):
        world.upsert(number, f"text {number}", lsn=number)
    return world


@pytest.mark.parametrize("response", [REJECTED, UNAVAILABLE])
async def test_only_the_items_worth_it_are_sent_again_with_the_same_bytes(response: ItemResponse) -> None:
    world = three_rows()
    world.index.fail_item(TWO.document_id, response, times=2)
    await world.run_to_the_end()
    first, second, third = world.index.requests
    assert len(first) == 3
    assert second == third == [first[1]]
    assert len(world.embedder.texts) == 3
    assert world.verdicts == {"indexed": 3}
    assert world.committed() == 3


async def test_a_lost_reply_is_sent_again_and_harmless() -> None:
    world = three_rows()
    world.index.fail_request(RetryLater(RetryReason.TIMEOUT, "no answer"), applied=True)
    await world.run_to_the_end()
    first, second = world.index.requests
    assert first == second
    assert world.index.writes == 3
    assert sorted(world.titles.values()) == ["text 1", "text 2", "text 3"]
    assert world.verdicts == {"indexed": 3}
    assert len(world.embedder.texts) == 3


async def test_a_lookup_is_tried_again() -> None:
    world = three_rows()
    for _ in range(3):
        world.index.fail_lookup(RetryLater(RetryReason.CONNECTION, "reset"))
    await world.run_to_the_end()
    assert world.verdicts == {"indexed": 3}
    assert world.value("syncline_retries_total", operation="lookup", reason="connection") == 3


async def test_a_request_that_is_too_large_is_split_down_to_the_document_that_never_fits() -> None:
    world = World()
    world.index.max_bytes = 3000
    for number in range(1, 7):
        world.upsert(number, f"text {number}", lsn=number, content="x" * (5000 if number == 4 else 500))
    await world.run_to_the_end()
    assert len(world.titles) == 5
    assert world.verdicts == {"indexed": 5, "document_too_large": 1}
    (letter,) = world.dead_letters.sent
    assert dict(letter.headers)["syncline-offset"] == b"3"
    assert world.committed() == 6


async def test_a_rejected_record_is_put_aside_and_the_others_go_on() -> None:
    world = World()
    world.append(b"not json", 1)
    world.upsert(2, "a", lsn=1)
    await world.run_to_the_end()
    (letter,) = world.dead_letters.sent
    assert letter.value == b"not json"
    headers = dict(letter.headers)
    assert headers["syncline-reason"] == b"invalid_json"
    assert (headers["syncline-stage"], headers["syncline-offset"]) == (b"decode", b"0")
    assert world.verdicts == {"invalid_json": 1, "indexed": 1}
    assert world.committed() == 2


async def test_a_dead_letter_says_all_that_a_replay_needs() -> None:
    url = FieldRule("url", "url", FieldType.INTEGER)
    world = World(rules=dataclasses.replace(RULES, fields=(*RULES.fields[:2], url)))
    world.upsert(2, "b", lsn=7, url=5)
    world.upsert(1, "a", lsn=9, url="no number")
    world.append(builders.event("r", builders.row(3, url="none"), lsn=None), 3)
    world.index.fail_item(TWO.document_id, UNPARSABLE)
    await world.run_to_the_end()
    letters = {letter.record.position.offset: letter for letter in map(letter_of, world.dead_letters.sent) if letter}
    assert [(letters[offset].stage, letters[offset].place) for offset in (0, 1, 2)] == [
        ("bulk", TWO),
        ("decode", ONE),
        ("decode", THREE),
    ]
    assert [(letters[offset].version, letters[offset].watermark) for offset in (0, 1, 2)] == [(7, 0), (9, 7), (None, 9)]
    assert {(letter.source, letter.version_epoch, letter.attempts) for letter in letters.values()} == {
        ("articles", 0, 1)
    }


async def test_a_record_with_neither_key_nor_value_can_be_put_aside() -> None:
    world = World(rules=dataclasses.replace(RULES, tombstone=TombstoneMeaning.DELETE))
    world.log.append(TopicPartition(TOPIC, 0), None, None)
    await world.run_to_the_end()
    (stored,) = world.dead_letters.sent
    letter = letter_of(stored)
    assert letter is not None
    assert (letter.record.key, letter.record.value) == (None, None)
    assert world.committed() == 1


@pytest.mark.parametrize(("max_bytes", "omitted"), [(1500, b"value"), (750, b"record")])
async def test_a_record_that_is_too_large_for_the_topic_is_put_aside_without_what_is_too_large(
    max_bytes: int, omitted: bytes
) -> None:
    world = World()
    world.dead_letters.max_bytes = max_bytes
    world.log.append(TopicPartition(TOPIC, 0), b"k" * 600, b"x" * 3000)
    await world.run_to_the_end()
    assert dict(world.dead_letters.sent[0].headers)["syncline-omitted"] == omitted
    assert world.verdicts == {"invalid_json": 1}
    assert world.committed() == 1


async def test_a_topic_that_takes_not_even_the_headers_halts() -> None:
    world = World()
    world.dead_letters.max_bytes = 10
    world.append(b"not json", 1)
    async with world.running():
        told = await world.until_halted()
        assert "max.message.bytes" in told[HaltReason.DEAD_LETTERS_UNAVAILABLE]
        assert world.committed() is None


async def test_a_rejected_record_of_a_lost_assignment_is_not_put_aside() -> None:
    """Whoever has its partition now does that."""
    world = three_rows()
    world.index.fail_item(TWO.document_id, UNPARSABLE)
    world.index.before_bulk = gate = Gate()
    async with world.running():
        await world.until(lambda: gate.waiting)
        rebalance = asyncio.create_task(world.source.rebalance())
        await asyncio.sleep(25)  # longer than the drain may take
        await rebalance
        gate.open()
        await world.settle()
    assert not world.dead_letters.sent
    assert len(world.titles) == 3


async def test_a_value_made_null_by_choice_is_counted_and_its_row_written() -> None:
    url = FieldRule("url", "url", FieldType.INTEGER, on_bad=OnBadField.NULL)
    world = World(rules=dataclasses.replace(RULES, fields=(*RULES.fields[:2], url)))
    world.upsert(1, "a", lsn=1, url="no number")
    world.upsert(2, "b", lsn=2, url=5)
    await world.run_to_the_end()
    assert world.verdicts == {"indexed": 2}
    assert "url" not in world.index.documents[ONE].body
    assert world.index.documents[TWO].body["url"] == 5
    assert world.metrics.registry.get_sample_value("syncline_nulled_fields_total", {"source": RULES.name}) == 1


async def test_a_refused_document_is_put_aside_and_its_neighbours_are_written() -> None:
    world = three_rows()
    world.index.fail_item(TWO.document_id, UNPARSABLE)
    await world.run_to_the_end()
    assert world.titles.keys() == {ONE, THREE}
    assert world.verdicts == {"indexed": 2, "document_refused": 1}
    assert dict(world.dead_letters.sent[0].headers)["syncline-stage"] == b"bulk"
    assert world.committed() == 3


async def test_a_rejected_record_is_durable_before_its_offset_is_committed() -> None:
    world = World()
    world.dead_letters.before_send = gate = Gate()
    world.append(b"not json", 1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        await asyncio.sleep(15)
        assert world.committed() is None
        gate.open()
        await world.settle()
        await asyncio.sleep(1.5)
        assert world.committed() == 1


async def test_the_row_of_a_rejected_change_is_free_again() -> None:
    world = World()
    world.upsert(1, "bad", lsn=1)
    world.index.fail_item(ONE.document_id, UNPARSABLE)
    async with world.running():
        await world.settle()
        world.upsert(1, "good", lsn=2)
        await world.settle()
    assert world.titles == {ONE: "good"}


async def test_bytes_in_flight_pause_the_source_and_their_end_resumes_it() -> None:
    world = World(batch=BatchSettings.model_validate({"max_in_flight": MIB}), fetch_max_records=10)
    world.index.before_bulk = gate = Gate()
    for number in range(300):
        world.upsert(number, "a", lsn=1 + number, content="x" * 4000)
    async with world.running():
        await world.until(lambda: world.source.paused)
        await asyncio.sleep(60)
        assert world.source.paused
        assert MIB < world.pipeline.ledger.bytes_in_flight < 1.2 * MIB
        assert world.consumed < 150
        assert world.value("syncline_fetch_paused") == 1
        gate.open()
        await world.settle()
        assert world.value("syncline_fetch_paused") == 0
        assert world.pipeline.ledger.bytes_in_flight == 0
    assert world.verdicts == {"indexed": 300}


async def test_changes_of_one_busy_row_are_bounded_too() -> None:
    world = World(batch=BatchSettings.model_validate({"max_in_flight": MIB}), fetch_max_records=10)
    world.index.before_bulk = gate = Gate()
    for lsn in range(300):
        world.upsert(1, "a", lsn=1 + lsn, content="x" * 4000)
    async with world.running():
        await world.until(lambda: world.source.paused)
        gate.open()
        await world.settle()
    assert world.verdicts.total() == 300


async def test_stop_finishes_what_is_in_flight_drops_what_waits_and_commits() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "first", lsn=1)
    async with world.running() as task:
        await world.until(lambda: gate.waiting)
        world.upsert(1, "second", lsn=2)
        await world.until(lambda: world.consumed == 2)
        world.pipeline.stop()
        await asyncio.sleep(5)
        assert not task.done()
        gate.open()
        await task
    assert world.titles == {ONE: "first"}
    assert world.committed() == 1


async def test_stop_does_not_wait_for_brokers_that_swallow_packets() -> None:
    world = World()

    async def connect(_: object) -> None:
        await asyncio.sleep(3600)

    world.source.start = connect  # type: ignore[method-assign, assignment]
    loop = asyncio.get_running_loop()
    async with world.running() as task:
        await asyncio.sleep(1)
        started = loop.time()
        world.pipeline.stop()
        await task
        assert loop.time() - started < 1


async def test_stop_takes_in_nothing_more() -> None:
    world = World()
    world.index.before_bulk = gate = Gate()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.until(lambda: gate.waiting)
        world.pipeline.stop()
        await asyncio.sleep(0)
        world.upsert(2, "b", lsn=2)
        await asyncio.sleep(5)
        gate.open()
    assert world.consumed == 1


async def test_stop_waits_no_longer_than_its_deadline() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    world.index.before_bulk = gate = Gate(lambda places: TWO in places)
    world.upsert(1, "a", lsn=1)
    loop = asyncio.get_running_loop()
    async with world.running() as task:
        await world.settle()
        world.upsert(2, "b", lsn=2)
        await world.until(lambda: gate.waiting)
        world.pipeline.stop()
        started = loop.time()
        await task
        assert loop.time() - started == pytest.approx(7, abs=0.1)
    assert world.committed() == 1


async def test_stop_in_a_backoff_waits_no_longer_either() -> None:
    world = World(delivery=DeliverySettings(drain_timeout=7))
    for _ in range(1000):
        world.index.fail_request(RetryLater(RetryReason.CONNECTION, "refused"))
    world.upsert(1, "a", lsn=1)
    loop = asyncio.get_running_loop()
    async with world.running() as task:
        await asyncio.sleep(100)
        world.pipeline.stop()
        started = loop.time()
        await task
        assert loop.time() - started <= 7.1
    assert world.committed() is None


async def test_a_commit_that_fails_is_made_good_by_the_next() -> None:
    world = World()
    world.source.commit_faults.append(RetryLater(RetryReason.CONNECTION, "coordinator not available"))
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await world.settle()
        await asyncio.sleep(2.5)
        assert world.committed() == 1
    assert world.value("syncline_commits_total", outcome="failed") == 1


async def test_nothing_new_means_no_commit() -> None:
    world = World()
    world.upsert(1, "a", lsn=1)
    async with world.running():
        await asyncio.sleep(30)
    assert world.value("syncline_commits_total", outcome="ok") == 1
