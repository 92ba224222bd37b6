"""The parts of the benchmarks that decide what a figure says."""

import orjson

from tests.benchmarks import table
from tests.benchmarks.events import MIX, TABLE, History, marks
from tests.benchmarks.results import Reach, bound_by_elasticsearch, ratios, reach, throughput_rows, wrong_documents
from tests.benchmarks.target import key_of
from tests.benchmarks.truth import UNAVAILABLE, Found, Row, compare
from tests.benchmarks.turn import Measured

KEY = ("articles", "acme", "1")
ROW = Row("acme", {"title": "A", "tags": ["x"]})


def found(**columns: object) -> Found:
    return Found(
        KEY,
        columns.pop("tenant", "acme"),
        str(columns.pop("routing", "acme")),
        {"title": "A", "tags": ["x"], **columns},
    )


def kinds(*documents: Found, routed: bool = True) -> dict[str, int]:
    wrong = compare({KEY: ROW}, documents, routed=routed).wrong
    return {kind: count for kind, count in wrong.items() if count}


def test_a_document_like_its_row_is_right() -> None:
    assert kinds(found()) == {}


def test_every_kind_of_wrong_document_is_told_from_the_others() -> None:
    assert kinds() == {"missing": 1}
    assert kinds(found(), found()) == {"doubled": 1}
    assert kinds(found(), Found(("articles", "acme", "2"), "acme", "acme", {})) == {"ghost": 1}
    assert kinds(found(title="B")) == {"stale": 1}
    assert kinds(found(), found(tenant="globex", routing="globex")) == {"wrong tenant": 1}
    assert kinds(found(title=UNAVAILABLE)) == {"placeholder text": 1}


def test_a_document_under_another_tenants_routing_is_wrong_only_in_a_divided_index() -> None:
    assert kinds(found(routing="globex")) == {"wrong tenant": 1}
    assert kinds(found(routing="")) == {"wrong tenant": 1}
    assert kinds(found(routing=""), routed=False) == {}


def test_a_row_whose_only_document_is_another_tenants_is_missing_as_well() -> None:
    assert kinds(found(tenant="globex", routing="globex")) == {"wrong tenant": 1, "missing": 1}


def applied(records: list[tuple[bytes, bytes | None]]) -> dict[bytes, dict[str, object]]:
    """The rows after events, large values that were left out taken from before."""
    rows: dict[bytes, dict[str, object]] = {}
    for key, value in records:
        event = orjson.loads(value or b"null")
        if event is None or event["op"] == "d":
            rows.pop(key, None)
            continue
        after = event["after"]
        rows[key] = {**after, "content": rows[key]["content"]} if after["content"] == UNAVAILABLE else after
    return rows


def test_the_truth_is_what_the_events_lead_to() -> None:
    history = History()
    records = [*history.inserts(300), *history.mixed(3000)]
    rows = applied([(one.key, one.value) for one in records])
    told = {
        (TABLE, str(row["tenant"]), str(row["id"])): {name: row[name] for name in ("title", "content", "tags", "url")}
        for row in rows.values()
    }
    assert told == {key: dict(row.fields) for key, row in history.rows().items()}


def test_the_mix_has_its_shares_and_large_texts_are_left_out() -> None:
    history = History()
    history.inserts(500)
    before = history.texts
    records = history.mixed(4000)
    events = [orjson.loads(one.value) for one in records if one.value is not None]
    assert len(events) == sum(one.is_change for one in records) == 4000
    deletes = sum(event["op"] == "d" for event in events)
    assert 0.03 < deletes / 4000 < 0.08
    assert 0.15 < (history.texts - before) / 4000 < (MIX["inside"] + MIX["insert"] + 5) / 100
    assert any(event["after"] and event["after"]["content"] == UNAVAILABLE for event in events)
    tags = [tag for row in history.rows().values() for tag in row.fields["tags"]]
    assert "revision 3" in tags  # each update shows in its document
    assert len({event["source"]["lsn"] for event in events}) < 4000  # duplicates have the position of the first


