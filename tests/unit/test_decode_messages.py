"""The sentence of every rejection, word for word: a person acts on it, so a change of it should be meant."""

import re
from dataclasses import replace
from typing import Final

import orjson
import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason
from worker.records import Record, Rejection
from worker.runtime.sources import DECODERS
from worker.stages.decode.json_values import loads, parse, shown
from worker.stages.rules import SourceRules, TombstoneMeaning

RULES: Final = rules()
TABLE: Final = replace(RULES, table="public.articles")
DELETING: Final = replace(RULES, tombstone=TombstoneMeaning.DELETE)
VERSIONED: Final = replace(RULES, version_column="rev")

Case = tuple[RejectReason, Record, SourceRules, str]


def source(**said: object) -> Record:
    """An envelope with this `source` and nothing else in it."""
    return record(event() | {"source": said})


def mysql(**said: object) -> Record:
    return source(**{"connector": "mysql", "file": "bin.000003", "pos": 154, **said})


def sqlserver(**said: object) -> Record:
    return source(**{"connector": "sqlserver", "change_lsn": "00000001:00000001:0001", **said})


def mongodb(**said: object) -> Record:
    return source(**{"connector": "mongodb", "ts_ms": 1000, "ord": 1, **said})


def upsert(**said: object) -> Record:
    """A plain change event."""
    return record({"op": "upsert", "key": {"id": 1}, "row": {}, **said})


def refused(data: bytes) -> str:
    """What the parser says of it."""
    try:
        orjson.loads(data)
    except ValueError as error:
        return str(error)
    return pytest.fail("it is JSON")


