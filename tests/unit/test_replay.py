"""Dead letters through the real pipeline once more, on fakes, in virtual time."""

import asyncio
import dataclasses
import random
from collections import Counter

import orjson
import pytest
from typing_extensions import override

from tests import builders
from tests.fakes.elasticsearch import UNPARSABLE
from tests.fakes.world import PATIENCE, RULES, TOPIC, Gate, World
from worker.control.dead_letters import Filters, Letters
from worker.control.dry_run import DryEmbedder, DryLocator, DrySink
from worker.control.replay import Outcome, Replay, Replayed, safe_seconds, without_breaker
from worker.control.replay_report import line, line_json, summary
from worker.metrics import Metrics
from worker.records import LogPlace, Place, TopicPartition
from worker.runtime.clock import Clock
from worker.runtime.pipeline import Pipeline, Ports
from worker.runtime.sources import Decoder, SourceReader, SourceReaders
from worker.settings import BatchSettings, DeliverySettings
from worker.settings.worker import Deletes
from worker.stages.decode import change_event, debezium
from worker.stages.documents import log_place
from worker.stages.rules import FieldRule, FieldType, SourceRules, TenantInKey, TruncatePolicy

pytestmark = pytest.mark.virtual_time

FIXED = dataclasses.replace(RULES, trusts_before=True)
BROKEN = dataclasses.replace(FIXED, fields=(*FIXED.fields[:2], FieldRule("url", "url", FieldType.INTEGER)))
"""Rejects every row whose `url` is no number."""
ONE, TWO = builders.place(row_id=1), builders.place(row_id=2)
DAY_MS = 86_400_000
DELIVERY = DeliverySettings()


class FixedClock(Clock):
    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms

    @override
    def wall_ms(self) -> int:
        return self._wall_ms


def world_of(rules: SourceRules = BROKEN) -> World:
    world = World(rules=rules, delivery=without_breaker(DELIVERY))
    world.append(b"not json", 0)  # so that no record of interest has the time 0, which says nothing
    return world


async def replay(  # noqa: PLR0913 - a test says what it is about
    world: World,
    *,
    rules: SourceRules = FIXED,
    delivery: DeliverySettings = DELIVERY,
    filters: Filters = Filters(reason="field_invalid"),  # noqa: B008 - a frozen value
    now_ms: int = 1000,
    dry_run: bool = False,
    topic: str = TOPIC,
    decode: Decoder = debezium.decode,
) -> list[Replayed]:
    told: list[Replayed] = []
    readers = SourceReaders([SourceReader(frozenset({topic}), None, decode, rules)])
    letters = aiter(Letters(world.dead_letters, filters))
    source = Replay(letters, readers, delivery, told.append, FixedClock(now_ms))
    pipeline = Pipeline(
        Ports(
            source,
            world.index,
            DryLocator(world.index) if dry_run else world.index,
            DryEmbedder("m") if dry_run else world.embedder,
            DrySink(world.index.target) if dry_run else world.index,
            source,
        ),
        source.readers,
        BatchSettings(),
        without_breaker(delivery),
        Metrics(),
    )
    async with asyncio.timeout(PATIENCE):
        await source.run(pipeline)
    return told


def outcomes(told: list[Replayed]) -> list[str]:
    return [done.outcome.value for done in told]


async def test_what_was_rejected_for_a_mistake_in_the_settings_is_indexed_with_its_own_version() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    assert not world.titles
    assert outcomes(await replay(world)) == ["indexed"]
    assert (world.titles, world.index.documents[ONE].version) == ({ONE: "a"}, 7)


async def test_a_second_replay_costs_reads_only() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    await replay(world)
    writes, texts = world.index.writes, len(world.embedder.texts)
    assert outcomes(await replay(world)) == ["superseded"]
    assert (world.index.writes, len(world.embedder.texts)) == (writes, texts)


async def test_a_newer_document_stays() -> None:
    world = world_of()
    world.upsert(1, "old", lsn=7, url="u")
    await world.run_to_the_end()
    world.upsert(1, "new", lsn=8, url="5")
    later = World(like=world, rules=BROKEN)
    await later.run_to_the_end()
    assert outcomes(await replay(world)) == ["superseded"]
    assert world.titles == {ONE: "new"}


