"""What every source promises, on the fake and on a real broker."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from tests.contract.source_bench import PARTITIONS, PATIENCE, Bench, KafkaBench, Listening, bench_of, fetched
from tests.servers.addresses import Kind
from worker.errors import Halt, HaltReason, OperatorError
from worker.ports import Commit, CommitRefusedError, Source
from worker.records import Record, TopicPartition
from worker.stages.start_offsets import OffsetPolicy


@pytest.fixture(params=["fake", "simulated", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


@pytest.fixture
def not_embedded(bench: Bench, request: pytest.FixtureRequest) -> None:
    """The embedded broker keeps deleted records, and takes no commit once a rebalance has begun."""
    if isinstance(bench, KafkaBench) and request.getfixturevalue("servers").kind is Kind.EMBEDDED:
        pytest.skip("the embedded broker cannot do this")


@pytest.fixture
async def started() -> AsyncIterator["Started"]:
    async with AsyncExitStack() as closing:
        yield Started(closing)


class Started:
    """Starts sources and closes them at the end of the test."""

    def __init__(self, closing: AsyncExitStack) -> None:
        self._closing = closing

    async def __call__(self, source: Source, partitions: int = PARTITIONS) -> Listening:
        listener = Listening()
        self._closing.push_async_callback(source.close)
        await source.start(listener)
        await listener.until(partitions)
        return listener


async def fetch_until_raised(source: Source) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await source.fetch()


def offsets(records: Sequence[Record]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for record in records:
        found.setdefault(record.position.partition, []).append(record.position.offset)
    return found


async def test_records_come_in_order_per_partition(bench: Bench, started: Started) -> None:
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"%d" % number for number in range(5)])
    source = bench.source()
    await started(source)
    assert offsets(await fetched(source, 5 * PARTITIONS)) == {number: [0, 1, 2, 3, 4] for number in range(PARTITIONS)}


async def test_bytes_and_headers_are_untouched(bench: Bench, started: Started) -> None:
    headers = (("name", b"\x00\xff"), ("name", b"again"), ("empty", b""), ("null", None))
    await bench.produce_one(b"\x00\x01key", b"\xff\xfe not text", headers)
    await bench.produce_one(b"", None, ())
    await bench.produce_one(None, b"", ())
    source = bench.source()
    await started(source)
    first, second, third = await fetched(source, 3)
    assert (first.key, first.value, first.headers) == (b"\x00\x01key", b"\xff\xfe not text", headers)
    assert (second.key, second.value, second.headers) == (b"", None, ())
    assert (third.key, third.value) == (None, b"")
    assert first.position.topic == bench.topic


async def test_nothing_to_fetch_is_an_empty_answer(bench: Bench, started: Started) -> None:
    source = bench.source()
    await started(source)
    async with asyncio.timeout(PATIENCE):
        assert await source.fetch() == []


async def test_a_restart_goes_on_behind_the_commit_and_brings_its_metadata_back(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0", b"1", b"2"])
    await bench.produce(1, [b"0"])
    source, zero = bench.source(), TopicPartition(bench.topic, 0)
    listener = Listening()
    await source.start(listener)
    await listener.until(PARTITIONS)
    assert set(listener.metadata.values()) == {""}
    await fetched(source, 4)
    await source.commit(
        {TopicPartition(bench.topic, one): Commit(2 if one == 0 else 0, "") for one in range(PARTITIONS)}
        | {zero: Commit(2, "watermark=7")}
    )
    await source.close()
    again = bench.source()
    second = await started(again)
    assert second.metadata[zero] == "watermark=7"
    assert second.metadata[TopicPartition(bench.topic, 1)] == ""
    assert offsets(await fetched(again, 2)) == {0: [2], 1: [0]}


async def test_what_was_not_committed_comes_again(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0"])
    source = bench.source()
    listener = Listening()
    await source.start(listener)
    await listener.until(PARTITIONS)
    await fetched(source, 1)
    await source.close()
    again = bench.source()
    await started(again)
    assert offsets(await fetched(again, 1)) == {0: [0]}


async def test_two_members_share_the_partitions_and_a_rebalance_takes_all_away_first(
    bench: Bench, started: Started
) -> None:
    everything = frozenset(TopicPartition(bench.topic, number) for number in range(PARTITIONS))
    first, second = bench.source(), bench.source()
    one = await started(first)
    other = await started(second, PARTITIONS // 2)
    await one.until(PARTITIONS // 2)
    assert one.told == [("assigned", everything), ("revoked", everything), ("assigned", one.partitions)]
    assert one.partitions | other.partitions == everything
    assert not one.partitions & other.partitions


async def test_epochs_rise_and_records_carry_that_of_their_assignment(bench: Bench, started: Started) -> None:
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"before"])
    first, second = bench.source(), bench.source()
    one = await started(first)
    before = one.epoch
    assert {record.position.epoch for record in await fetched(first, PARTITIONS)} == {before}
    await started(second, PARTITIONS // 2)
    await one.until(PARTITIONS // 2)
    assert one.epoch > before
    # Nothing was committed: all comes again, under the new epoch.
    assert {record.position.epoch for record in await fetched(first, PARTITIONS // 2)} == {one.epoch}


@pytest.mark.usefixtures("not_embedded")
async def test_a_commit_while_partitions_are_revoked_still_counts(bench: Bench, started: Started) -> None:
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"0", b"1"])
    first, second = bench.source(), bench.source()
    one = await started(first)
    await fetched(first, 2 * PARTITIONS)
    commits = {TopicPartition(bench.topic, number): Commit(1, f"watermark={number}") for number in range(PARTITIONS)}
    one.while_revoking = lambda: first.commit(commits)
    other = await started(second, PARTITIONS // 2)
    assert other.metadata == {partition: f"watermark={partition.partition}" for partition in other.partitions}
    assert offsets(await fetched(second, PARTITIONS // 2)) == {one.partition: [1] for one in other.partitions}


async def test_a_commit_for_lost_partitions_is_refused(bench: Bench, started: Started) -> None:
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"0"])
    first, second = bench.source(), bench.source()
    one = await started(first)
    await fetched(first, PARTITIONS)
    other = await started(second, PARTITIONS // 2)
    await one.until(PARTITIONS // 2)
    lost = min(other.partitions)
    with pytest.raises(CommitRefusedError):
        await first.commit({lost: Commit(1, "")})
    await second.commit({lost: Commit(1, "")})


async def test_who_is_left_takes_over(bench: Bench, started: Started) -> None:
    first, second = bench.source(), bench.source()
    one = await started(first)
    other = Listening()
    await second.start(other)
    await other.until(PARTITIONS // 2)
    await second.close()
    await one.until(PARTITIONS)


@pytest.mark.parametrize(("policy", "seen"), [(OffsetPolicy.EARLIEST, [0, 1, 2]), (OffsetPolicy.LATEST, [2])])
async def test_without_a_commit_the_policy_says_where_to_start(
    bench: Bench, started: Started, policy: OffsetPolicy, seen: list[int]
) -> None:
    await bench.produce(0, [b"0", b"1"])
    source = bench.source(start=policy)
    await started(source)
    await bench.produce(0, [b"2"])
    assert offsets(await fetched(source, len(seen))) == {0: seen}


async def test_without_a_commit_it_may_be_told_to_stop(bench: Bench) -> None:
    source = bench.source(start=OffsetPolicy.FAIL)
    await source.start(Listening())
    with pytest.raises(Halt, match=r"kafka\.start_from") as halt:
        await fetch_until_raised(source)
    assert halt.value.reason is HaltReason.NO_COMMITTED_OFFSET
    await source.close()


async def test_a_commit_beyond_the_log_stops_and_says_so(bench: Bench) -> None:
    await bench.produce(0, [b"0"])
    await bench.commit(0, 100)
    source = bench.source()
    await source.start(Listening())
    with pytest.raises(Halt, match="no longer in the log") as halt:
        await fetch_until_raised(source)
    assert halt.value.reason is HaltReason.OFFSETS_LOST
    await source.close()


async def test_a_commit_beyond_the_log_may_be_told_to_go_on_with_what_there_is(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0", b"1"])
    await bench.commit(0, 100)
    source = bench.source(on_lost=OffsetPolicy.EARLIEST)
    listener = await started(source)
    assert offsets(await fetched(source, 2)) == {0: [0, 1]}
    assert listener.metadata[TopicPartition(bench.topic, 0)] == "", "a watermark from elsewhere means nothing here"


@pytest.mark.usefixtures("not_embedded")
async def test_a_commit_that_retention_has_passed_goes_on_with_what_is_left(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0", b"1", b"2"])
    await bench.commit(0, 1)
    await bench.delete_before(0, 2)
    source = bench.source(on_lost=OffsetPolicy.EARLIEST)
    await started(source)
    assert offsets(await fetched(source, 1)) == {0: [2]}


@pytest.mark.usefixtures("not_embedded")
@pytest.mark.parametrize("policy", [OffsetPolicy.FAIL, OffsetPolicy.EARLIEST])
async def test_records_deleted_ahead_of_the_reader_are_no_silent_gap(
    bench: Bench, started: Started, policy: OffsetPolicy
) -> None:
    await bench.produce(0, [b"0"])
    source = bench.source(on_lost=policy)
    await started(source)
    await fetched(source, 1)
    source.pause()
    # What was on its way when the source was paused is dropped; then the reader is behind the log's begin.
    await bench.produce(0, [b"1", b"2", b"3"])
    await source.fetch()
    await bench.delete_before(0, 3)
    await source.fetch()
    source.resume()
    if policy is OffsetPolicy.FAIL:
        with pytest.raises(Halt, match="no longer in the log"):
            await fetch_until_raised(source)
    else:
        assert offsets(await fetched(source, 1)) == {0: [3]}


async def test_a_paused_source_fetches_nothing_and_goes_on_without_a_loss(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0"])
    source = bench.source()
    await started(source)
    await fetched(source, 1)
    source.pause()
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"x", b"y"])
    assert [await source.fetch() for _ in range(3)] == [[], [], []]
    source.resume()
    assert offsets(await fetched(source, 2 * PARTITIONS)) == {0: [1, 2], 1: [0, 1], 2: [0, 1], 3: [0, 1]}


async def test_a_pause_holds_for_the_partitions_of_a_new_assignment(bench: Bench, started: Started) -> None:
    for partition in range(PARTITIONS):
        await bench.produce(partition, [b"x"])
    first, second = bench.source(), bench.source()
    one = await started(first)
    first.pause()
    await started(second, PARTITIONS // 2)
    await one.until(PARTITIONS // 2)
    assert [await first.fetch() for _ in range(3)] == [[], [], []]
    first.resume()
    assert len(await fetched(first, PARTITIONS // 2)) == PARTITIONS // 2


async def test_lag_counts_from_what_was_fetched_to_the_end_of_the_log(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0", b"1", b"2"])
    source, zero = bench.source(), TopicPartition(bench.topic, 0)
    await started(source)
    await fetched(source, 3)
    assert source.lag()[zero] == 0
    assert source.lag().keys() <= {TopicPartition(bench.topic, number) for number in range(PARTITIONS)}


async def test_a_missing_topic_is_said_in_one_sentence(bench: Bench) -> None:
    source = bench.source(topic="no-such-topic")
    with pytest.raises(OperatorError, match="topic 'no-such-topic' does not exist"):
        await source.start(Listening())
    await source.close()


async def test_a_cancelled_fetch_loses_nothing_that_was_not_committed(bench: Bench, started: Started) -> None:
    source = bench.source()
    await started(source)
    waiting = asyncio.ensure_future(source.fetch())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await bench.produce(0, [b"%d" % number for number in range(3)])
    seen = offsets(await fetched(source, 3))
    assert list(itertools.chain(*seen.values())) == [0, 1, 2]


async def test_positions_are_where_reading_goes_on(bench: Bench, started: Started) -> None:
    await bench.produce(0, [b"0", b"1"])
    source = bench.source()
    await started(source)
    await fetched(source, 2)
    assert source.positions() == {TopicPartition(bench.topic, one): 2 if one == 0 else 0 for one in range(PARTITIONS)}


async def test_the_ends_of_the_log_are_seen_while_nothing_is_fetched(bench: Bench, started: Started) -> None:
    source = bench.source()
    await started(source)
    source.pause()
    await bench.produce(0, [b"0", b"1"])
    assert (await source.ends())[TopicPartition(bench.topic, 0)] == 2
    assert source.lag()[TopicPartition(bench.topic, 0)] == 2


@pytest.mark.usefixtures("not_embedded")
async def test_what_the_log_has_deleted_is_no_lag(bench: Bench, started: Started) -> None:
    source = bench.source()
    await started(source)
    source.pause()
    await bench.produce(0, [b"0", b"1", b"2"])
    await bench.delete_before(0, 2)
    await source.ends()
    assert source.lag()[TopicPartition(bench.topic, 0)] == 1


@pytest.mark.usefixtures("not_embedded")
async def test_positions_pass_what_transactions_leave_in_the_log(bench: Bench, started: Started) -> None:
    """Else the commit stays short of the end for ever, and whoever scales by lag never comes to rest."""
    if not isinstance(bench, KafkaBench):
        pytest.skip("the log in memory has no transactions")
    await bench.produce_in_transaction(0, [b"0"], commit=True)
    await bench.produce_in_transaction(0, [b"never"], commit=False)
    source = bench.source()
    await started(source)
    assert [record.value for record in await fetched(source, 1)] == [b"0"]
    assert await source.fetch() == []
    assert source.positions()[TopicPartition(bench.topic, 0)] == 4
    assert (await source.ends())[TopicPartition(bench.topic, 0)] == 4


@pytest.mark.usefixtures("not_embedded")
@pytest.mark.parametrize("policy", list(OffsetPolicy))
async def test_an_added_partition_is_read_from_its_begin_once_the_older_ones_are_read(
    bench: Bench, started: Started, policy: OffsetPolicy
) -> None:
    await bench.produce(0, [b"0"])
    for partition in range(PARTITIONS):
        await bench.commit(partition, 0)
    added = TopicPartition(bench.topic, await bench.add_partition())
    await bench.produce(added.partition, [b"later"])
    source = bench.source(start=policy)
    await started(source, PARTITIONS + 1)
    assert offsets(await fetched(source, 1)) == {0: [0]}
    assert await source.fetch() == []
    assert added not in source.positions(), "what waits must not get a commit, or it would not wait after a restart"
    await source.commit({TopicPartition(bench.topic, 0): Commit(1, "")})
    assert offsets(await fetched(source, 1)) == {added.partition: [0]}
    assert source.positions()[added] == 1


@pytest.mark.usefixtures("not_embedded")
async def test_a_topic_that_appears_later_is_read_from_its_begin(bench: Bench, started: Started) -> None:
    if not isinstance(bench, KafkaBench):
        pytest.skip("the log in memory has no patterns")
    source = bench.source_of_pattern(f"{bench.topic}.*", start=OffsetPolicy.LATEST)
    await started(source)
    later = await bench.add_topic("-later", values=[b"0"])
    async with asyncio.timeout(PATIENCE):
        records = await fetched(source, 1)
    assert [(record.position.topic, record.position.offset) for record in records] == [(later, 0)]
