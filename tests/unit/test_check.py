"""`syncline check` over fakes: what is asked, what is told of servers and topics, and how it is printed."""

import copy
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.builders import event, record
from tests.fakes.group_reader import FakeGroupReader
from tests.fakes.index_admin import FakeIndexAdmin
from tests.fakes.server_inspector import FakeServerInspector
from tests.fakes.source import Log
from tests.fakes.topic_reader import FakeTopicReader
from tests.unit.sampled import findings, only, problems, source
from worker.app.model import check_model, key_findings, thread_findings
from worker.app.sources import source_readers
from worker.control import check_report
from worker.control.apply import apply
from worker.control.apply import render as render_apply
from worker.control.check import Feed, Report, check_feed, refused
from worker.control.check_index import MissingServerError, check_index
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.records import TopicPartition
from worker.runtime.clock import Clock
from worker.settings import EmbeddingSettings, IndexSettings, Settings
from worker.settings.embedding_backends import HttpEmbeddingSettings
from worker.stages.findings import Finding, Level, Section, failure, note, ok, warning
from worker.stages.index_state import IndexState
from worker.stages.sampling import TopicLimits
from worker.stages.sampling.limits import topic_limits

INDEX = "articles-v000001"


def settings(*sources: dict[str, Any], **groups: Any) -> Settings:  # noqa: ANN401 - settings of every kind
    chosen = [source(**{"pattern": None, "topics": ["articles"], **one}) for one in sources or ({},)]
    return Settings.model_validate({"sources": chosen, **groups})


def log(**topics: int) -> Log:
    return Log(topics)


async def feed(log: Log, chosen: Settings, records: int = 200, **more: Any) -> list[Section]:  # noqa: ANN401
    return (await looked_at(log, chosen, records, **more)).sections


async def looked_at(
    log: Log,
    chosen: Settings,
    records: int = 200,
    told: Mapping[str, TopicLimits] | None = None,
    read_only: frozenset[str] = frozenset(),
    *,
    allowed: bool = True,
    now_ms: int = 10**13,
) -> Feed:
    reader = FakeTopicReader(log, told, read_only)
    group = FakeGroupReader(log, allowed=allowed)
    return await check_feed(reader, group, chosen, source_readers(chosen.sources), records, FixedClock(now_ms))


class FixedClock(Clock):
    def __init__(self, *wall_ms: int) -> None:
        """The last one stays."""
        self._wall_ms = list(wall_ms)

    @override
    def wall_ms(self) -> int:
        return self._wall_ms.pop(0) if len(self._wall_ms) > 1 else self._wall_ms[0]


def append(log: Log, value: object, topic: str = "articles", partition: int = 0) -> None:
    key = json.dumps({"id": 1, "tenant": "acme"}).encode()
    log.append(TopicPartition(topic, partition), key, json.dumps(value).encode())


async def test_topics_that_are_missing_fail_and_the_others_are_looked_at() -> None:
    there = log(articles=2)
    append(there, event())
    kafka, articles = await feed(there, settings({"topics": ["articles", "nowhere"]}))
    assert problems(kafka.findings) == [("topics", Level.FAILURE), ("dead letters", Level.WARNING)]
    assert "nowhere of source articles does not exist" in kafka.findings[2].sentence
    assert only(articles.findings, "records").sentence == "1 to index"


async def test_a_dead_letter_topic_that_is_missing_fails() -> None:
    chosen = settings(kafka={"dead_letter_topic": "letters"})
    (kafka, _) = await feed(log(articles=1), chosen)
    assert only(kafka.findings, "dead letters").level is Level.FAILURE
    (kafka, _) = await feed(log(articles=1, letters=1), chosen)
    assert only(kafka.findings, "dead letters").level is Level.OK


async def test_an_empty_topic_is_only_a_note() -> None:
    _, articles = await feed(log(articles=3), settings())
    assert only(articles.findings, "topic") == note("topic", "articles: no records yet, so nothing could be checked")


