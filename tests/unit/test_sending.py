import asyncio
from dataclasses import replace

import orjson
import pytest

from tests.builders import change, place, record, unit
from tests.fakes.elasticsearch import REJECTED, UNAVAILABLE, UNPARSABLE, FakeElasticsearch
from tests.fakes.world import Gate
from worker.errors import RejectReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import RequestTooLargeError
from worker.records import ItemResponse, Place, Position, Rejection, Verdict, VersionType
from worker.runtime.clock import Clock
from worker.runtime.retrying import Retrying
from worker.runtime.sending import Item, Sender, Work, items_of
from worker.settings import DeliverySettings
from worker.stages.documents import document, hard, tombstone

pytestmark = pytest.mark.virtual_time


def work(row_id: int, version: int = 1, *, left: bool = False) -> Work:
    one = change(version, row_id=row_id, left=["former"] if left else [])
    writes = [document(one, one.fields, None, "m", None)]
    return Work(unit(one), [*writes, *(tombstone(one, place, 0) for place in one.left)])


def items(index: FakeElasticsearch, works: list[Work]) -> list[Item]:
    return [item for one in works for item in items_of(one, index.target)]


def all_held(_position: Position) -> bool:
    return True


async def send(index: FakeElasticsearch, *works: Work, metrics: Metrics | None = None) -> None:
    metrics = metrics or Metrics()
    sender = Sender(index, all_held, Retrying(DeliverySettings(), metrics), metrics, Clock())
    await sender.send(items(index, list(works)))


async def test_every_write_of_every_row_gets_its_own_answer() -> None:
    index = FakeElasticsearch()
    newer, older, moved = work(1, 5), work(1, 4), work(2, left=True)
    await send(index, newer, older, moved)
    assert [one.verdict for one in (newer, older, moved)] == [Verdict.INDEXED, Verdict.SUPERSEDED, Verdict.INDEXED]
    assert moved.verdicts == [Verdict.INDEXED, Verdict.DELETED]
    assert all(one.ended for one in (newer, older, moved))


async def test_what_another_worker_reads_again_by_now_is_not_sent_again() -> None:
    """It would come behind what that one writes, and a row without a position need not be older."""
    index, metrics = FakeElasticsearch(), Metrics()
    lost, kept = work(1, left=True), work(2)
    kept.unit.change.record = record(topic="kept")
    index.fail_request(RetryLater(RetryReason.CONNECTION, "one moment"))
    held = {lost.unit.change.record.position: 2, kept.unit.change.record.position: 100}

    def holds(position: Position) -> bool:
        held[position] -= 1
        return held[position] >= 0

    await Sender(index, holds, Retrying(DeliverySettings(), metrics), metrics, Clock()).send(items(index, [lost, kept]))
    assert (lost.verdict, lost.ended, kept.verdict) == (Verdict.SKIPPED, True, Verdict.INDEXED)
    assert index.live.keys() == {kept.unit.change.place}


async def test_what_another_worker_reads_again_by_now_is_not_sent_when_its_turn_comes() -> None:
    """Under pressure one request goes at a time, and the others wait as long as that takes."""
    index, metrics = FakeElasticsearch(), Metrics()
    index.before_bulk = gate = Gate()
    on_its_way, lost = work(1), work(2)
    held = {one.unit.change.record.position for one in (on_its_way, lost)}
    sender = Sender(index, held.__contains__, Retrying(DeliverySettings(), metrics), metrics, Clock(), concurrency=1)
    sending = asyncio.gather(*(sender.send(items(index, [one])) for one in (on_its_way, lost)))
    await asyncio.sleep(1)
    held.clear()
    gate.open()
    await sending
    assert [one.verdict for one in (on_its_way, lost)] == [Verdict.INDEXED, Verdict.SKIPPED]
    assert len(index.requests) == 1


