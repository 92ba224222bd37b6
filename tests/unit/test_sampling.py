"""What a check says of records that are made for one question each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.builders import TOPIC, event, record, row
from tests.unit.sampled import findings, of, only, problems
from worker.records import Position, Record
from worker.stages.findings import Finding, Level

WARNING, FAILURE = Level.WARNING, Level.FAILURE
KEY: Final = {"id": 1, "tenant": "acme"}
PLACEHOLDER: Final = "__debezium_unavailable_value"


def feed(*values: object, key: object = KEY) -> list[Record]:
    """Records of one row, one behind the other in one partition."""
    return [record(value, key, offset=offset) for offset, value in enumerate(values)]


def change_event(op: str = "upsert", version: int | None = 5, **more: object) -> dict[str, object]:
    said = {"op": op, "key": {"id": 1}, "version": version, **more}
    return said if op == "delete" else {**said, "row": row()}


def flat(**more: object) -> dict[str, object]:
    return {**row(), **more}


def keyed(operation: str, tenant: object, row_id: int, **more: object) -> Record:
    before = {"id": row_id, "tenant": tenant} if operation == "d" else None
    said = event(operation, None if operation == "d" else row(row_id, tenant), before, lsn=100 + row_id, **more)
    return record(said, {"id": row_id, "tenant": tenant}, offset=row_id)


def test_a_feed_as_it_should_be_has_nothing_to_mend() -> None:
    told = findings(feed(event(lsn=1), event("u", row(title="New"), lsn=2), event("d", before=KEY, lsn=3), None))
    assert problems(told) == []
    assert only(told, "records").sentence == "2 to index, 1 to delete, 1 skipped (tombstone)"


@pytest.mark.parametrize("op", [["upsert"], {"a": 1}, 5])
def test_a_column_may_be_called_as_a_change_event_calls_its_operation(op: object) -> None:
    assert problems(findings(feed({**flat(), "op": op}))) == problems(findings(feed(flat())))


def test_no_records_say_that_nothing_could_be_checked() -> None:
    (finding,) = findings([])
    assert (finding.level, finding.sentence) == (Level.NOTE, "no records yet: nothing could be checked")


def test_a_rejection_names_the_record_and_is_worse_without_a_dead_letter_topic() -> None:
    records = [*feed(event(lsn=1), event(lsn=2)), record(b"{", offset=7, partition=3)]
    for dead_letters, level in ((True, WARNING), (False, FAILURE)):
        finding = only(findings(records, dead_letters=dead_letters), "rejected")
        assert finding.level is level
        assert "1 record would be rejected as invalid_json" in finding.sentence
        assert "cms.public.articles[3] offset 7: the record's value is not JSON" in finding.sentence
        assert "JsonConverter" in finding.fix


def test_more_rejected_than_not_is_no_fault_of_the_records() -> None:
    assert only(findings(feed(b"{", b"{", event())), "rejected").level is FAILURE
    assert only(findings(feed(b"{", event())), "rejected").level is WARNING


def test_each_reason_is_a_line_of_its_own() -> None:
    reasons = [
        finding.sentence.partition(" as ")[2].partition(",")[0]
        for finding in of(findings(feed(b"{", event("x"), b"[]", b"{")), "rejected")
    ]
    assert reasons == ["invalid_json", "not_an_event", "unknown_operation"]


CASES: Final[dict[str, tuple[Callable[[], list[Finding]], str, Level, str]]] = {
    "a change event read as Debezium": (
        lambda: findings(feed(change_event(), change_event())),
        "format",
        FAILURE,
        "set format: change-event",
    ),
    "an envelope read as a change event": (
        lambda: findings(feed(event(), event()), format="change-event"),
        "format",
        FAILURE,
        "set format: debezium",
    ),
    "a made-up tenant in the key of a delete": (
        lambda: findings([keyed("c", 7, 1), keyed("c", 7, 2), keyed("d", 0, 3)]),
        "tenant",
        FAILURE,
        "REPLICA IDENTITY FULL",
    ),
    "a delete of a change event without its tenant": (
        lambda: findings(feed(change_event(tenant="acme"), change_event("delete", 6)), format="change-event"),
        "tenant",
        WARNING,
        "write the property tenant into deletes",
    ),
    "full declared, deletes bare": (
        lambda: findings(
            feed(event(lsn=1), event("d", before={"id": 1, "tenant": "", "title": ""}, lsn=2), key={"id": 1}),
            replica_identity="full",
        ),
        "replica identity",
        FAILURE,
        "ALTER TABLE",
    ),
    "no position in flattened rows": (
        lambda: findings(feed(flat())),
        "positions",
        WARNING,
        "add.fields=op,source.lsn",
    ),
    "no version in change events": (
        lambda: findings(feed(change_event(version=None, tenant="acme")), format="change-event"),
        "positions",
        WARNING,
        "write the property version",
    ),
    "a position that falls": (
        lambda: findings(feed(event(lsn=9), event(lsn=8))),
        "positions",
        WARNING,
        "version_epoch",
    ),
    "two changes with one position": (
        lambda: findings(feed(event(lsn=9), event("u", row(title="Other"), lsn=9))),
        "positions",
        WARNING,
        "as version",
    ),
    "a version column that does not rise": (
        lambda: findings(feed(event(after=row(n=2)), event(after=row(n=1))), version="n"),
        "positions",
        WARNING,
        "n must rise",
    ),
    "a column that is in no row": (
        lambda: findings(feed(event()), fields={"title": "titel"}, embed=["title"]),
        "columns",
        FAILURE,
        "correct 'from' of field title",
    ),
    "a column that is in some rows": (
        lambda: findings(
            feed(event(after=row(note="n"), lsn=1), event(lsn=2)), fields={"title": "note"}, embed=["title"]
        ),
        "columns",
        WARNING,
        "default",
    ),
    "another placeholder than the connector's": (
        lambda: findings(feed(event("u", row(content=PLACEHOLDER))), unavailable_placeholder="__gone__"),
        "large values",
        FAILURE,
        "unavailable.value.placeholder",
    ),
    "a placeholder that nobody declared": (
        lambda: findings(feed(event(lsn=1), event("u", row(content="__not_toasted__"), lsn=2))),
        "large values",
        WARNING,
        "unavailable.value.placeholder",
    ),
    "an id that is not in the key": (
        lambda: findings(feed(event(after=row(n=1))), id=["id", "n"]),
        "record keys",
        WARNING,
        "put n into the primary key",
    ),
    "tombstones without a delete": (
        lambda: findings(feed(event(), None)),
        "tombstones",
        WARNING,
        "set tombstone: delete",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_found_with_its_fix(case: str) -> None:
    find, subject, level, fix = CASES[case]
    told = [finding for finding in of(find(), subject) if finding.level in (WARNING, FAILURE)]
    assert [finding.level for finding in told] == [level]
    assert fix in told[0].fix


def test_bare_times_are_noted_where_nothing_says_what_they_are() -> None:
    fields: Any = {"title": "title", "at": "at", "seen": {"from": "seen", "type": "epoch_millis"}, "count": "count"}
    rows = feed(event(after=row(at=1_795_298_512_584_000, seen=1_795_298_512_584, count=1_795_298_512)))
    told, noted = of(findings(rows, fields=fields), "format")
    assert (told.sentence, noted.level) == ("envelope, without schema", Level.NOTE)
    assert noted.sentence == "numbers that look like times, written as they are: at"


def test_a_tenant_that_is_zero_in_rows_is_no_made_up_one() -> None:
    assert only(findings([keyed("c", 0, 1), keyed("d", 0, 1)]), "tenant").level is Level.OK


def keyed_feed(*said: tuple[str, object, int]) -> list[Record]:
    return [replace(keyed(*one), position=Position(TOPIC, 0, number)) for number, one in enumerate(said)]


def test_a_column_s_default_that_is_made_up_contradicts_the_rows() -> None:
    rows = [("c", "acme", 1), ("c", "globex", 2), ("c", "public", 3)]
    told = findings(keyed_feed(*rows, ("d", "public", 1), ("d", "public", 2)))
    assert only(told, "tenant").level is FAILURE
    for harmless in (
        [("d", "public", 1)],
        [("d", "public", 1), ("d", "acme", 2)],
        [("c", "public", 1), ("d", "public", 1), ("d", "public", 2)],
    ):
        assert only(findings(keyed_feed(*rows, *harmless)), "tenant").level is Level.OK


def test_of_a_declared_message_key_the_cost_is_told() -> None:
    rows = [("c", "acme", 1), ("c", "globex", 2)]
    found = only(findings(keyed_feed(*rows, ("d", "", 1)), tenant_in_key="message_key"), "tenant")
    assert (found.level, "a search on all shards" in found.sentence) == (WARNING, True)
    assert "REPLICA IDENTITY FULL" in found.fix
    full = findings(keyed_feed(*rows, ("d", "acme", 1)), tenant_in_key="message_key", replica_identity="full")
    assert only(full, "tenant").level is Level.OK


def test_a_declaration_that_the_feed_does_not_bear_out_is_told_of() -> None:
    real = [("c", "acme", 1), ("c", "globex", 2), ("d", "acme", 1)]
    found = only(findings(keyed_feed(*real), tenant_in_key="message_key"), "tenant")
    assert (found.level, "primary_key" in found.fix) == (Level.NOTE, True)
    shared = [("c", "acme", 1), ("c", "globex", 1)]
    found = only(findings(keyed_feed(*shared), tenant_in_key="message_key"), "tenant")
    assert (found.level, found.fix) == (FAILURE, "set tenant_in_key: primary_key")
    assert "rows of several tenants have one id, such as 1" in found.sentence
    assert only(findings(keyed_feed(*shared)), "tenant").level is Level.OK


def test_a_change_that_is_sent_again_word_for_word_is_not_two_changes() -> None:
    assert problems(findings(feed(event(lsn=9), event(lsn=9)))) == []


def test_positions_are_compared_row_by_row_and_partition_by_partition() -> None:
    others = [keyed("c", "acme", 3), record(event(lsn=1), KEY, offset=4), record(event(lsn=0xFF), KEY, partition=1)]
    assert problems(findings(others)) == []


def test_a_delete_has_no_position_where_a_column_gives_it() -> None:
    told = findings(feed(event(after=row(n=2)), event("d", before=KEY)), version="n")
    assert problems(told) == []
    assert any("column 'n' gives them" in finding.sentence for finding in of(told, "positions"))


@pytest.mark.parametrize("text", ["unchanged", "toast", "the toast_", "__made by hand__"])
def test_a_text_about_toast_is_no_placeholder(text: str) -> None:
    assert of(findings(feed(event(lsn=1), event("u", row(title=text), lsn=2))), "large values") == []


def test_what_an_insert_holds_is_no_placeholder() -> None:
    assert of(findings(feed(event(after=row(title="__unchanged__")))), "large values") == []


def test_undeclared_columns_are_named_and_dropped_ones_are_no_news() -> None:
    told = findings(feed(event(after=row(new=1, old=2))), drop=["old"])
    assert only(told, "columns").sentence == "no field takes: new"
    assert problems(told) == []


def test_a_default_makes_a_missing_column_a_note() -> None:
    fields: Any = {"title": "title", "lang": {"from": "lang", "default": "en"}}
    finding = only(findings(feed(event()), fields=fields, drop=["content"]), "columns")
    assert (finding.level, finding.sentence[-26:]) == (Level.NOTE, "s: the field is 'en' there")


def test_nulls_in_updates_are_only_suspect_where_other_records_hold_values_of_a_type_that_is_lost() -> None:
    def told(inserted: object, updated: object, before: object = None) -> list[Finding]:
        events = feed(event(after=row(content=inserted), lsn=1), event("u", row(content=updated), before, lsn=2))
        return of(findings(events), "large values")

    assert [one.level for one in told([1.5], None)] == [WARNING]
    assert [one.level for one in told({"scale": 1, "value": "AA=="}, None)] == [WARNING]
    assert told("text gets the placeholder", None) == []
    assert told(None, None) == []
    assert told([1.5], [2.5]) == []
    assert told([1.5], None, row(content=[1.5])) == []


def test_flattened_rows_of_a_table_with_full_lose_nothing() -> None:
    events = feed(flat(content=[1.5], __op="c", __lsn=1), flat(content=None, __op="u", __lsn=2))
    assert [one.level for one in of(findings(events), "large values")] == [WARNING]
    assert of(findings(events, replica_identity="full"), "large values") == []
