"""What a check says of feeds that a real Debezium wrote, in each of its shapes: level by level, table by table."""

from typing import Any, Final

import pytest

from tests.golden import types_files, types_scenario
from tests.unit.sampled import captured, findings, of, only
from tests.unit.test_golden_changes import EXPECTED, FIELDS, NAMES
from tests.unit.test_golden_mysql import COLUMNS, FILE
from tests.unit.test_golden_types import record_of
from worker.stages.findings import Finding, Level

OK, NOTE, WARNING, FAILURE = Level.OK, Level.NOTE, Level.WARNING, Level.FAILURE
ENVELOPES: Final = ("envelope", "envelope-schema")
FLAT: Final = tuple(name for name in NAMES if name.startswith("flat"))
LARGE: Final = {"title": "title"} | {column: column for column in types_scenario.LARGE}
UNTYPED: Final = ("vb",)
ALL_DELETES: Final = {"flat-tombstone", "flat-delete-to-tombstone"}


def found(name: str, table: str, **settings: Any) -> list[Finding]:  # noqa: ANN401 - settings of every kind
    fields: Any = FIELDS if table in {"with_key", "full_row"} else {"title": "title"}
    meaning = "delete" if name in ALL_DELETES else "follows_delete"
    return findings(captured(name, table), **{"fields": fields, "tombstone": meaning, **settings})