async def test_what_was_given_up_is_not_given_up_again_when_the_rest_is_sent_in_parts() -> None:
    index, metrics = FakeElasticsearch(), Metrics()
    lost, kept = work(1, left=True), work(2)
    kept.unit.change.record = record(topic="kept")
    index.fail_request(RequestTooLargeError("too large"))

    def holds(position: Position) -> bool:
        return position.topic == "kept"

    await Sender(index, holds, Retrying(DeliverySettings(), metrics), metrics, Clock()).send(items(index, [lost, kept]))
    assert lost.verdicts == [Verdict.SKIPPED, Verdict.SKIPPED]
    assert lost.ended


async def test_a_row_of_tombstones_alone_is_deleted() -> None:
    one = change(3)
    gone = Work(unit(one), [tombstone(one, one.place, 0)])
    await send(FakeElasticsearch(), gone)
    assert gone.verdict is Verdict.DELETED


async def test_refused_retried_and_done_items_of_one_request_go_their_own_ways() -> None:
    index = FakeElasticsearch()
    works = [work(number) for number in range(4)]
    index.fail_item(works[1].unit.change.place.document_id, REJECTED)
    index.fail_item(works[2].unit.change.place.document_id, UNPARSABLE)
    index.fail_item(works[3].unit.change.place.document_id, UNAVAILABLE, times=2)
    await send(index, *works)
    sent = items(index, works)
    assert index.requests == [
        [one.data for one in sent],
        [sent[1].data, sent[3].data],
        [sent[3].data],
    ]
    assert [one.verdict for one in works] == [
        Verdict.INDEXED,
        Verdict.INDEXED,
        Verdict.DEAD_LETTERED,
        Verdict.INDEXED,
    ]
    assert works[2].rejection is not None
    assert works[2].rejection.reason is RejectReason.DOCUMENT_REFUSED


async def test_all_items_of_a_request_with_an_unknown_end_are_sent_again() -> None:
    index, works = FakeElasticsearch(), [work(1), work(2)]
    index.fail_request(RetryLater(RetryReason.CONNECTION, "reset"))
    index.fail_request(RetryLater(RetryReason.UNREADABLE_RESPONSE, "items are missing"), applied=True)
    metrics = Metrics()
    await send(index, *works, metrics=metrics)
    assert index.requests[0] == index.requests[1] == index.requests[2]
    for reason in ("connection", "unreadable_response"):
        labels = {"operation": "bulk", "reason": reason}
        assert metrics.registry.get_sample_value("syncline_retries_total", labels) == 1


async def test_after_a_halt_only_what_has_no_answer_is_sent_again() -> None:
    index, works, metrics = FakeElasticsearch(), [work(1), work(2), work(3), work(4)], Metrics()
    blocked = ItemResponse(403, "cluster_block_exception", "index write (api)")
    index.fail_item(works[1].unit.change.place.document_id, blocked)
    index.fail_item(works[2].unit.change.place.document_id, REJECTED)
    await send(index, *works, metrics=metrics)
    sent = items(index, works)
    assert index.requests == [[one.data for one in sent], [sent[1].data, sent[2].data]]
    assert [one.verdicts for one in works] == [[Verdict.INDEXED]] * 4
    assert metrics.registry.get_sample_value("syncline_halts_total", {"reason": "write_blocked"}) == 1


async def test_overload_shrinks_the_number_of_requests_at_a_time_and_calm_lets_it_grow() -> None:
    index, metrics = FakeElasticsearch(), Metrics()
    at_a_time: list[int] = []
    now = 0

    async def takes_a_second(_places: object) -> None:
        nonlocal now
        now += 1
        at_a_time.append(now)
        await asyncio.sleep(1)
        now -= 1

    index.before_bulk = takes_a_second
    sender = Sender(index, all_held, Retrying(DeliverySettings(), metrics), metrics, Clock(), concurrency=8)

    async def many(numbers: range) -> int:
        at_a_time.clear()
        await asyncio.gather(*(sender.send(items(index, [work(number)])) for number in numbers))
        return max(at_a_time)

    assert await many(range(16)) == 8
    for _ in range(4):
        index.fail_request(RetryLater(RetryReason.REJECTED, "busy"))
        await sender.send(items(index, [work(99)]))
    assert metrics.registry.get_sample_value("syncline_bulk_concurrency_limit") == 2
    assert await many(range(100, 104)) == 2
    await many(range(200, 300))
    assert metrics.registry.get_sample_value("syncline_bulk_concurrency_limit") == 8