def test_the_same_seed_draws_the_same_events() -> None:
    one, other = History(3), History(3)
    assert one.inserts(20) == other.inserts(20)
    assert one.mixed(50) == other.mixed(50)


def test_there_is_a_mark_for_every_partition() -> None:
    assert sorted(marks("end", 4)) == [0, 1, 2, 3]
    assert all(record.partition(4) == number for number, (_, record) in marks("end", 4).items())


def test_a_row_is_known_by_any_baselines_document_id() -> None:
    assert key_of("acme|1") == key_of('{"tenant":"acme","id":1}') == ("acme", "1")


def measured(contender: str, seconds: float, failed: str = "") -> Measured:
    return Measured(contender, 100, seconds, failed=failed)


def test_ratios_are_taken_round_by_round() -> None:
    turns = [measured("syncline", 1), measured("stream", 8), measured("syncline", 2), measured("stream", 8)]
    assert ratios(turns, "stream") == [8, 4]
    goal = reach(turns, "stream", 5)
    assert (goal.value, goal.low, goal.high, goal.reached) == (6, 4, 8, True)


def test_the_quantised_model_is_compared_by_its_own_name() -> None:
    turns = [measured("syncline", 1), measured("syncline-int8", 0.5), measured("stream", 8)]
    goal = reach(turns, "stream", 8, "syncline-int8")
    assert (goal.what, goal.value) == ("`syncline-int8` against `stream`", 16)


def test_what_elasticsearch_needs_of_the_processors_is_a_bound_for_everybody() -> None:
    ours = Measured("syncline", 100, 1, elasticsearch_cpu_s=0.04)
    (told,) = bound_by_elasticsearch([ours, measured("stream", 0.05)], cores=2)
    assert told.endswith("5,000 events/s, which is 2.5x `stream`.")
    assert bound_by_elasticsearch([measured("stream", 1)], cores=2) == []


def test_a_baseline_that_failed_has_no_ratio() -> None:
    goal = reach([measured("syncline", 1), measured("quix", 0, "it broke")], "quix", 8)
    assert goal.value is None
    assert goal.reached is None


def test_at_most_and_at_least() -> None:
    assert Reach("p99", 200, 250, "ms", at_most=True).reached
    assert not Reach("p99", 300, 250, "ms", at_most=True).reached


def test_the_table_shows_goals_first() -> None:
    goal = {"what": "against `stream`", "value": 9.12, "goal": 8, "unit": "x", "at_most": False}
    scenario = {
        "title": "Change mix",
        "how": "Changes.",
        "columns": ["", "events/s"],
        "rows": [["syncline", "90"]],
        "notes": ["A note."],
        "at": "now",
        "took_s": 60,
        "load_before": 0.1,
        "command": "make bench",
        "reach": [{**goal, "low": 8.5, "high": 9.7, "reached": True}],
    }
    text = table.rendered({"scenarios": {"mix": scenario}})
    assert "| Change mix | against `stream`: >= 8x | **9.12x** (8.50 to 9.70) | yes |" in text
    assert (
        text.index("to reach") < text.index("## Change mix") < text.index("| syncline | 90 |") < text.index("A note.")
    )


def test_wrong_documents_are_named() -> None:
    assert wrong_documents(compare({KEY: ROW}, [found(title="B")])) == "1 of 1 (1 stale)"
    assert not wrong_documents(None)


def test_the_worst_round_is_told() -> None:
    rounds = [measured("stream", 1), measured("stream", 1)]
    rounds[0].wrong = compare({KEY: ROW}, [found(title="B")])
    rounds[1].wrong = compare({KEY: ROW}, [found()])
    (row,) = throughput_rows(rounds)
    assert row[-1] == "1 of 1 (1 stale)"
