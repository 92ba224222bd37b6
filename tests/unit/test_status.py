"""`syncline status` over fakes: what is looked at, what is told of it, and how it is printed."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.fakes.cluster_inspector import FakeClusterInspector
from tests.fakes.group_reader import FakeGroupReader
from tests.fakes.index_admin import FakeIndexAdmin
from tests.fakes.server_inspector import FakeServerInspector
from tests.fakes.source import Log
from tests.fakes.topic_reader import FakeTopicReader
from tests.fakes.worker_probe import FakeWorkerProbe
from tests.unit.sampled import only, problems
from tests.unit.test_check import settings
from worker.app.status import own_url
from worker.control import status_report
from worker.control.apply import apply
from worker.control.status import Status, WorkerStatus, worker_status
from worker.control.status_index import IndexStatus, index_status
from worker.control.status_kafka import KafkaStatus, kafka_status
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.ports import ApiKey, Commit
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.settings import IndexSettings, ServerSettings, Settings
from worker.stages.cluster_view import ClusterView
from worker.stages.findings import Finding, Level
from worker.stages.index_state import Held, IndexState
from worker.stages.progress import GroupState, Look, Member, Progress, Times, age, group_findings, progress_findings
from worker.stages.worker_answer import WorkerAnswer, worker_findings

pytestmark = pytest.mark.virtual_time

NOW = 1_800_000_000_000
FIRST, SECOND = TopicPartition("articles", 0), TopicPartition("articles", 1)
MEMBER = Member("syncline", "10.0.0.1", frozenset({FIRST, SECOND}))
STABLE = GroupState("Stable", (MEMBER,))


class _Clock(Clock):
    @override
    def wall_ms(self) -> int:
        return NOW


class _Group(FakeGroupReader):
    """Its one member has both partitions."""

    def __init__(self, log: Log, state: GroupState = STABLE) -> None:
        super().__init__(log)
        self._says = state

    @override
    async def group(self) -> GroupState:
        return self._says


def log_of(count: int, committed: int | None, **topics: int) -> Log:
    log = Log({"articles": 2, **topics})
    for _ in range(count):
        log.append(FIRST, b"k", b"v")
    if committed is not None:
        commit(log, committed)
    return log


def commit(log: Log, offset: int, partition: TopicPartition = FIRST) -> None:
    log.commits["syncline", partition] = Commit(offset, "")


async def looked_at(
    log: Log,
    state: GroupState = STABLE,
    meanwhile: Callable[[], object] = lambda: None,
    chosen: Settings | None = None,
    unreadable: frozenset[str] = frozenset(),
) -> KafkaStatus:
    chosen = chosen or settings(kafka={"dead_letter_topic": "letters"})
    asyncio.get_running_loop().call_later(2, meanwhile)
    reader = FakeTopicReader(log, write_only=unreadable)
    return await kafka_status(reader, _Group(log, state), chosen, ["articles"], 5, _Clock())


def level_of(found: KafkaStatus, subject: str) -> Level:
    return only(found.findings, subject).level


async def test_a_group_that_is_at_the_end_is_fine() -> None:
    found = await looked_at(log_of(3, 3, letters=1))
    assert problems(found.findings) == []
    assert only(found.findings, "lag").sentence == "nothing waits"
    assert [(one.name, one.after.lag) for one in found.partitions] == [("articles[0]", 0), ("articles[1]", 0)]


async def test_lag_that_shrinks_is_fine_and_its_rate_and_end_are_told() -> None:
    log = log_of(100, 10, letters=1)
    found = await looked_at(log, meanwhile=lambda: commit(log, 60))
    assert problems(found.findings) == []
    assert only(found.findings, "lag").sentence.startswith("40 offsets wait, the oldest for ")
    assert only(found.findings, "rate").sentence == "10 a second done, 0 added: caught up in 4 s"
    assert found.partitions[0].rate == 10


async def test_lag_without_progress_is_wrong() -> None:
    found = await looked_at(log_of(100, 10, letters=1))
    lag = only(found.findings, "lag")
    assert lag.level is Level.FAILURE
    assert lag.sentence.endswith("and none was done within 5 s")


async def test_lag_before_the_first_commit_is_lag_without_progress() -> None:
    found = await looked_at(log_of(4, None, letters=1))
    assert level_of(found, "lag") is Level.FAILURE
    assert found.partitions[0].after.lag == 4
    assert only(found.findings, "commits").sentence == "the group has committed nothing yet"


async def test_what_came_between_the_two_looks_is_not_stuck() -> None:
    log = log_of(3, 3, letters=1)
    found = await looked_at(log, meanwhile=lambda: log.append(FIRST, b"k", b"v"))
    assert problems(found.findings) == []
    assert only(found.findings, "lag").sentence.startswith("1 offset waits")


async def test_one_partition_that_stands_while_others_go_on_is_a_warning() -> None:
    log = log_of(9, 0, letters=1)
    log.append(SECOND, b"k", b"v")
    commit(log, 0, SECOND)
    found = await looked_at(log, meanwhile=lambda: commit(log, 5))
    assert problems(found.findings) == [("lag", Level.WARNING)]
    assert "articles[1]" in "".join(one.sentence for one in found.findings)


async def test_without_a_member_nobody_reads() -> None:
    found = await looked_at(log_of(3, 3, letters=1), GroupState("Empty"))
    assert problems(found.findings) == [("group", Level.FAILURE)]


async def test_while_members_join_standing_still_is_no_fault() -> None:
    found = await looked_at(log_of(9, 3, letters=1), GroupState("PreparingRebalance", (MEMBER,)))
    assert problems(found.findings) == [("group", Level.WARNING), ("lag", Level.WARNING)]


async def test_what_retention_deleted_unread_is_lost_and_does_not_count_as_lag() -> None:
    log = log_of(100, 10, letters=1)
    log.delete_before(FIRST, 90)
    found = await looked_at(log)
    assert found.partitions[0].after.lag == 10
    assert "80 offsets of articles[0] were deleted" in found.findings[1].sentence
    assert found.findings[1].level is Level.FAILURE
    assert "new snapshot" in found.findings[1].fix
    assert "on_lost_offsets" not in found.findings[1].fix, "the runbook forbids it"


async def test_dead_letters_are_counted_and_new_ones_are_a_warning() -> None:
    log = log_of(3, 3, letters=2)
    log.append(TopicPartition("letters", 1), None, b"x")
    found = await looked_at(log)
    letters = only(found.findings, "dead letters")
    assert letters.level is Level.NOTE
    assert letters.sentence.startswith("1 in letters, the newest ")
    assert found.letters is not None
    assert found.letters.count == 1
    missing = await looked_at(log_of(3, 3))
    assert level_of(missing, "dead letters") is Level.FAILURE
    unset = await looked_at(log_of(3, 3), chosen=settings())
    assert level_of(unset, "dead letters") is Level.NOTE


async def test_dead_letters_that_this_user_may_not_read_are_counted_and_all_else_is_told() -> None:
    log = log_of(3, 3, letters=2)
    log.append(TopicPartition("letters", 1), None, b"x")
    found = await looked_at(log, unreadable=frozenset({"letters"}))
    letters = only(found.findings, "dead letters")
    assert letters.level is Level.NOTE
    assert letters.sentence == "1 in letters; how old is not shown to this user, who lacks Read on the topic"
    assert only(found.findings, "lag").sentence == "nothing waits"
    assert (found.letters and found.letters.count, len(found.partitions)) == (1, 2)


def test_a_partition_that_nobody_reads_is_told() -> None:
    third = TopicPartition("articles", 2)
    found = list(group_findings(STABLE, [FIRST, SECOND, third]))
    assert problems(found) == [("group", Level.WARNING)]
    assert "no member reads articles[2]" in found[1].sentence
    idle = GroupState("Stable", (MEMBER, Member("syncline", "10.0.0.2", frozenset())))
    assert "1 member without a partition" in list(group_findings(idle, [FIRST]))[1].sentence


def test_a_lag_that_grows_is_told() -> None:
    one = Progress(FIRST, Look(0, 100, 10), Look(0, 200, 20), 5)
    found = list(progress_findings([one], STABLE, NOW))
    assert only(found, "rate").sentence == "2 a second done, 20 added: the lag does not shrink"


def test_what_has_waited_for_seconds_only_is_no_lag_that_grows() -> None:
    one = Progress(FIRST, Look(0, 100, 98), Look(0, 110, 107), 5, Times(NOW - 5000, NOW - 2000))
    assert [finding.subject for finding in progress_findings([one], STABLE, NOW)] == ["lag"]
    old = Progress(FIRST, Look(0, 100, 98), Look(0, 110, 107), 5, Times(NOW - 95_000, NOW - 90_000))
    assert [finding.subject for finding in progress_findings([old], STABLE, NOW)] == ["lag", "rate"]


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (-5, "less than a second"),
        (999, "less than a second"),
        (42_000, "42 s"),
        (600_000, "10 min"),
        (5 * 3_600_000, "5 h"),
        (3 * 86_400_000, "3 days"),
    ],
)
def test_an_age_is_said_as_people_say_it(milliseconds: float, told: str) -> None:
    assert age(milliseconds) == told


def answer(ready: bool = True, reason: str = "", **samples: Any) -> WorkerAnswer:  # noqa: FBT001, FBT002, ANN401
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {"syncline_rebalances_total": [({}, 1.0)]}
    return WorkerAnswer(ready, reason, found | {f"syncline_{name}": value for name, value in samples.items()})


def of_worker(said: WorkerAnswer) -> Finding:
    (finding,) = worker_findings("http://w", said, NOW)
    return finding


def test_a_worker_is_ready_or_says_why_not() -> None:
    fine = of_worker(
        answer(build_info=[({"version": "1.2"}, 1)], last_progress_timestamp_seconds=[({}, NOW / 1000 - 3)])
    )
    assert (fine.level, fine.sentence) == (Level.OK, "http://w (1.2) is ready; last progress 3 s ago")
    assert of_worker(answer()).sentence == "http://w is ready; no record since its start"
    starting = of_worker(answer(ready=False, reason="starting: the model"))
    assert (starting.level, starting.sentence) == (Level.WARNING, "http://w is not ready: starting: the model")


def test_a_halted_worker_is_wrong_and_says_why() -> None:
    halted = of_worker(answer(ready=False, reason="halted: write_blocked: index is read-only"))
    assert (halted.level, halted.sentence) == (Level.FAILURE, "http://w is halted: write_blocked: index is read-only")
    # Between two questions the halt may have been lifted in one of the answers.
    assert of_worker(answer(halted=[({"reason": "forbidden"}, 1)])).level is Level.FAILURE
    assert of_worker(answer(halted=[({"reason": "forbidden"}, 0)])).level is Level.OK


def test_a_halt_leads_to_its_entry_of_the_runbook() -> None:
    halted = of_worker(answer(ready=False, reason="halted: forbidden", halted=[({"reason": "forbidden"}, 1)]))
    assert "'Halt forbidden' in deploy/README.md" in halted.fix
    entries = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    assert "\n### Halt forbidden\n" in entries
    assert "\n## Halts\n" in entries
    assert "'Halts' in deploy/README.md" in of_worker(answer(ready=False, reason="halted: forbidden")).fix


def test_another_server_is_no_worker() -> None:
    assert of_worker(WorkerAnswer(ready=True, reason="", samples={})).level is Level.FAILURE


async def test_only_a_worker_that_was_named_must_answer() -> None:
    probe = FakeWorkerProbe({"http://a": answer()})
    statuses, findings = await worker_status(probe, ["http://a", "http://b", "http://c"], ["http://c"], _Clock())
    assert [one.level for one in findings] == [Level.OK, Level.NOTE, Level.FAILURE]
    assert [one.answer is None for one in statuses] == [False, True, True]


@pytest.mark.parametrize(
    ("host", "port", "urls"),
    [
        ("127.0.0.1", 9109, ["http://127.0.0.1:9109"]),
        ("0.0.0.0", 80, ["http://127.0.0.1:80"]),
        ("::", 80, ["http://[::1]:80"]),
        ("fd00::7", 80, ["http://[fd00::7]:80"]),
        ("127.0.0.1", 0, []),
    ],
)
def test_a_worker_is_asked_where_its_settings_let_it_listen(host: str, port: int, urls: list[str]) -> None:
    assert own_url(ServerSettings(host=host, port=port)) == urls


async def looked_up(
    admin: FakeIndexAdmin,
    inspector: FakeServerInspector | None = None,
    cluster: FakeClusterInspector | None = None,
    given: Settings | None = None,
) -> IndexStatus:
    return await index_status(
        admin, inspector or FakeServerInspector(), cluster or FakeClusterInspector(), given or settings(), NOW
    )


async def test_an_index_is_told_with_its_aliases_and_what_it_holds() -> None:
    admin = FakeIndexAdmin()
    await apply(admin, IndexSettings(), dry_run=False)
    state = admin.state["articles-v000001"]
    await admin.add_aliases("articles-v000001", {"articles-tenant-acme": {}})
    inspector = FakeServerInspector(holds={"articles-write": Held(1200, 3)})
    found = await looked_up(admin, inspector)
    assert problems(found.findings) == []
    assert (found.write_index, found.reader_indices, found.tenant_aliases) == (
        "articles-v000001",
        ("articles-v000001",),
        1,
    )
    assert [one.sentence for one in found.findings] == [
        "articles-write writes to articles-v000001",
        "articles reads articles-v000001, and 1 alias of tenants",
        "1,200 documents, 3 tombstones",
        "green",
        "that of node-1, the fullest, is 40% full",
    ]
    assert state is not None
    hidden = await looked_up(admin)
    assert only(hidden.findings, "documents").level is Level.NOTE


async def test_a_write_alias_that_is_missing_is_wrong_and_a_server_that_is_missing_is_raised() -> None:
    admin = FakeIndexAdmin()
    assert problems((await looked_up(admin)).findings) == [("write alias", Level.FAILURE)]
    admin.fail_with = RetryLater(RetryReason.CONNECTION, "refused")
    with pytest.raises(OperatorError) as refusal:
        await looked_up(admin)
    assert isinstance(refusal.value.__cause__, RetryLater)


async def there() -> FakeIndexAdmin:
    admin = FakeIndexAdmin()
    await apply(admin, IndexSettings(), dry_run=False)
    return admin


async def test_a_block_on_writes_is_wrong() -> None:
    admin = await there()
    state = admin.state["articles-v000001"]
    blocked = {**state.settings, "index.blocks.read_only_allow_delete": "true"}
    admin.state["articles-v000001"] = replace(state, settings=blocked)
    assert problems((await looked_up(admin)).findings) == [("write block", Level.FAILURE)]


async def test_a_block_on_the_whole_cluster_is_wrong_also_where_nothing_else_can_be_told() -> None:
    inspector = FakeServerInspector()
    inspector.blocks = ["cluster.blocks.read_only (transient)"]
    found = await looked_up(await there(), inspector)
    assert problems(found.findings) == [("write block", Level.FAILURE)]
    block = only(found.findings, "write block")
    assert block.sentence.startswith("the whole cluster has cluster.blocks.read_only (transient): the worker halts")
    assert "'Halt write_blocked' in deploy/README.md" in block.fix
    without = await looked_up(FakeIndexAdmin(), inspector)
    assert problems(without.findings) == [("write alias", Level.FAILURE), ("write block", Level.FAILURE)]
    inspector.blocks = None
    assert problems((await looked_up(await there(), inspector)).findings) == []


@pytest.mark.parametrize(
    ("status", "disks", "expected"),
    [
        ("green", {"a": 0.2, "b": 0.85}, []),
        ("yellow", {"a": 0.86, "b": 0.2}, [("disk", Level.WARNING)]),
        ("green", {"a": 0.95}, [("disk", Level.WARNING)]),
        ("red", {}, [("cluster", Level.FAILURE)]),
    ],
)
async def test_disks_that_fill_and_a_red_cluster_are_told(
    status: str, disks: dict[str, float], expected: list[tuple[str, Level]]
) -> None:
    cluster = FakeClusterInspector()
    cluster.view = ClusterView(status, disks)
    found = await looked_up(await there(), cluster=cluster)
    assert problems(found.findings) == expected
    if disks:
        assert f"that of {max(disks, key=disks.__getitem__)}, the fullest" in only(found.findings, "disk").sentence


async def test_a_cluster_that_is_not_shown_is_told_unless_nobody_wants_to_see_it() -> None:
    cluster = FakeClusterInspector()
    cluster.view = None
    found = await looked_up(await there(), cluster=cluster)
    assert (only(found.findings, "cluster").level, found.cluster) == (Level.NOTE, None)
    unwanted = await looked_up(await there(), cluster=cluster, given=settings(metrics={"cluster": False}))
    assert "cluster" not in {one.subject for one in unwanted.findings}


@pytest.mark.parametrize(
    ("days", "level", "sentence"),
    [
        (None, Level.OK, "mine does not expire"),
        (7.1, Level.OK, "mine expires in 7 days"),
        (6.9, Level.WARNING, "mine expires in 7 days: then the worker halts"),
        (-1, Level.FAILURE, "mine has expired"),
    ],
)
async def test_a_key_that_expires_soon_is_told(days: float | None, level: Level, sentence: str) -> None:
    expires = None if days is None else NOW + int(days * 86_400_000)
    found = await looked_up(await there(), cluster=FakeClusterInspector(ApiKey("mine", expires)))
    told = only(found.findings, "API key")
    assert (told.level, told.sentence) == (level, sentence)


class _Vanishing(FakeIndexAdmin):
    """Answers once, and is not there any more."""

    @override
    async def indices(self, names: Sequence[str]) -> Mapping[str, IndexState]:
        found = await super().indices(names)
        self.fail_with = RetryLater(RetryReason.CONNECTION, "refused")
        return found


async def test_a_server_that_goes_while_it_is_asked_is_missing_too() -> None:
    with pytest.raises(OperatorError) as refusal:
        await looked_up(_Vanishing())
    assert isinstance(refusal.value.__cause__, RetryLater)


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        (RetryLater(RetryReason.SERVER_ERROR, "2 shards did not answer"), "2 shards did not answer"),
        (RetryLater(RetryReason.UNREADABLE_RESPONSE, "the answer is no JSON object"), "check the port"),
        (Halt(HaltReason.WRITE_BLOCKED, "index read (api)"), ""),
    ],
)
async def test_a_count_that_is_not_whole_is_told_and_all_else_is_told_too(fault: Exception, fix: str) -> None:
    inspector = FakeServerInspector(holds={"articles-write": Held(1200, 3)})
    inspector.fail_with = fault
    found = await looked_up(await there(), inspector)
    assert (found.write_index, found.held) == ("articles-v000001", None)
    assert problems(found.findings) == [("documents", Level.FAILURE)]
    documents = only(found.findings, "documents")
    assert "lacks read" not in documents.sentence
    assert fix in documents.fix


async def status_of(log: Log, **more: Any) -> Status:  # noqa: ANN401
    kafka = await looked_at(log)
    workers = (WorkerStatus("http://w", answer()),)
    return Status(NOW, kafka, workers, tuple(worker_findings("http://w", answer(), NOW)), IndexStatus(()), **more)


async def test_a_status_prints_in_80_columns_and_a_long_name_has_its_own_line() -> None:
    log = Log({"articles": 2, "letters": 1, "a" * 45: 30})
    kafka = await kafka_status(FakeTopicReader(log), _Group(log), settings(), ["articles", "a" * 45], 5, _Clock())
    text = status_report.render(Status(NOW, kafka, (), (), IndexStatus(())), "syncline")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "and 12 partitions with no more than 0 waiting" in text
    assert text.splitlines()[0] == "Kafka, group syncline"


async def test_json_has_the_numbers_of_every_partition() -> None:
    log = log_of(100, 10, letters=1)
    said = json.loads(status_report.as_json(await status_of(log)))
    assert said["ok"] is False
    assert said["lag"] == 90
    assert said["partitions"][0] == {
        "topic": "articles",
        "partition": 0,
        "first": 0,
        "end": 100,
        "committed": 10,
        "lag": 90,
        "done_per_second": 0.0,
        "added_per_second": 0.0,
        "last_done_written": "1970-01-01T00:00:00.009Z",
        "oldest_waiting_written": "1970-01-01T00:00:00.010Z",
    }
    assert said["workers"][0]["ready"] is True
    assert said["group"]["members"][0]["partitions"] == ["articles[0]", "articles[1]"]


async def test_a_missing_server_is_in_the_last_line() -> None:
    status = await status_of(log_of(1, 1, letters=1), missing=("Elasticsearch",))
    assert not status.ok
    assert status_report.render(status, "g").endswith("Not there: Elasticsearch.")


async def test_json_knows_no_time_of_a_record_in_microseconds() -> None:
    """A producer that takes Kafka's milliseconds for something else must not take the status from everybody."""
    status = await status_of(log_of(100, 10, letters=1))
    odd = replace(status.kafka.partitions[0], times=Times(done_ms=-1, next_ms=1_795_000_000_000_000))
    said = json.loads(status_report.as_json(replace(status, kafka=replace(status.kafka, partitions=(odd,)))))
    assert said["partitions"][0]["last_done_written"] is None
    assert said["partitions"][0]["oldest_waiting_written"] is None