async def test_a_pattern_reads_the_topics_that_match_it() -> None:
    there = log(shop_1=1, shop_2=1, other=1)
    for topic in ("shop_1", "shop_2", "other"):
        append(there, event(), topic)
    _, shops = await feed(there, settings({"topics": [], "pattern": r"shop_\d"}))
    assert [one.sentence for one in shops.findings if one.subject == "topic"] == [
        "shop_1: 1 record read of about 1",
        "shop_2: 1 record read of about 1",
    ]
    kafka, _ = await feed(log(other=1), settings({"topics": [], "pattern": r"shop_\d"}))
    assert ("topics", Level.WARNING) in problems(kafka.findings)


async def test_no_more_records_are_read_than_asked_for() -> None:
    there = log(articles=2)
    for number in range(30):
        append(there, event(lsn=number + 1), partition=number % 2)
    _, articles = await feed(there, settings(), 10)
    assert only(articles.findings, "topic").sentence == "articles: 10 records read of about 30"


async def applied() -> FakeIndexAdmin:
    admin = FakeIndexAdmin()
    await apply(admin, IndexSettings(), dry_run=False)
    return admin


async def test_an_index_as_apply_makes_it_is_fit() -> None:
    section = await check_index(await applied(), FakeServerInspector(), settings())
    assert problems(section.findings) == []


async def test_a_field_that_a_strict_mapping_lacks_fails() -> None:
    section = await check_index(
        await applied(), FakeServerInspector(), settings({"fields": {"title": "t", "seo.slug": "s"}})
    )
    finding = only(section.findings, "mapping")
    assert finding.level is Level.FAILURE
    assert "field 'seo.slug' of source articles is not in the mapping of articles-v000001" in finding.sentence


async def test_an_index_that_is_not_as_defined_is_a_warning_that_names_the_places() -> None:
    admin = await applied()
    state = admin.state[INDEX]
    admin.state[INDEX] = IndexState(state.aliases, state.settings, {**state.mappings, "dynamic": "false"})
    finding = only((await check_index(admin, FakeServerInspector(), settings())).findings, "mapping")
    assert finding.level is Level.WARNING
    assert "mappings.dynamic is false, not strict" in finding.sentence


@pytest.mark.parametrize("dynamic", ["strict", "false"])
@pytest.mark.parametrize("names", [["log"], ["deleted_at"], ["deleted_at", "log"]])
async def test_fields_of_sync_that_an_index_lacks_fail_in_one_line_whose_fix_is_apply(
    names: list[str], dynamic: str
) -> None:
    admin = await applied()
    state = admin.state[INDEX]
    mappings: Any = copy.deepcopy(dict(state.mappings))
    for name in names:
        del mappings["properties"]["sync"]["properties"][name]
    mappings["properties"]["sync"]["dynamic"] = dynamic
    admin.state[INDEX] = IndexState(state.aliases, state.settings, mappings)
    section = await check_index(admin, FakeServerInspector(), settings())
    found = [one for one in section.findings if one.subject == "mapping"]
    about = [one for one in found if any(f"sync.{name}" in one.sentence for name in names)]
    (finding,) = about
    assert finding.level is Level.FAILURE
    assert all(f"'sync.{name}'" in finding.sentence for name in names)
    assert finding.fix.startswith("run 'syncline apply', which adds")
    # Of a sync that takes any field, that it does so is a difference of its own.
    assert len(found) == (1 if dynamic == "strict" else 2)


async def test_a_setting_that_is_tuned_on_the_live_index_is_a_note() -> None:
    admin = await applied()
    state = admin.state[INDEX]
    index: Any = state.settings["index"]
    admin.state[INDEX] = IndexState(state.aliases, {"index": {**index, "refresh_interval": "30s"}}, state.mappings)
    section = await check_index(admin, FakeServerInspector(), settings())
    finding = only(section.findings, "settings")
    assert finding.level is Level.NOTE
    assert "settings.index.refresh_interval is 30s, not 1s" in finding.sentence
    assert only(section.findings, "mapping").level is Level.OK


async def test_another_model_is_a_warning() -> None:
    section = await check_index(await applied(), FakeServerInspector(), settings(embedding={"model": "other/model"}))
    assert only(section.findings, "vectors").level is Level.WARNING


async def test_a_missing_write_alias_fails_with_the_command_that_creates_it() -> None:
    section = await check_index(FakeIndexAdmin(), FakeServerInspector(), settings())
    assert only(section.findings, "write alias").fix.startswith("create it with 'syncline apply'")