async def test_a_letter_that_was_committed_late_keeps_its_place_in_the_log() -> None:
    """Or a snapshot that stands before it, and is read again, would take it for older."""
    world = world_of()
    world.upsert(1, "old", lsn=5, url="5")
    world.upsert(2, "other", lsn=9, url="9")
    offset = world.upsert(1, "late", lsn=7, url="u")
    await world.run_to_the_end()
    assert outcomes(await replay(world)) == ["indexed"]
    stored = world.index.documents[ONE]
    assert (stored.version, stored.body["title"]) == (7, "late")
    assert log_place(stored.body["sync"]) == LogPlace(TOPIC, 0, offset, 9)


async def test_a_letter_from_before_a_snapshot_of_its_row_is_superseded() -> None:
    """The snapshot's row has read what the letter says, but its version is that of what it has replaced."""
    world = world_of()
    world.upsert(1, "old", lsn=5, url="5")
    world.upsert(1, "rejected", lsn=7, url="u")
    world.append(snapshot_of(1, "since", url="8"), 1)
    await world.run_to_the_end()
    assert world.index.documents[ONE].version == 5
    assert outcomes(await replay(world)) == ["superseded"]
    assert world.titles == {ONE: "since"}


async def test_a_snapshot_that_was_rejected_is_superseded_by_what_was_committed_behind_it() -> None:
    world = world_of()
    world.upsert(1, "old", lsn=5, url="5")
    world.upsert(2, "other", lsn=9, url="9")
    world.append(snapshot_of(1, "old", url="u"), 1)
    world.upsert(1, "late", lsn=7, url="7")
    await world.run_to_the_end()
    assert outcomes(await replay(world)) == ["superseded"]
    assert world.titles[ONE] == "late"


def snapshot_of(row_id: int, title: str, url: str) -> object:
    row = builders.row(row_id, "acme", title=title, url=url)
    return builders.event("r", row, lsn=None, snapshot="incremental")


async def test_a_row_that_was_deleted_since_stays_deleted() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    world.append(builders.event("d", None, builders.row(1), lsn=8), 1)
    await world.run_to_the_end()
    assert outcomes(await replay(world)) == ["superseded"]
    assert not world.titles


async def test_a_row_that_has_moved_since_stays_where_it_is() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    moved = builders.event("u", builders.row(1, "globex", title="b", url=None), builders.row(1), lsn=8)
    world.append(moved, 1)
    await world.run_to_the_end()
    assert outcomes(await replay(world)) == ["superseded"]
    assert world.titles == {builders.place("globex"): "b"}


async def test_a_move_that_was_rejected_is_made_whole() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="5")
    world.append(builders.event("u", builders.row(1, "globex", title="b", url="u"), builders.row(1), lsn=8), 1)
    await world.run_to_the_end()
    assert world.titles == {}, "it has left its former tenant whatever it is now"
    assert outcomes(await replay(world)) == ["indexed"]
    assert world.titles == {builders.place("globex"): "b"}


async def test_a_row_whose_tombstone_is_purged_is_refused() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    world.append(builders.event("d", None, builders.row(1), lsn=8), 1)
    await world.run_to_the_end()
    del world.index.documents[ONE]
    (done,) = await replay(world, now_ms=8 * DAY_MS)
    assert done.outcome is Outcome.REFUSED
    assert "tombstone_retention (7d)" in done.detail
    assert not world.titles


async def test_an_old_letter_is_tried_where_the_rows_document_is_there_and_older() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="5")
    world.upsert(1, "b", lsn=8, url="u")
    world.upsert(2, "b", lsn=9, url="u")
    world.append(builders.event("d", None, builders.row(2), lsn=10), 2)
    await world.run_to_the_end()
    assert sorted(outcomes(await replay(world, now_ms=30 * DAY_MS))) == ["indexed", "superseded"]
    assert world.titles == {ONE: "b"}


async def test_an_old_delete_is_always_tried() -> None:
    world = World(rules=FIXED)
    world.append(b"not json", 0)
    world.index.fail_item(ONE.document_id, UNPARSABLE)
    world.append(builders.event("d", None, builders.row(1), lsn=8), 1)
    await world.run_to_the_end()
    told = await replay(world, filters=Filters(reason="document_refused"), now_ms=30 * DAY_MS)
    assert outcomes(told) == ["deleted"]
    assert world.index.documents[ONE].deleted


