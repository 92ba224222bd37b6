"""Where a change stands in its database's log, for each connector, and the versions made of it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason
from worker.records import Rejection, RowChange
from worker.stages.decode.debezium import decode
from worker.stages.decode.position import POSITION_LIMIT, position_of
from worker.stages.rules import SourceRules

MYSQL: dict[str, Any] = {"connector": "mysql", "file": "mysql-bin.000003", "pos": 154, "row": 0}
SQLSERVER: dict[str, Any] = {
    "connector": "sqlserver",
    "change_lsn": "00000027:00000ac0:0002",
    "commit_lsn": "00000027:00000ac0:0007",
    "event_serial_no": 1,
}
MONGODB: dict[str, Any] = {"connector": "mongodb", "ts_ms": 1795298512000, "ord": 31}


def position(source: dict[str, Any], **changed: object) -> int:
    found = position_of({**source, **changed})
    assert found is not None
    return found


def version(
    source: dict[str, Any], after: dict[str, object] | None = None, given: SourceRules | None = None
) -> int | None:
    outcome = decode(record({"op": "c", "after": after or row(), "source": source}), given or rules())
    assert isinstance(outcome, RowChange), outcome
    return outcome.version


def test_a_binlog_file_counts_more_than_any_place_in_the_file_before() -> None:
    assert position(MYSQL) == 3 << 32 | 154
    assert position(MYSQL, file="mysql-bin.000003", pos=2**32 - 1) < position(MYSQL, file="mysql-bin.000004", pos=4)
    assert position(MYSQL, file="binlog.999999") < position(MYSQL, file="binlog.1000000")


def test_rows_of_one_binlog_event_rise_and_stay_below_the_next_event() -> None:
    """A row takes a byte at least: an event that begins at 154 and has 300 rows ends at 454 or later."""
    rows = [position(MYSQL, row=number) for number in range(300)]
    assert rows == sorted(set(rows))
    assert rows[-1] < position(MYSQL, pos=454)


def test_mariadb_counts_as_mysql_does() -> None:
    assert position({**MYSQL, "connector": "mariadb"}) == position(MYSQL)


@pytest.mark.parametrize(
    ("file", "number"), [("b.3", 3), ("a.b.000003", 3), ("b.0000000003", 3), ("10.0.0.5-bin.000003", 3)]
)
def test_the_number_of_a_binlog_file_has_one_to_ten_digits(file: str, number: int) -> None:
    assert position(MYSQL, file=file) == number << 32 | 154


def test_a_place_in_the_binlog_needs_no_row_number() -> None:
    assert position(MYSQL, row=None) == position(MYSQL, row=0)


@pytest.mark.parametrize(
    "changed",
    [
        {"file": "mysql-bin"},
        {"file": "mysql-bin3"},
        {"file": "mysql-bin.00000000003"},
        {"file": "mysql-bin.000003.gz"},
        {"file": "mysql-bin.0003\n"},
        {"file": ""},
        {"file": None},
        {"file": 3},
        {"file": "mysql-bin.٣"},
        {"file": "mysql-bin.16777216"},
        {"file": "mysql-bin." + "9" * 5000},
        {"pos": None},
        {"pos": 0},
        {"pos": -1},
        {"pos": 2**32},
        {"pos": "154"},
        {"pos": True},
        {"row": -1},
        {"row": "0"},
        {"pos": 2**32 - 1, "row": 1},
    ],
    ids=lambda changed: repr(changed)[:30],
)
def test_what_is_no_place_in_a_binlog_is_refused_by_name(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"source.{next(iter(changed))}"):
        position_of({**MYSQL, **changed})


def test_changes_logged_later_by_sql_server_are_higher() -> None:
    places = [
        "00000027:00000ac0:0002",
        "00000027:00000ac0:03ff",
        "00000027:00000ac1:0000",
        "00000027:003fffff:0000",
        "00000028:00000000:0000",
        "003FFFFF:003FFFFF:03FF",
    ]
    found = [position(SQLSERVER, change_lsn=place) for place in places]
    assert found == sorted(set(found))
    assert found[-1] < POSITION_LIMIT


def test_the_halves_of_one_sql_server_change_are_told_apart() -> None:
    first, second = (position(SQLSERVER, event_serial_no=number) for number in (1, 2))
    assert first < second < position(SQLSERVER, change_lsn="00000027:00000ac0:0003")


def test_changes_of_one_sql_server_transaction_do_not_share_a_position() -> None:
    """`commit_lsn` is the same for all of them."""
    assert position(SQLSERVER) != position(SQLSERVER, change_lsn="00000027:00000ac0:0003")


@pytest.mark.parametrize("lsn", [None, "NULL"])
def test_a_row_of_sql_servers_initial_snapshot_has_no_position(lsn: object) -> None:
    """Its `commit_lsn` may be above a change that was open then and comes later."""
    assert position_of({**SQLSERVER, "change_lsn": lsn, "event_serial_no": None}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"change_lsn": "00400000:00000ac0:0002"},
        {"change_lsn": "00000027:00400000:0002"},
        {"change_lsn": "00000027:00000ac0:0400"},
        {"change_lsn": "00000027:00000ac0"},
        {"change_lsn": "0000027:00000ac0:0002"},
        {"change_lsn": "000000027:00000ac0:0002"},
        {"change_lsn": "00000027:0000ac0:0002"},
        {"change_lsn": "00000027:000000ac0:0002"},
        {"change_lsn": "00000027:00000ac0:002"},
        {"change_lsn": "00000027:00000ac0:00002"},
        {"change_lsn": "0000002g:00000ac0:0002"},
        {"change_lsn": "00000027:00000ac0:000٢"},
        {"change_lsn": ""},
        {"change_lsn": 39},
        {"event_serial_no": 4},
        {"event_serial_no": -1},
        {"event_serial_no": "1"},
    ],
    ids=repr,
)
def test_what_does_not_fit_of_sql_server_is_refused_by_name(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"source.{next(iter(changed))}"):
        position_of({**SQLSERVER, **changed})


def test_mongodbs_cluster_time_is_second_then_ordinal() -> None:
    assert position(MONGODB) == 1795298512 << 24 | 31
    assert position(MONGODB, ord=2**24 - 1) < position(MONGODB, ts_ms=1795298513000, ord=1)
    assert position(MONGODB, ts_ms=(2**32 - 1) * 1000, ord=2**24 - 1) < POSITION_LIMIT


def test_changes_of_a_mongodb_transaction_share_a_time_and_so_have_no_position() -> None:
    assert position_of({**MONGODB, "txnNumber": 1, "lsid": "x"}) is None
    assert position_of({**MONGODB, "txnNumber": None}) is not None


@pytest.mark.parametrize("changed", [{"ord": 2**24}, {"ord": "31"}, {"ts_ms": 0}, {"ts_ms": None}, {"ts_ms": 2**62}])
def test_what_is_no_cluster_time_is_refused_by_name(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"source.{next(iter(changed))}"):
        position_of({**MONGODB, **changed})


@pytest.mark.parametrize("source", [{"connector": "postgresql", "lsn": 7}, MYSQL, SQLSERVER, MONGODB])
def test_no_connectors_incremental_snapshot_has_a_position(source: dict[str, Any]) -> None:
    """Its rows are read at some time, but carry the position of whatever the connector was streaming meanwhile."""
    assert position_of({**source, "snapshot": "incremental"}) is None
    assert position_of({**source, "snapshot": "true"}) is not None


@pytest.mark.parametrize("source", [{"connector": "postgresql"}, {"connector": "mysql"}, {"connector": "mongodb"}])
def test_a_source_without_any_position_has_none(source: dict[str, Any]) -> None:
    assert position_of(source) is None


@pytest.mark.parametrize("connector", ["oracle", "", None, 5, ["mysql"], {"mysql": 1}])
def test_other_connectors_are_refused_with_the_remedy(connector: object) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(connector))) as caught:
        position_of({"connector": connector, "scn": "1"})
    assert "declare a column that orders changes as 'version'" in str(caught.value)


@pytest.mark.parametrize("source", [MYSQL, SQLSERVER, MONGODB])
def test_the_epoch_stands_above_every_connectors_position(source: dict[str, Any]) -> None:
    assert version(source, given=rules(version_epoch=3)) == 3 << 56 | position(source)


VERSIONED = replace(rules(version_epoch=1), version_column="rev")
EPOCH_1 = 1 << 56


@pytest.mark.parametrize(
    ("rev", "expected"),
    [
        (0, 0),
        (7, 7),
        (2**56 - 1, 2**56 - 1),
        ("72057594037927935", 2**56 - 1),
        ("007", 7),
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T01:00:00.000005+01:00", 5),
        ("2026-01-02T01:04:05.678901Z", 1767315845678901),
    ],
)
def test_a_declared_column_takes_the_place_of_the_position(rev: object, expected: int) -> None:
    for source in ({"connector": "postgresql", "lsn": 99}, {"connector": "oracle"}, {"snapshot": "incremental"}):
        assert version(source, row(rev=rev), VERSIONED) == EPOCH_1 + expected


@pytest.mark.parametrize(
    "rev",
    [None, -1, 2**56, "72057594037927936", "9" * 40, 1.0, True, "", "x", "2026-01-02", "2026-01-02T01:04:05", [], {}],
)
def test_a_declared_column_that_orders_nothing_is_rejected_by_name(rev: object) -> None:
    outcome = decode(record(event(after=row(rev=rev))), VERSIONED)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.POSITION_INVALID
    assert "'rev'" in outcome.message
    assert len(outcome.message) < 250


@pytest.mark.parametrize("rev", ["x", "\u0663", "\u00b2", "1" * 18, f"{7:018}", "9" * 5000, "-1", "+1", " 1", "1_000"])
def test_a_text_in_the_declared_column_that_is_no_number_is_shown(rev: str) -> None:
    """Digits of other scripts, and what Python's `int` takes beyond plain digits, order nothing in a database."""
    outcome = decode(record(event(after=row(rev=rev))), VERSIONED)
    shown = repr(rev) if len(rev) <= 100 else f"'{rev[:100]}...'"
    assert outcome == Rejection(
        RejectReason.POSITION_INVALID,
        f"version column 'rev' is {shown}, not an integer from 0 to below 2^56 or a time with its zone",
    )


def test_a_row_without_the_declared_column_is_rejected_with_the_columns_that_it_has() -> None:
    outcome = decode(record(event(after=row())), VERSIONED)
    assert isinstance(outcome, Rejection)
    assert "no version column 'rev'; it has: content, id, tenant, title" in outcome.message


def test_a_delete_never_takes_the_columns_last_value() -> None:
    """The stored document has that version already: the delete would be older than what it deletes."""
    given = replace(VERSIONED, trusts_before=True)
    outcome = decode(record(event("d", before=row(rev=7))), given)
    assert isinstance(outcome, RowChange)
    assert outcome.version is None