async def test_a_server_that_is_not_there_is_told_from_one_that_refuses() -> None:
    admin = FakeIndexAdmin()
    admin.fail_with = RetryLater(RetryReason.CONNECTION, "refused")
    with pytest.raises(MissingServerError) as missing:
        await check_index(admin, FakeServerInspector(), settings())
    assert problems(missing.value.section.findings) == [("server", Level.FAILURE)]
    admin.fail_with = Halt(HaltReason.UNAUTHENTICATED, "no")
    section = await check_index(admin, FakeServerInspector(), settings())
    assert only(section.findings, "server").fix.startswith("check elasticsearch.api_key_file")


async def test_a_server_that_stops_answering_while_it_is_asked_is_told_in_a_sentence() -> None:
    admin, inspector = await applied(), FakeServerInspector()
    inspector.fail_with = RetryLater(RetryReason.UNREADABLE_RESPONSE, "the answer is no JSON object")
    with pytest.raises(MissingServerError) as missing:
        await check_index(admin, inspector, settings())
    assert problems(missing.value.section.findings) == [("server", Level.FAILURE)]
    inspector.fail_with = Halt(HaltReason.WRITE_BLOCKED, "index read (api)")
    section = await check_index(admin, inspector, settings())
    assert "index read (api)" in only(section.findings, "server").sentence


@pytest.mark.parametrize(
    ("version", "level"),
    [("8.14.3", Level.WARNING), ("8.15.0", Level.OK), ("9.5.0", Level.OK), ("10.0.0", Level.WARNING), (None, Level.OK)],
)
async def test_the_version_must_be_one_that_is_tried(version: str | None, level: Level) -> None:
    section = await check_index(await applied(), FakeServerInspector(version), settings())
    assert only(section.findings, "server").level is level


LEAST = frozenset({"index", "delete", "read", "view_index_metadata"})


@pytest.mark.parametrize("missing", sorted(LEAST))
async def test_each_privilege_that_the_worker_needs_is_missed(missing: str) -> None:
    inspector = FakeServerInspector(privileges=LEAST - {missing} | {"maintenance"})
    finding = only((await check_index(await applied(), inspector, settings())).findings, "privileges")
    assert (finding.level, finding.sentence) == (
        Level.FAILURE,
        f"this credential lacks {missing} on articles-write",
    )


async def test_what_only_a_search_for_the_tenant_needs_is_a_note() -> None:
    section = await check_index(await applied(), FakeServerInspector(privileges=LEAST), settings())
    assert [one.level for one in section.findings if one.subject == "privileges"] == [Level.OK, Level.NOTE]


@pytest.mark.parametrize(
    ("of_index", "of_cluster", "told"),
    [
        (
            LEAST,
            frozenset(),
            "not monitor on the cluster and the index: no metrics of it, whose alerts never fire; a disk",
        ),
        (
            LEAST | {"monitor"},
            frozenset(),
            "not monitor on the cluster: no metrics of it, whose alerts never fire; a disk",
        ),
        (LEAST, frozenset({"monitor"}), "not monitor on the index: no metrics of it, whose alerts never fire"),
        (LEAST | {"monitor"}, frozenset({"monitor"}), None),
        (None, frozenset(), None),
    ],
)
async def test_who_may_not_watch_elasticsearch_is_told_that_its_alerts_never_fire(
    of_index: frozenset[str] | None, of_cluster: frozenset[str], told: str | None
) -> None:
    inspector = FakeServerInspector(privileges=of_index, of_cluster=of_cluster)
    section = await check_index(await applied(), inspector, settings())
    found = [one for one in section.findings if one.subject == "cluster view"]
    assert [one.level for one in found] == [Level.NOTE] * (told is not None)
    assert not found or (told is not None and found[0].sentence.startswith(told))
    silent = await check_index(await applied(), inspector, settings(metrics={"cluster": False}))
    assert not [one for one in silent.findings if one.subject == "cluster view"]