NOT_AN_EVENT, KEY_MISSING = RejectReason.NOT_AN_EVENT, RejectReason.KEY_MISSING
POSITION, UNKNOWN = RejectReason.POSITION_INVALID, RejectReason.UNKNOWN_OPERATION
INVALID: Final = RejectReason.INVALID_JSON
DEBEZIUM: list[Case] = [
    (INVALID, record(b"{"), RULES, f"the record's value is not JSON: {refused(b'{')}"),
    (INVALID, record(event(), b"{"), RULES, f"the record's key is not JSON: {refused(b'{')}"),
    (NOT_AN_EVENT, record([]), RULES, "the value is a JSON list, not an object"),
    (
        NOT_AN_EVENT,
        record({"b": 1, "a": 2, "c" * 200: 3}),
        RULES,
        (
            "the value is neither a Debezium change event (it has no 'op' and 'source') nor a flattened row (it has no "
            f"column of source 'articles'); its keys: a, b, {'c' * 114}..."
        ),
    ),
    (
        RejectReason.UNSUPPORTED_OPERATION,
        record(event("t")),
        RULES,
        (
            "the table was truncated (op 't'), and its documents are still there: set truncate: delete_all for this "
            "source, and replay this record, or rebuild the index"
        ),
    ),
    (UNKNOWN, record(event("x")), RULES, "op 'x' is not one of c, u, r, d, t, m"),
    (UNKNOWN, record(event("x" * 200)), RULES, f"op '{'x' * 100}...' is not one of c, u, r, d, t, m"),
    (RejectReason.ROW_MISSING, record(event("u") | {"after": 5}), RULES, "op 'u' needs the row in 'after'"),
    (
        RejectReason.ROW_MISSING,
        record({"op": "u", "source": {"connector": "mongodb"}}),
        RULES,
        "op 'u' needs the row in 'after': set capture.mode to change_streams_update_full",
    ),
    (
        RejectReason.WRONG_TABLE,
        record(event(db="app", schema="private", table="t" * 200)),
        TABLE,
        (
            f"the event comes from table 'app.private.{'t' * 108}...', but source 'articles' declares table "
            "'public.articles': correct its topics, or its table"
        ),
    ),
    (
        KEY_MISSING,
        record(event(), b"5"),
        RULES,
        "the record's key is not an object of key columns: write it with JsonConverter, without ExtractField",
    ),
    (
        KEY_MISSING,
        record(None, None),
        DELETING,
        (
            "the record has neither a value nor a key, so nothing says which row is deleted: "
            "give the table a primary key, or set message.key.columns"
        ),
    ),
    (POSITION, record({"op": "c", "after": {}}), RULES, "the event has no 'source' block, so no position"),
    (
        POSITION,
        source(connector="oracle"),
        RULES,
        (
            "the event comes from connector 'oracle'; positions are known for postgresql, mysql, mariadb, sqlserver, "
            "mongodb: declare a column that orders changes as 'version'"
        ),
    ),
    (POSITION, record(event(lsn="1")), RULES, "source.lsn '1' is not an integer from 1 to below 2^56"),
    (POSITION, mysql(file="bin"), RULES, "source.file 'bin' does not end in the number of a binlog file"),
    (POSITION, mysql(file="b.16777216"), RULES, "source.file 16777216 is not an integer from 0 to below 2^24"),
    (POSITION, mysql(pos=0), RULES, "source.pos 0 is not an integer from 1 to below 2^32"),
    (POSITION, mysql(row=-1), RULES, "source.row -1 is not an integer from 0 to below 2^32"),
    (
        POSITION,
        mysql(pos=2**32 - 1, row=1),
        RULES,
        "source.pos with row 4294967296 is not an integer from 0 to below 2^32",
    ),
    (
        POSITION,
        sqlserver(change_lsn="1"),
        RULES,
        "source.change_lsn '1' is not a log sequence number such as 00000027:00000ac0:0002",
    ),
    (
        POSITION,
        sqlserver(change_lsn="00400000:00000001:0001"),
        RULES,
        "source.change_lsn (virtual log file) 4194304 is not an integer from 0 to below 2^22",
    ),
    (
        POSITION,
        sqlserver(change_lsn="00000001:00400000:0001"),
        RULES,
        "source.change_lsn (block) 4194304 is not an integer from 0 to below 2^22",
    ),
    (
        POSITION,
        sqlserver(change_lsn="00000001:00000001:0400"),
        RULES,
        "source.change_lsn (slot) 1024 is not an integer from 0 to below 2^10",
    ),
    (
        POSITION,
        sqlserver(event_serial_no=4),
        RULES,
        "source.event_serial_no 4 is not an integer from 0 to below 2^2",
    ),
    (POSITION, mongodb(ts_ms=0), RULES, "source.ts_ms 0 is not an integer from 1 to below 4294967296000"),
    (POSITION, mongodb(ord=2**24), RULES, "source.ord 16777216 is not an integer from 0 to below 2^24"),
    (
        POSITION,
        record(event(after=row(rev=1.5))),
        VERSIONED,
        "version column 'rev' is 1.5, not an integer from 0 to below 2^56 or a time with its zone",
    ),
    (
        POSITION,
        record(event(after={"b": 1, "a": 2, "c" * 200: 3})),
        VERSIONED,
        f"the row has no version column 'rev'; it has: a, b, {'c' * 114}...",
    ),
]
CHANGE_EVENT: list[Case] = [
    (INVALID, record(b"{"), RULES, f"the record's value is not JSON: {refused(b'{')}"),
    (NOT_AN_EVENT, record([]), RULES, "the value is a JSON list, not an object"),
    (
        NOT_AN_EVENT,
        upsert(z=1, y=2),
        RULES,
        "a change event has only key, op, row, source, tenant, ts, version, but this one has 'y', 'z'",
    ),
    (
        NOT_AN_EVENT,
        upsert(**{"z" * 200: 1}),
        RULES,
        f"a change event has only key, op, row, source, tenant, ts, version, but this one has '{'z' * 119}...",
    ),
    (
        NOT_AN_EVENT,
        record({"op": "c", "after": {}}),
        RULES,
        (
            "a change event has only key, op, row, source, tenant, ts, version, but this one has 'after' "
            "(this is a Debezium event: set the source's format to debezium)"
        ),
    ),
    (NOT_AN_EVENT, upsert(source=5), RULES, "source 5 is not the name of a table"),
    (
        NOT_AN_EVENT,
        upsert(op="delete"),
        RULES,
        "a delete has no 'row': leave it out, or write op 'upsert'",
    ),
    (
        NOT_AN_EVENT,
        upsert(key={"k" * 70: 1}, row={"k" * 70: 2}),
        RULES,
        f"column '{'k' * 60}...' is 2 in 'row' but 1 in 'key' or 'tenant'",
    ),
    (
        NOT_AN_EVENT,
        upsert(ts=-1),
        RULES,
        "ts -1 is neither milliseconds since 1970 nor a time such as 2026-01-31T12:00:00Z",
    ),
    (UNKNOWN, upsert(op="c"), RULES, "op 'c' is neither 'upsert' nor 'delete'"),
    (KEY_MISSING, upsert(key=5), RULES, "key 5 is not an object of the primary key's columns"),
    (KEY_MISSING, upsert(key={"k" * 70: [1]}), RULES, f"key column '{'k' * 60}...' is [1], not a text or number"),
    (RejectReason.TENANT_MISSING, upsert(tenant=True), RULES, "tenant True is not a text or an integer"),
    (RejectReason.ROW_MISSING, upsert(row=5), RULES, "row 5 is not an object of columns, which upsert needs"),
    (POSITION, upsert(version="1"), RULES, "version '1' is not an integer from 0 to below 2^56"),
    (
        RejectReason.WRONG_TABLE,
        upsert(source="users"),
        TABLE,
        (
            "the event comes from table 'users', but source 'articles' declares table 'public.articles': "
            "correct its topics, or its table"
        ),
    ),
]