@pytest.mark.parametrize("retention", [60.0, 7 * 86_400.0])
def test_the_limit_of_age_lies_before_the_purge(retention: float) -> None:
    safe = safe_seconds(DeliverySettings(tombstone_retention=retention))
    assert 0.9 * retention <= safe < retention
    assert retention - safe <= 3600


async def test_a_tenant_that_is_made_up_in_the_keys_of_deletes_leaves_no_mark_either() -> None:
    declared = dataclasses.replace(BROKEN, trusts_before=False, tenant_in_key=TenantInKey.MESSAGE_KEY)
    world = world_of(declared)
    change = builders.event("u", builders.row(1, title="a", url="u"), lsn=7)
    key = {"tenant": "acme", "id": 1}
    world.log.append(TopicPartition(TOPIC, 0), orjson.dumps(key), orjson.dumps(change))
    await world.run_to_the_end()
    (done,) = await replay(world, rules=dataclasses.replace(RULES, tenant_in_key=TenantInKey.MESSAGE_KEY))
    assert done.outcome is Outcome.REFUSED
    assert "its key does not tell the tenant" in done.detail


@pytest.mark.parametrize("named", [True, False])
async def test_a_change_event_is_replayed_if_it_names_its_tenant_apart_from_the_row(named: bool) -> None:  # noqa: FBT001
    """Where it does, deletes do so, too, and leave their mark; where it does not, the operator reads what to do."""
    world = World(rules=BROKEN, delivery=without_breaker(DELIVERY), decode=change_event.decode)
    world.append(b"not json", 0)
    event = {"op": "upsert", "key": {"id": 1}, "version": 7, "row": builders.row(1, title="a", url="u")}
    if named:
        event["tenant"] = "acme"
    world.log.append(TopicPartition(TOPIC, 0), None, orjson.dumps(event))
    await world.run_to_the_end()
    (done,) = await replay(world, rules=RULES, decode=change_event.decode)
    assert done.outcome is (Outcome.INDEXED if named else Outcome.REFUSED)
    if not named:
        assert done.detail.startswith("its row is not in the index, and its tenant is in the row alone")
        assert done.detail.endswith("; write an event of the row again, if it still exists")


async def test_a_row_of_a_source_whose_deletes_leave_no_mark_is_refused_while_it_is_absent() -> None:
    """The key does not hold the tenant, and the old image is not trusted: where nothing was, nothing was marked."""
    world = world_of(dataclasses.replace(BROKEN, trusts_before=False))
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    (done,) = await replay(world, rules=RULES)
    assert done.outcome is Outcome.REFUSED
    assert "its key does not tell the tenant" in done.detail
    world.index.documents[ONE] = world.index.documents.get(ONE) or _held(6)
    assert outcomes(await replay(world, rules=RULES)) == ["indexed"]