@pytest.mark.parametrize(
    ("hosts", "credential", "told"),
    [
        (["http://search:9200", "https://other:9200"], {"api_key": "key"}, "http://search:9200:"),
        (["http://search:9200"], {"username": "a", "password": "b"}, "http://search:9200:"),
        (["http://search:9200"], {}, None),
        (["https://search:9200"], {"api_key": "key"}, None),
        (["http://127.0.0.1:9200", "http://localhost:9200"], {"api_key": "key"}, None),
    ],
)
async def test_a_credential_that_travels_unencrypted_is_told(
    hosts: list[str], credential: dict[str, str], told: str | None
) -> None:
    chosen = settings(elasticsearch={"hosts": hosts, **credential})
    section = await check_index(await applied(), FakeServerInspector(), chosen)
    found = [one for one in section.findings if one.subject == "security"]
    assert [one.level for one in found] == [Level.WARNING] * (told is not None)
    assert not found or (told is not None and told in found[0].sentence)


async def test_and_a_failure_where_a_source_needs_it() -> None:
    section = await check_index(await applied(), FakeServerInspector(privileges=LEAST), settings(), ["articles"])
    told, finding = (one for one in section.findings if one.subject == "privileges")
    assert (told.level, finding.level) == (Level.OK, Level.FAILURE)
    assert "lacks maintenance on articles-write, and rows of articles do not tell" in finding.sentence
    assert finding.fix.startswith("grant maintenance on the name articles-write")
    all_granted = FakeServerInspector(privileges=LEAST | {"maintenance"})
    assert problems((await check_index(await applied(), all_granted, settings(), ["articles"])).findings) == []


@pytest.mark.parametrize(("key", "locating"), [({"id": 1}, ("articles",)), ({"id": 1, "tenant": "acme"}, ())])
async def test_which_sources_need_it_the_records_tell(key: dict[str, object], locating: tuple[str, ...]) -> None:
    there = log(articles=1)
    there.append(TopicPartition("articles", 0), json.dumps(key).encode(), json.dumps(event()).encode())
    assert (await looked_at(there, settings())).locating == locating


async def test_records_that_are_older_than_tombstones_are_kept_are_told_of() -> None:
    there = log(articles=1)
    append(there, event(lsn=1))
    append(there, event(lsn=2))
    records = there.records[TopicPartition("articles", 0)]
    records[:] = [replace(one, timestamp_ms=1 + 1001 * number) for number, one in enumerate(records)]
    kept = settings(delivery={"tombstone_retention": "1s"})
    # Where the topic's own settings say it, its records are not asked.
    _, articles = await feed(there, kept)
    assert problems(articles.findings) == [("retention", Level.WARNING)]
    _, articles = await feed(there, kept, told={})
    finding = only(articles.findings, "tombstones")
    assert finding.level is Level.WARNING
    assert "delivery.tombstone_retention" in finding.fix
    for harmless in ({"tombstone_retention": "2s"}, {"tombstone_retention": "1s", "deletes": "hard"}):
        _, articles = await feed(there, settings(delivery=harmless), told={})
        assert [one for one in articles.findings if one.subject == "tombstones"] == []


@pytest.mark.parametrize(
    ("sentence", "between", "fix"),
    [
        ("kafka: h:1: no connection (refused)", ": ", "check kafka.bootstrap_servers"),
        ("the alias a does not exist", ": ", "create it with 'x', or mend y"),
        ("Elasticsearch at http://h:1: no connection", "; ", "check hosts (cannot connect: h)"),
        ("the write alias leads to other indices, too", ": ", "remove it from b"),
        ("index.definition: f has 'x'", ": ", "keep `settings` and `mappings` only"),
    ],
)
def test_an_error_is_split_into_what_is_wrong_and_what_to_change(sentence: str, between: str, fix: str) -> None:
    assert refused("s", OperatorError(f"{sentence}{between}{fix}")) == failure("s", sentence, fix)


def test_what_a_server_says_in_its_own_words_has_something_to_do_as_well() -> None:
    assert refused("s", OperatorError("nothing to split")).fix


@pytest.mark.parametrize(
    ("security", "told"),
    [
        ({"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u", "password": "p"}, True),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password": "p"}, False),
        ({"protocol": "PLAINTEXT"}, False),
    ],
)
async def test_a_login_that_travels_unencrypted_is_told(security: dict[str, str], told: bool) -> None:  # noqa: FBT001
    kafka, *_ = await feed(log(articles=1), settings(kafka={"security": security}))
    assert [one.level for one in kafka.findings if one.subject == "security"] == [Level.WARNING] * told