async def test_halves_of_what_is_too_large_keep_their_order() -> None:
    index, works = FakeElasticsearch(), [work(number) for number in range(8)]
    largest = max(len(item.data) for item in items(index, works))
    index.max_bytes = 2 * largest
    await send(index, *works)
    assert [one.verdict for one in works] == [Verdict.INDEXED] * 8
    assert [one.unit.change.place for one in works] == list(index.documents)
    assert sorted(len(request) for request in index.requests) == [2, 2, 2, 2, 4, 4, 8]


async def test_items_are_counted_by_status_class() -> None:
    index, metrics = FakeElasticsearch(), Metrics()
    await send(index, work(1, 5), work(1, 4), metrics=metrics)
    value = metrics.registry.get_sample_value
    assert value("syncline_bulk_items_total", {"status": "2xx"}) == 1
    assert value("syncline_bulk_items_total", {"status": "4xx"}) == 1


@pytest.mark.parametrize("absent", [[], ["content"]])
def test_what_a_document_takes_its_values_from_is_replaced_only_after_it(absent: list[str]) -> None:
    """A crash between the two would lose the values that the event has left out."""
    one = change(5, tenant="globex", left=["acme"], absent=absent)
    moved = Work(unit(one), [document(one, one.fields, None, "m", None), tombstone(one, place("acme"), 0)])
    first, late = items_of(moved, "articles-write"), items_of(moved, "articles-write", late=True)
    assert [item.write.tombstone for item in first] == ([False] if absent else [False, True])
    assert [item.write.tombstone for item in late] == ([True] if absent else [])


GLOBAL, MOVED_FROM = Place("articles/1", "globex"), Place("articles/1", "acme")


@pytest.mark.parametrize("packed", [True, False], ids=["tombstone", "delete"])
async def test_a_refused_document_is_not_hidden_by_the_tombstone_of_its_own_id(*, packed: bool) -> None:
    """On one shard both are one document: whoever reads the change again, or replays its dead letter, must get in."""
    one = replace(change(7), place=GLOBAL, left=frozenset({MOVED_FROM}))
    gone = tombstone(one, MOVED_FROM, 0)
    moved = Work(unit(one), [document(one, one.fields, None, "m", None), gone if packed else hard(gone)])
    assert [one.write.version for one in items_of(moved, "alias", late=True)] == [7]
    moved.rejection = Rejection(RejectReason.DOCUMENT_REFUSED, "refused")
    (late,) = items_of(moved, "alias", late=True)
    assert (late.write.version, late.write.version_type) == (6, VersionType.EXTERNAL_GTE)
    assert late.write.hard is not packed
    if packed:
        assert orjson.loads(late.write.body)["sync"]["version"] == 6


@pytest.mark.parametrize(("version", "hides", "sent"), [(9, 9, 8), (9, 0, 9), (0, 0, 0)])
async def test_the_tombstone_of_a_refused_row_of_a_snapshot_replaces_what_is_there(
    version: int, hides: int, sent: int
) -> None:
    """Elasticsearch refuses a whole request for one version below 0."""
    one = replace(change(version, positioned=False), place=GLOBAL, left=frozenset({MOVED_FROM}), hides=hides)
    moved = Work(unit(one), [document(one, one.fields, None, "m", None), tombstone(one, MOVED_FROM, 0)])
    moved.rejection = Rejection(RejectReason.DOCUMENT_REFUSED, "refused")
    (late,) = items_of(moved, "alias", late=True)
    assert (late.write.version, late.write.version_type) == (sent, VersionType.EXTERNAL_GTE)


async def test_a_tombstone_elsewhere_keeps_its_version_whatever_becomes_of_the_document() -> None:
    moved = work(1, 7, left=True)
    moved.rejection = Rejection(RejectReason.DOCUMENT_REFUSED, "refused")
    assert [one.write.version for one in items_of(moved, "alias")] == [7, 7]