def _held(version: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from tests.fakes.elasticsearch import Held  # noqa: PLC0415

    return Held(version, {"title": "older", "sync": {"version": version}})


async def test_where_deletes_are_hard_an_absent_row_is_refused_at_any_age() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    (done,) = await replay(world, delivery=DeliverySettings(deletes=Deletes.HARD))
    assert done.outcome is Outcome.REFUSED
    assert "hard" in done.detail


async def test_of_a_letter_whose_record_has_no_time_that_is_said_and_not_that_it_is_too_old() -> None:
    world = World(rules=BROKEN, delivery=without_breaker(DELIVERY))
    world.upsert(1, "a", lsn=7, url="u")  # the first record of all, at time 0
    await world.run_to_the_end()
    (done,) = await replay(world)
    assert done.outcome is Outcome.REFUSED
    assert "its record has no time" in done.detail
    assert "too old" not in done.detail


async def test_a_change_without_a_version_takes_the_watermark_it_had() -> None:
    world = world_of()
    world.upsert(2, "b", lsn=50, url="5")
    world.append(builders.event("r", builders.row(1, title="a", url="u"), lsn=None), 1)
    world.upsert(2, "c", lsn=60, url="5")
    await world.run_to_the_end()
    assert outcomes(await replay(world)) == ["indexed"]
    assert world.index.documents[ONE].version == 50


async def test_a_change_without_a_version_never_replaces_what_has_the_same() -> None:
    """Both took the watermark, and the stored one came later in the log."""
    world = world_of()
    world.upsert(2, "b", lsn=50, url="5")
    world.append(builders.event("r", builders.row(1, title="older", url="u"), lsn=None), 1)
    world.append(builders.event("r", builders.row(1, title="newer", url="5"), lsn=None), 1)
    await world.run_to_the_end()
    (done,) = await replay(world)
    assert done.outcome is Outcome.SUPERSEDED
    assert "no version of its own" in done.detail
    assert world.titles[ONE] == "newer"


async def test_a_letter_of_another_version_epoch_is_refused() -> None:
    """Its position would count as one of the new history, and beat what is newer there."""
    world = world_of()
    world.upsert(1, "a", lsn=10**6, url="u")
    await world.run_to_the_end()
    (done,) = await replay(world, rules=dataclasses.replace(FIXED, version_epoch=1))
    assert done.outcome is Outcome.REFUSED
    assert "version_epoch 0" in done.detail


async def test_what_is_rejected_again_is_said_and_not_written_a_second_time() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    world.upsert(2, "b", lsn=8, url="u")
    await world.run_to_the_end()
    before = list(world.dead_letters.sent)
    world.index.fail_item(TWO.document_id, UNPARSABLE)
    told = {done.letter.place: done for done in await replay(world)}
    assert told[ONE].outcome is Outcome.INDEXED
    assert told[TWO].outcome is Outcome.REJECTED
    assert told[TWO].detail.startswith("document_refused: document_parsing_exception")
    assert world.dead_letters.sent == before
    (again,) = await replay(world, filters=Filters(reason="invalid_json"))
    assert (again.outcome, again.detail[:13]) == (Outcome.REJECTED, "invalid_json:")


async def test_a_record_that_was_put_aside_twice_has_two_outcomes_and_one_write() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    world.dead_letters.sent.append(dataclasses.replace(world.dead_letters.sent[-1]))
    assert outcomes(await replay(world)) == ["indexed", "superseded"]
    assert world.index.writes == 1


async def test_a_truncate_that_was_rejected_empties_the_table_when_its_source_lets_it() -> None:
    world = World(rules=FIXED)
    for row_id in range(1, 6):
        world.upsert(row_id, "old", lsn=6 + row_id)
    world.log.append(TopicPartition(TOPIC, 0), None, orjson.dumps(builders.event("t", None, lsn=20)))
    world.upsert(1, "new", lsn=21)
    await world.run_to_the_end()
    filters = Filters(reason="unsupported_operation")
    writes = world.index.writes
    emptying = dataclasses.replace(FIXED, truncate=TruncatePolicy.DELETE_ALL)
    assert outcomes(await replay(world, rules=emptying, filters=filters, dry_run=True)) == ["deleted"]
    assert world.index.writes == writes
    assert outcomes(await replay(world, rules=emptying, filters=filters)) == ["deleted"]
    assert world.titles == {ONE: "new"}


async def test_a_dry_run_says_the_same_and_does_nothing() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    world.upsert(2, "old", lsn=8, url="u")
    world.upsert(2, "new", lsn=9, url="5")
    await world.run_to_the_end()
    writes, texts = world.index.writes, len(world.embedder.texts)
    dry = await replay(world, dry_run=True)
    assert (world.index.writes, len(world.embedder.texts)) == (writes, texts)
    assert sorted(outcomes(dry)) == sorted(outcomes(await replay(world))) == ["indexed", "superseded"]


async def test_more_letters_than_a_batch_are_all_replayed() -> None:
    world = world_of()
    for number in range(450):
        world.upsert(number, f"t{number}", lsn=number + 1, url="u")
    await world.run_to_the_end()
    assert Counter(outcomes(await replay(world))) == {"indexed": 450}
    assert len(world.titles) == 450


async def test_no_letters_at_all_end_at_once() -> None:
    assert await replay(World(rules=BROKEN)) == []


async def test_a_letter_without_its_value_is_refused_with_where_it_is() -> None:
    world = world_of()
    world.dead_letters.max_bytes = 2000
    world.upsert(1, "a", lsn=7, url="u", content="x" * 5000)
    await world.run_to_the_end()
    assert world.verdicts == {"invalid_json": 1, "field_invalid": 1}
    assert world.committed() == 2
    (done,) = await replay(world)
    assert done.outcome is Outcome.REFUSED
    assert "cms.public.articles[0] offset 1" in done.detail


async def test_a_letter_of_a_topic_that_no_source_reads_is_refused() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    (done,) = await replay(world, topic="another")
    assert (done.outcome, done.detail) == (Outcome.REFUSED, f"no source reads topic {TOPIC}")


async def test_a_worker_that_writes_a_newer_version_meanwhile_wins() -> None:
    world = world_of()
    world.upsert(1, "old", lsn=7, url="u")
    await world.run_to_the_end()
    world.index.before_bulk = gate = Gate()
    replaying = asyncio.create_task(replay(world))
    await world.until(lambda: gate.waiting)  # looked up, planned, and about to be written
    world.index.before_bulk = Gate(holds=lambda _: False)
    world.upsert(1, "new", lsn=8, url="5")
    await World(like=world, rules=BROKEN).run_to_the_end()
    gate.open()
    assert outcomes(await replaying) == ["superseded"]
    assert world.titles == {ONE: "new"}


async def test_letters_are_chosen_by_reason_tenant_source_and_time() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    world.upsert(2, "b", lsn=8, url="u", tenant="globex")
    await world.run_to_the_end()
    assert len(await replay(world, filters=Filters(tenant="globex"))) == 1
    assert len(await replay(world, filters=Filters(source="articles"))) == 3
    assert await replay(world, filters=Filters(source="others")) == []
    assert await replay(world, filters=Filters(since_ms=1)) == []


@pytest.mark.parametrize("seed", range(40))
async def test_a_replay_beside_a_worker_ends_with_what_the_database_holds(seed: int) -> None:
    """Random rows, moves, deletes and rejections; the second half of the log is consumed during the replay."""
    chance = random.Random(seed)
    world = World(rules=BROKEN, partitions=2)
    rows: dict[int, str] = {}
    titles: dict[Place, str] = {}
    lowest: dict[Place, int] = {}

    def watch() -> None:
        for place, held in world.index.documents.items():
            assert held.version >= lowest.get(place, 0), f"{place} went back"
            lowest[place] = held.version

    def change(lsn: int) -> None:
        row_id = chance.randrange(4)
        url = "u" if chance.random() < 0.4 else "5"
        before = builders.row(row_id, rows[row_id]) if row_id in rows else None
        titles.pop(builders.place(rows[row_id], row_id), None) if row_id in rows else None
        if before is not None and chance.random() < 0.25:
            del rows[row_id]
            event = builders.event("d", None, before, lsn=lsn)
        else:
            rows[row_id] = chance.choice(("acme", "globex"))
            titles[builders.place(rows[row_id], row_id)] = f"t{lsn}"
            event = builders.event("u", builders.row(row_id, rows[row_id], title=f"t{lsn}", url=url), before, lsn=lsn)
        world.append(event, row_id, row_id % 2)

    for partition in (0, 1):
        world.append(b"not json", 0, partition)
    for lsn in range(1, 15):
        change(lsn)
    await world.run_to_the_end()
    watch()
    for lsn in range(15, 25):
        change(lsn)
    later = World(like=world, rules=BROKEN)
    await asyncio.gather(later.run_to_the_end(), replay(world))
    watch()
    await replay(world)
    watch()
    assert world.titles == titles
    writes = world.index.writes
    assert set(outcomes(await replay(world))) <= {"superseded"}
    assert world.index.writes == writes


async def test_a_report_is_one_line_of_80_columns_and_more_below() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    (done,) = await replay(world, rules=dataclasses.replace(FIXED, version_epoch=1))
    told = line(done, dry_run=False)
    assert told.startswith(
        "0:1      refused    acme/articles/1 of acme\n         it was put aside under version_epoch 0"
    )
    assert max(map(len, told.splitlines())) <= 80
    assert '"outcome": "refused"' in line_json(done)
    counts = Counter({Outcome.REFUSED: 1, Outcome.INDEXED: 2000})
    assert summary(counts, dry_run=False, stopped=False) == "2,001 dead letters: 2,000 indexed, 1 refused"
    assert "nothing written" in summary(counts, dry_run=True, stopped=False)
    assert "Stopped" in summary(counts, dry_run=False, stopped=True)


async def test_a_partition_of_the_log_is_not_read_or_committed() -> None:
    world = world_of()
    world.upsert(1, "a", lsn=7, url="u")
    await world.run_to_the_end()
    commits = dict(world.log.commits)
    await replay(world)
    assert world.log.commits == commits
    assert world.log.end(TopicPartition(TOPIC, 0)) == 2