REPORT = Report(
    (
        Section("Kafka", (ok("brokers", "answer"), warning("replica identity", "is " + "long " * 30, "mend " * 20))),
        Section(
            "Source a", (failure("rejected", "holds \x1b[31mred\x1b[0m", "look"), note("columns", "no field takes: a"))
        ),
    )
)


def test_the_table_is_of_80_columns_and_drives_no_terminal() -> None:
    text = check_report.render(REPORT)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "  FAILS    rejected          holds" in text
    assert "                        fix: look\n" in text
    assert text.endswith("\n1 fails, 1 warning.")


def test_the_summary_names_servers_that_are_not_there() -> None:
    text = check_report.render(Report((), ("Kafka",)))
    assert text == "Nothing fails, 0 warnings; not checked, because there is no server: Kafka."


def test_json_holds_the_same() -> None:
    said = json.loads(check_report.as_json(REPORT))
    assert (said["ok"], said["failures"], said["warnings"], said["missing_servers"]) == (False, 1, 1, [])
    assert said["sections"][0]["findings"][0] == {
        "subject": "brokers",
        "level": "ok",
        "sentence": "answer",
        "fix": None,
    }


@pytest.mark.parametrize(
    ("finding", "missing", "fine"),
    [
        (ok("a", "b"), (), True),
        (warning("a", "b", "c"), (), True),
        (failure("a", "b", "c"), (), False),
        (ok("a", "b"), ("Kafka",), False),
    ],
)
def test_warnings_do_not_fail(finding: Finding, missing: tuple[str, ...], fine: bool) -> None:  # noqa: FBT001
    assert Report((Section("s", (finding,)),), missing).ok is fine


DAY = 86_400.0


@pytest.mark.parametrize(
    ("kept_s", "compacted", "deletes", "level"),
    [
        (6 * DAY, False, "tombstone", Level.OK),
        (7 * DAY, False, "tombstone", Level.NOTE),
        (8 * DAY, False, "tombstone", Level.WARNING),
        (float("inf"), False, "tombstone", Level.WARNING),
        (float("inf"), True, "tombstone", Level.NOTE),
        (8 * DAY, False, "hard", Level.OK),
    ],
)
async def test_tombstones_must_outlive_the_topics_records(
    kept_s: float,
    compacted: bool,  # noqa: FBT001
    deletes: str,
    level: Level,
) -> None:
    there = log(articles=1)
    append(there, event())
    told = {"articles": TopicLimits(kept_s, 1 << 20, compacted)}
    _, articles = await feed(there, settings(delivery={"deletes": deletes}), told=told)
    assert only(articles.findings, "retention").level is level


async def test_settings_of_a_topic_that_are_not_shown_are_a_note() -> None:
    _, articles = await feed(log(articles=1), settings(), told={})
    assert only(articles.findings, "retention").level is Level.NOTE


async def test_a_dead_letter_topic_must_take_what_the_sources_hold_and_be_writable() -> None:
    there, chosen = log(articles=1, letters=1), settings(kafka={"dead_letter_topic": "letters"})
    told = {"articles": TopicLimits(DAY, 8 << 20), "letters": TopicLimits(DAY, 1 << 20)}
    kafka, _ = await feed(there, chosen, told=told)
    assert problems(kafka.findings) == [("dead letters", Level.WARNING)]
    assert "takes records of 1 MiB, articles of 8 MiB" in kafka.findings[-1].sentence
    kafka, _ = await feed(there, chosen, read_only=frozenset({"letters"}))
    assert problems(kafka.findings) == [("dead letters", Level.FAILURE)]


async def test_a_group_that_this_user_may_not_join_fails() -> None:
    kafka, _ = await feed(log(articles=1), settings(), allowed=False)
    assert only(kafka.findings, "group").level is Level.FAILURE