@pytest.mark.parametrize(
    ("source_format", "case"),
    [
        pytest.param(source_format, case, id=f"{source_format}: {case[-1][:40]}")
        for source_format, cases in (("debezium", DEBEZIUM), ("change-event", CHANGE_EVENT))
        for case in cases
    ],
)
def test_a_rejection_says_what_is_wrong_and_where_it_can_what_to_do(source_format: str, case: Case) -> None:
    reason, given, given_rules, message = case
    assert DECODERS[source_format](given, given_rules) == Rejection(reason, message)


COMPRESSED: Final = "let the Kafka producer compress, that is undone by itself"
REGISTRY: Final = "it begins with a zero byte: a schema registry's Avro, JSON Schema or Protobuf form"


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"{", ""),
        (b"", " (it is empty, which is not the same as a tombstone's null)"),
        (b"\x00\x01\x02\x03", f" ({REGISTRY}?)"),
        (b"\x00\x01\x02\x03\x04", f" ({REGISTRY} with schema 16909060; set the converter to JSON?)"),
        (b"\x00\x01\x02\x03\x04\x05", f" ({REGISTRY} with schema 16909060; set the converter to JSON?)"),
        (b"\xef\xbb\xbf{}", " (it begins with a byte order mark: write it without)"),
        (b"\xff\xfe{\x00", " (it begins as UTF-16: write UTF-8)"),
        (b"\xfe\xff\x00{", " (it begins as UTF-16: write UTF-8)"),
        (b"\x1f\x8b\x08", f" (it is compressed with gzip: {COMPRESSED})"),
        (b"\x28\xb5\x2f\xfd", f" (it is compressed with zstd: {COMPRESSED})"),
        (b"\x04\x22\x4d\x18", f" (it is compressed with lz4: {COMPRESSED})"),
    ],
)
@pytest.mark.parametrize("what", ["key", "value"])
def test_of_what_is_no_json_the_parsers_words_are_told_and_what_it_may_be(what: str, data: bytes, hint: str) -> None:
    message = f"the record's {what} is not JSON: {refused(data)}{hint}"
    assert parse(data, what) == Rejection(RejectReason.INVALID_JSON, message)


def test_a_value_comes_with_its_schema_or_with_none() -> None:
    assert parse(b"[1]", "value") == ([1], None)
    assert parse(b'{"schema":5,"payload":[1]}', "value") == ([1], 5)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x" * 10, "'xxxxxxxxxx'"),
        ("x" * 11, "'xxxxxxxxxx...'"),
        ("x" * 10**6, "'xxxxxxxxxx...'"),
        ("it's what it is", '"it\'s what ..."'),
        ("\n" * 5, "'\\n\\n\\n\\n\\n'"),
        ("\n" * 6, "'\\n\\n\\n\\n\\n...'"),
        (1234567890, "1234567890"),
        ([1, 2, 3], "[1, 2, 3]"),
        ([1, 2, 34], "[1, 2, 34]"),
        ([1, 2, 345], "[1, 2, 345..."),
        ([[[[[[]]]]]], "[[[[[...]]..."),
    ],
    ids=["fits", "one more", "many more", "apostrophe", "escapes", "more escapes", "int", "list", "10", "11", "deep"],
)
def test_of_a_long_value_a_message_shows_the_beginning(value: object, told: str) -> None:
    assert shown(value, 10) == told


def test_a_depth_is_told_with_its_limit() -> None:
    deep = b"[" * 201 + b"]" * 201
    with pytest.raises(ValueError, match=re.escape("[[[[[...]]]]] is nested deeper than 200 levels")):
        loads(deep)
    assert loads(deep[1:-1]) == orjson.loads(deep[1:-1])
    with pytest.raises(ValueError, match=re.escape(f"['{'x' * 18}... is nested")):
        loads(b'["%b",%b]' % (b"x" * 30, deep))