def levels(name: str, table: str, **settings: Any) -> dict[str, list[Level]]:  # noqa: ANN401
    told: dict[str, list[Level]] = {}
    for finding in found(name, table, **settings):
        told.setdefault(finding.subject, []).append(finding.level)
    return told


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_keyed_table_is_all_in_order_but_for_its_truncate(name: str) -> None:
    told = levels(name, "with_key")
    assert told.pop("rejected") == [WARNING]
    assert told == {
        "records": [OK],
        "format": [OK],
        "record keys": [OK],
        "tenant": [OK],
        "replica identity": [OK],
        "positions": [OK, NOTE],
        "tombstones": [OK],
        "columns": [OK],
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_tenant_in_the_primary_key_is_known_in_every_shape(name: str) -> None:
    finding = only(found(name, "with_key"), "tenant")
    assert finding.level is OK
    assert "in the key of every record" in finding.sentence


@pytest.mark.parametrize("name", ENVELOPES)
def test_replica_identity_full_is_borne_out_and_tells_the_tenant(name: str) -> None:
    told = found(name, "full_row", replica_identity="full")
    assert only(told, "replica identity").sentence.startswith("full, as declared")
    assert "in its old row" in only(told, "tenant").sentence


@pytest.mark.parametrize("name", ENVELOPES)
def test_full_that_is_not_declared_is_a_hint_with_the_setting(name: str) -> None:
    told = found(name, "full_row")
    identity = only(told, "replica identity")
    assert (identity.level, identity.fix[:27]) == (WARNING, "set replica_identity: full,")
    assert only(told, "tenant").level is WARNING


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("table", ["with_key", "large"])
def test_full_that_is_declared_and_not_there_fails(name: str, table: str) -> None:
    identity = only(found(name, table, replica_identity="full"), "replica identity")
    assert identity.level is FAILURE
    assert "come without the old row" in identity.sentence


@pytest.mark.parametrize("name", [*ENVELOPES, *ALL_DELETES])
def test_a_tenant_in_neither_is_a_search_with_its_price_and_the_remedy(name: str) -> None:
    finding = only(found(name, "full_row"), "tenant")
    assert finding.level is WARNING
    assert "2 of 2 deletes do not tell the tenant 'tenant'" in finding.sentence
    assert "a search on all shards and the index a refresh a second" in finding.sentence
    assert "REPLICA IDENTITY FULL" in finding.fix


@pytest.mark.parametrize("name", ["flat-rewrite", "flat-rewrite-with-tombstone", "flat-rewrite-schema"])
def test_a_flattened_row_has_no_old_tenant_even_with_full(name: str) -> None:
    finding = only(found(name, "full_row", replica_identity="full"), "tenant")
    assert finding.level is WARNING
    assert "a flattened row has no old row" in finding.sentence


@pytest.mark.parametrize("name", FLAT)
def test_rows_of_an_incremental_snapshot_are_told_from_rows_that_lost_their_position(name: str) -> None:
    positions = of(found(name, "with_key"), "positions")
    assert [(one.level, "incremental snapshot" in one.sentence) for one in positions] == [(OK, False), (NOTE, True)]


@pytest.mark.parametrize("name", sorted(ALL_DELETES))
def test_tombstones_that_are_the_only_deletes_must_not_be_skipped(name: str) -> None:
    finding = only(found(name, "with_key", tombstone="follows_delete"), "tombstones")
    assert (finding.level, finding.fix[:21]) == (FAILURE, "set tombstone: delete")
    assert only(found(name, "with_key"), "tombstones").level is OK


def test_deletes_that_are_told_twice_are_only_noted() -> None:
    assert only(found("flat-rewrite-with-tombstone", "with_key", tombstone="delete"), "tombstones").level is NOTE


def test_a_flattened_feed_without_any_delete_is_noted() -> None:
    assert "mode 'drop'" in only(found("flat-drop", "with_key"), "deletes").sentence


@pytest.mark.parametrize("name", ["envelope", "flat-rewrite"])
def test_a_table_without_a_key_has_null_keys(name: str) -> None:
    finding = only(found(name, "without_key", replica_identity="full"), "record keys")
    assert finding.level is WARNING
    assert "4 of 4 rows without a key" in finding.sentence


@pytest.mark.parametrize("name", ENVELOPES)
def test_what_debezium_loses_of_large_values_is_suspected_and_placeholders_are_noted(name: str) -> None:
    placeholder, lost = of(found(name, "large", fields=LARGE), "large values")
    assert (placeholder.level, lost.level) == (NOTE, WARNING)
    assert "1 update left out" in placeholder.sentence
    (line,) = [line for line in EXPECTED if line.startswith(f"{name} large 1: ")]
    null = line.partition(", null ")[2].split()
    # A bit string without its schema is a text like any other.
    known = [column for column in null if name == "envelope-schema" or column not in UNTYPED]
    assert f": {', '.join(known)}. Debezium" in lost.sentence
    assert "REPLICA IDENTITY FULL" in lost.fix


def test_with_the_whole_old_row_nothing_is_lost() -> None:
    told = found("envelope", "large_full", fields=LARGE, replica_identity="full")
    assert of(told, "large values") == []


@pytest.mark.parametrize("name", NAMES)
def test_topics_that_are_no_rows(name: str) -> None:
    assert only(found(name, "message"), "rows").level is WARNING


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", ["with_key", "full_row", "without_key"])
def test_every_line_that_is_not_as_it_should_be_has_a_fix(name: str, table: str) -> None:
    for finding in found(name, table):
        assert finding.fix or finding.level in (OK, NOTE), finding
        assert finding.sentence[-1] != "."


def mysql(table: str, **settings: Any) -> list[Finding]:  # noqa: ANN401
    records = [record_of(said) for said in types_files.read(FILE) if said["topic"].rpartition(".")[2] == table]
    return findings(records, **{"fields": {column: column for column in COLUMNS}, **settings})


def test_the_order_of_a_binlog_is_that_of_one_server() -> None:
    told = mysql("products", replica_identity="full")
    positions = of(told, "positions")
    assert [one.level for one in positions] == [OK, NOTE]
    assert "binlog files" in positions[1].sentence
    assert "version_epoch" in positions[1].fix
    assert only(told, "replica identity").level is OK


def test_mysql_logs_whole_rows_so_full_may_be_declared() -> None:
    assert "binlog_row_image" in only(mysql("products"), "replica identity").fix