async def test_records_from_the_future_tell_of_a_clock() -> None:
    there = log(articles=1)
    append(there, event())
    records = there.records[TopicPartition("articles", 0)]
    records[0] = replace(records[0], timestamp_ms=100_000)
    _, articles = await feed(there, settings(), now_ms=95_000)
    assert problems(articles.findings) == []
    _, articles = await feed(there, settings(), now_ms=40_000)
    assert "up to 60 s after now" in only(articles.findings, "clock").sentence


@pytest.mark.parametrize(
    ("theirs", "level", "words"),
    [
        (100_000, Level.OK, "agree"),
        (103_900, Level.OK, "agree"),
        (98_100, Level.OK, "agree"),
        (110_000, Level.WARNING, "this machine's is 8 s behind the server's"),
        (90_000, Level.WARNING, "this machine's is 10 s ahead of the server's"),
    ],
)
async def test_clocks_are_compared_as_well_as_a_slow_answer_allows(theirs: int, level: Level, words: str) -> None:
    inspector = FakeServerInspector(clock=lambda: theirs)
    section = await check_index(await applied(), inspector, settings(), clock=FixedClock(100_000, 102_000))
    finding = only(section.findings, "clock")
    assert finding.level is level
    assert words in finding.sentence


async def test_a_truncate_that_deletes_all_needs_the_privilege_to_refresh() -> None:
    privileges = frozenset({"index", "delete", "read", "view_index_metadata"})
    chosen = settings({"truncate": "delete_all", "table": "articles"})
    section = await check_index(await applied(), FakeServerInspector(privileges=privileges), chosen)
    assert problems(section.findings) == [("privileges", Level.FAILURE)]
    assert "truncate: delete_all" in section.findings[2].sentence
    allowed = FakeServerInspector(privileges=privileges | {"maintenance"})
    assert problems((await check_index(await applied(), allowed, chosen)).findings) == []


async def test_apply_says_which_fields_of_the_sources_its_definition_lacks() -> None:
    chosen = settings({"fields": {"title": "t", "slug": "s"}})
    report = await apply(FakeIndexAdmin(), IndexSettings(), dry_run=True, sources=chosen.sources)
    assert report.ok
    assert [one.sentence for one in report.unmapped] == [
        "field 'slug' of source articles is not in the mapping of articles: its documents are refused"
    ]
    assert "field 'slug' of source articles" in render_apply(report).replace("\n        ", " ")
    assert max(map(len, render_apply(report).splitlines())) <= 80


@pytest.mark.parametrize(("threads", "told"), [(None, False), (8, False), (9, True)])
def test_threads_need_processors(threads: int | None, told: bool) -> None:  # noqa: FBT001 - a case
    assert [one.subject for one in thread_findings(threads, 8)] == ["threads"] * told


async def test_a_model_that_nobody_can_give_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for proxy in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    (finding,) = (await check_model(EmbeddingSettings(model="nobody/nothing"))).findings
    assert finding.level is Level.FAILURE
    assert "127.0.0.1:1 cannot be reached" in finding.sentence
    assert finding.fix.startswith("set embedding.path to a folder that holds the model, as 'hf download nobody/nothing")
    (tmp_path / "config.json").write_text("{}")
    found = (await check_model(EmbeddingSettings(path=tmp_path, threads=1))).findings
    assert [one.level for one in found] == [Level.OK]


@pytest.mark.parametrize(
    ("http", "told"),
    [
        ({"url": "http://embeddings:8080", "api_key": "sk-x"}, True),
        ({"url": "http://embeddings:8080", "api_key_file": "/run/key"}, True),
        ({"url": "http://embeddings:8080"}, False),
        ({"url": "https://embeddings:8080", "api_key": "sk-x"}, False),
        ({"url": "http://127.0.0.1:8080", "api_key": "sk-x"}, False),
        ({"url": "http://[::1]:8080", "api_key": "sk-x"}, False),
        ({"url": "http://localhost:8080", "api_key": "sk-x"}, False),
        ({"url": "http://localhost.example.com:8080", "api_key": "sk-x"}, True),
    ],
)
def test_a_key_that_is_sent_without_tls_is_a_warning(http: dict[str, Any], told: bool) -> None:  # noqa: FBT001 - a case
    found = key_findings(HttpEmbeddingSettings.model_validate(http))
    assert [(one.subject, one.level) for one in found] == [("key", Level.WARNING)] * told
    assert "sk-x" not in str(found)


async def test_openvino_that_is_not_installed_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    chosen = EmbeddingSettings(path=tmp_path, backend="openvino", threads=1)
    installed = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else installed(name))
    (finding,) = (await check_model(chosen)).findings
    assert finding.level is Level.FAILURE
    assert "OpenVINO is not installed" in finding.sentence
    assert finding.fix == "install it with pip install 'syncline[openvino]', or set backend to torch"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    assert [one.level for one in (await check_model(chosen)).findings] == [Level.OK]


async def test_vectors_of_another_length_than_the_index_takes_fail() -> None:
    admin, inspector = await applied(), FakeServerInspector()
    fitting = await check_index(admin, inspector, settings(), dimensions=384)
    assert only(fitting.findings, "vectors").sentence.endswith("384 dimensions in the index; the server's have as many")
    section = await check_index(admin, inspector, settings(), dimensions=768)
    assert problems(section.findings) == [("vectors", Level.FAILURE)]
    assert "takes vectors of 384 dimensions and the model makes 768" in only(section.findings, "vectors").sentence


def test_a_source_of_change_events_gets_remedies_that_its_writer_can_follow() -> None:
    """Who writes events themselves has no connector and no replica identity to set."""
    values = [
        b"not json",
        b'{"op": "upsert", "key": {"id": 1}, "version": 1}',
        b'{"op": "upsert", "key": {}, "version": 1, "row": {}}',
        b'{"op": "delete", "key": {"id": 1}, "version": 1}',
        b'{"op": "upsert", "key": {"id": 1}, "version": "x", "row": {"tenant": "a", "title": "t", "content": "c"}}',
        b'{"op": "truncate"}',
        b'{"after": {}}',
        b'{"op": "upsert", "key": {"id": 1}, "row": {"tenant": "a", "title": 1790000000000, "content": "c"}}',
    ]
    records = [record(value, offset=number) for number, value in enumerate(values)]
    found = findings(records, format="change-event", locate="never")
    assert len([one for one in found if one.subject == "rejected"]) == 7
    for one in found:
        for word in ("connector", "converter", "REPLICA", "replica", "message.key.columns", "ExtractNewRecordState"):
            assert word not in one.fix + one.sentence, one


@pytest.mark.parametrize(
    ("told", "limits"),
    [
        ({"retention.ms": "1000", "max.message.bytes": "5"}, TopicLimits(1, 5)),
        ({"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "5"}, TopicLimits(float("inf"), 5)),
        (
            {"cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "5"},
            TopicLimits(float("inf"), 5, compacted=True),
        ),
        (
            {"cleanup.policy": "compact,delete", "retention.ms": "1000", "max.message.bytes": "5"},
            TopicLimits(1, 5, compacted=True),
        ),
        ({"retention.ms": None, "max.message.bytes": "5"}, None),
        ({}, None),
    ],
)
def test_what_a_topics_own_settings_mean(told: Mapping[str, str | None], limits: TopicLimits | None) -> None:
    assert topic_limits(told) == limits


@pytest.mark.parametrize(
    ("blocks", "fix"),
    [
        ({"blocks": {"write": "true"}}, "set it to null on articles-v000001"),
        ({"blocks.read_only_allow_delete": True}, "free the disk, where it was set for that"),
        ({"blocks": {"write": "false"}}, None),
    ],
)
async def test_an_index_that_is_blocked_fails(blocks: dict[str, object], fix: str | None) -> None:
    admin = await applied()
    state = admin.state[INDEX]
    admin.state[INDEX] = IndexState(state.aliases, {**state.settings, **blocks}, state.mappings)
    found = (await check_index(admin, FakeServerInspector(), settings())).findings
    assert [one.fix for one in found if one.subject == "write block"] == ([] if fix is None else [fix])


async def test_a_cluster_that_is_blocked_fails() -> None:
    inspector = FakeServerInspector()
    inspector.blocks = ["cluster.blocks.read_only (persistent)"]
    found = (await check_index(await applied(), inspector, settings())).findings
    assert "the whole cluster has cluster.blocks.read_only (persistent)" in only(found, "write block").sentence
