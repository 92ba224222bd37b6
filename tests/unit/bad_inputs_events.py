"""Bad inputs of the record as a whole: bytes, JSON, operations, positions, forms, headers, tables."""

from dataclasses import replace

import orjson

from tests.builders import event, record, row, rules
from tests.unit.bad_inputs_parts import (
    RULES,
    TRUSTING,
    BadInput,
    at,
    deleted,
    history,
    rejected,
    skipped,
    upsert,
    written,
)
from worker.errors import RejectReason, SkipReason
from worker.stages.rules import KeyMissing, Locate, TombstoneMeaning

TOMBSTONES_DELETE = replace(RULES, tombstone=TombstoneMeaning.DELETE)
WITH_TENANT = {"id": 1, "tenant": "acme"}
HEARTBEAT = {"ts_ms": 1_795_298_575_833}
TRANSACTION = {"status": "BEGIN", "id": "779", "event_count": None, "data_collections": None, "ts_ms": 1}
SCHEMA_CHANGE = {"source": {}, "ts_ms": 1, "databaseName": "app", "schemaName": "", "ddl": "ALTER", "tableChanges": []}
TEN_MEGABYTES = 10 * 2**20
DEEP = b"[" * 201 + b"]" * 201


def change_event(**changed: object) -> dict[str, object]:
    return {"op": "upsert", "key": {"id": 1}, "version": 5, "row": row(), **changed}


EVENTS = (
    BadInput(
        1,
        "null value (tombstone)",
        "Skipped: a delete came before it; with `tombstone: delete` it deletes the row of its key",
        (
            skipped(record(None), SkipReason.TOMBSTONE),
            skipped(record(b"null"), SkipReason.TOMBSTONE),
            skipped(record(None), SkipReason.TOMBSTONE, format="change-event"),
            deleted(record(None, WITH_TENANT), rules=TOMBSTONES_DELETE, positioned=False),
        ),
    ),
    BadInput(
        2,
        "null key",
        "The key is taken from the row; rejected with `key_missing: reject`, and where no row has it",
        (
            written(record(event(), None), document_id="acme/articles/1"),
            rejected(
                record(event(), None),
                RejectReason.KEY_MISSING,
                "'id'",
                "key_missing: row",
                rules=replace(RULES, key_missing=KeyMissing.REJECT),
            ),
            rejected(record(event("d"), None), RejectReason.KEY_MISSING, "'id'", "primary key"),
            rejected(
                record(None, None), RejectReason.KEY_MISSING, "neither a value nor a key", rules=TOMBSTONES_DELETE
            ),
        ),
    ),
    BadInput(
        3,
        "empty bytes as value or key",
        "Rejected; empty is not null",
        (
            rejected(record(b""), RejectReason.INVALID_JSON, "value", "it is empty"),
            rejected(record(event(), b""), RejectReason.INVALID_JSON, "key", "it is empty"),
            rejected(record(b""), RejectReason.INVALID_JSON, "it is empty", format="change-event"),
        ),
    ),
    BadInput(
        4,
        "invalid UTF-8",
        "Rejected",
        (
            rejected(record(b'{"op":"c\xff"}'), RejectReason.INVALID_JSON, "value", "UTF-8"),
            rejected(record(event(), b'{"id":"\xff"}'), RejectReason.INVALID_JSON, "key", "UTF-8"),
            rejected(record(b"\xff\xfe{\x00}\x00"), RejectReason.INVALID_JSON, "UTF-16"),
        ),
    ),
    BadInput(
        5,
        "byte order mark",
        "Rejected: write it without",
        (rejected(record(b"\xef\xbb\xbf{}"), RejectReason.INVALID_JSON, "byte order mark"),),
    ),
    BadInput(
        6,
        "truncated JSON",
        "Rejected with the place where it ends",
        (rejected(record(orjson.dumps(event())[:-9]), RejectReason.INVALID_JSON, "line 1 column"),),
    ),
    BadInput(
        7,
        "JSON array or scalar instead of an object",
        "Rejected; as a key, too",
        (
            *(rejected(record(value), RejectReason.NOT_AN_EVENT, "not an object") for value in ([1], 1, "a", True)),
            rejected(record([1]), RejectReason.NOT_AN_EVENT, "not an object", format="change-event"),
            rejected(record(event(), 1), RejectReason.KEY_MISSING, "not an object of key columns", "ExtractField"),
        ),
    ),
    BadInput(
        8,
        "duplicate JSON keys",
        "The last one counts, as for JSON libraries",
        (
            written(
                record(b'{"id":1,"tenant":"acme","title":"a","title":"b","content":"c"}'),
                fields={"title": "b", "content": "c"},
            ),
        ),
    ),
    BadInput(
        9,
        "depth over 20, recursion bomb",
        "Up to 200 levels a value like any other, which Elasticsearch may refuse. Beyond, rejected in mapped columns "
        "and keys, ignored elsewhere; what has more than 1024 levels cannot be read",
        (
            written(record(b'{"id":1,"tenant":"acme","title":%b,"content":""}' % (b"[" * 150 + b"]" * 150))),
            written(record(b'{"id":1,"tenant":"acme","title":"","content":"","x":%b}' % DEEP)),
            rejected(
                record(b'{"id":1,"tenant":"acme","title":%b,"content":""}' % DEEP),
                RejectReason.FIELD_INVALID,
                "'title'",
                "200 levels",
            ),
            rejected(upsert(key=b'{"id":%b}' % DEEP), RejectReason.KEY_MISSING, "'id'", "200 levels"),
            rejected(record(DEEP), RejectReason.NOT_AN_EVENT),
            rejected(record(b"[" * 100_000), RejectReason.INVALID_JSON, "not JSON"),
            rejected(record(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), RejectReason.INVALID_JSON, "not JSON"),
        ),
        later=(RejectReason.DOCUMENT_REFUSED,),
    ),
    BadInput(
        10,
        "text of 10 MB and more",
        "Indexed whole; a dead letter if Elasticsearch refuses its size",
        (written(upsert(row(content="x" * TEN_MEGABYTES)), fields={"content": "x" * TEN_MEGABYTES}),),
        later=(RejectReason.DOCUMENT_TOO_LARGE,),
    ),
    BadInput(
        11,
        "unknown operation code",
        "Rejected",
        (
            *(
                rejected(record(event(op, row())), RejectReason.UNKNOWN_OPERATION, "c, u, r, d, t, m")
                for op in ("x", "C", "", 1, None, ["c"])
            ),
            rejected(
                record(change_event(op="c")), RejectReason.UNKNOWN_OPERATION, "'c'", "'upsert'", format="change-event"
            ),
        ),
    ),
    BadInput(
        12,
        "snapshot row (`op: r`)",
        "Written; one of an incremental snapshot takes its order from its place in the partition",
        (
            written(record(event("r")), positioned=True),
            written(record(event("r", lsn=None, snapshot="incremental")), positioned=False),
        ),
    ),
    BadInput(
        13,
        "truncate (`op: t`)",
        "Rejected; with `truncate: delete_all` every older document becomes a tombstone",
        (rejected(record(event("t")), RejectReason.UNSUPPORTED_OPERATION, "truncated", "truncate: delete_all"),),
    ),
    BadInput(
        14,
        "logical message (`op: m`)",
        "Skipped",
        (skipped(record({"op": "m", "source": {}, "message": {"prefix": "a"}}), SkipReason.NOT_A_ROW),),
    ),
    BadInput(
        15,
        "heartbeat, schema change or transaction metadata on the topic",
        "Skipped; recognised by exact names",
        (
            *(skipped(record(value), SkipReason.NOT_A_ROW) for value in (HEARTBEAT, TRANSACTION, SCHEMA_CHANGE)),
            rejected(record({**HEARTBEAT, "x": 1}), RejectReason.NOT_AN_EVENT, "its keys: ts_ms, x"),
        ),
    ),
    BadInput(
        16,
        "`before` and `after` both null",
        "Rejected; a delete needs neither if the key tells the tenant",
        (
            rejected(record({**event("u"), "after": None}), RejectReason.ROW_MISSING, "'u'", "'after'"),
            deleted(record(event("d"), WITH_TENANT)),
        ),
    ),
    BadInput(
        17,
        "delete with only the key columns",
        "Deleted; where neither the key nor, with `replica_identity: full`, the old row tells the tenant, the index is "
        "searched for the row, or with `locate: never` the record is rejected",
        (
            deleted(record(event("d", before={"id": 1, "tenant": ""}), WITH_TENANT), document_id="acme/articles/1"),
            deleted(record(event("d", before=row())), document_id="acme/articles/1", rules=TRUSTING),
            rejected(
                record(event("d", before={"id": 1, "tenant": "", "title": ""})),
                RejectReason.TENANT_UNKNOWN,
                "'tenant'",
                "REPLICA IDENTITY FULL",
                "locate: auto",
                rules=replace(RULES, locate=Locate.NEVER),
            ),
            deleted(record(event("d", before={"id": 1, "tenant": ""})), document_id="/articles/1"),
            history(
                at(upsert(), 0),
                at(record(event("d", before={"id": 1, "tenant": ""}, lsn=101)), 1),
                live={},
            ),
            history(
                at(record(event("d", before={"id": 1, "tenant": ""}, lsn=101)), 0),
                at(upsert(row(title="overtaken")), 1),
                live={},
            ),
        ),
    ),
    BadInput(
        18,
        "missing `source` block",
        "Rejected: without it there is no position",
        (
            rejected(record({"op": "c", "after": row()}), RejectReason.POSITION_INVALID, "'source'"),
            rejected(record({**event(), "source": "cms"}), RejectReason.POSITION_INVALID, "'source'"),
        ),
    ),
    BadInput(
        19,
        "version missing, negative, zero",
        "Missing: ordered by the place in the partition. Negative or zero: rejected "
        "(a change event's own version may be zero)",
        (
            written(upsert(lsn=None), positioned=False),
            *(rejected(upsert(lsn=lsn), RejectReason.POSITION_INVALID, "lsn", str(lsn)) for lsn in (0, -1)),
            written(record(change_event(version=0)), positioned=True, format="change-event"),
            written(record(change_event(version=None)), positioned=False, format="change-event"),
            rejected(record(change_event(version=-1)), RejectReason.POSITION_INVALID, "-1", format="change-event"),
        ),
    ),
    BadInput(
        20,
        "version as text, as a float, over 2^63 - 1",
        "Rejected; a declared `version` column may hold digits as text",
        (
            *(
                rejected(upsert(lsn=lsn), RejectReason.POSITION_INVALID, "lsn", "2^56")
                for lsn in ("5", 5.0, True, 2**56, 2**63, 1e30)
            ),
            *(
                rejected(
                    record(change_event(version=version)), RejectReason.POSITION_INVALID, "2^56", format="change-event"
                )
                for version in ("5", 5.0, 2**63)
            ),
            written(upsert(row(rev="5"), lsn="x"), positioned=True, rules=replace(RULES, version_column="rev")),
        ),
    ),
    BadInput(
        21,
        "equal versions of two different events",
        "The first one counts, the second is superseded. The delete half of a changed key is skipped if its row stays",
        (
            history(
                at(upsert(row(title="first")), 0),
                at(upsert(row(title="second")), 1),
                live={"acme/articles/1": "first"},
            ),
            history(at(upsert(), 0), at(upsert(), 1), live={"acme/articles/1": "Title"}),
            skipped(
                record(event("d"), {"id": 1, "part": "a"}, headers=[("__debezium.newkey", b'{"id":1,"part":"b"}')]),
                SkipReason.KEY_CHANGE,
            ),
        ),
    ),
    BadInput(
        44,
        "envelope with schema, without, and flattened rows (`__deleted`)",
        "All are read; each record tells which it is",
        (
            written(record({"schema": {}, "payload": event()}), document_id="acme/articles/1", positioned=True),
            written(record(event()), document_id="acme/articles/1", positioned=True),
            written(record(row()), document_id="acme/articles/1", positioned=False),
            written(record(row(__lsn=5, __deleted="false")), document_id="acme/articles/1", positioned=True),
            deleted(
                record(row(__lsn=5, __deleted="true")), document_id="acme/articles/1", rules=TRUSTING, positioned=True
            ),
        ),
    ),
    BadInput(
        45,
        "Avro's magic byte with an unknown schema id",
        "Rejected with the schema's number: set the converter to JSON",
        (rejected(record(b"\x00\x00\x00\x00\x2a\x02x"), RejectReason.INVALID_JSON, "schema 42", "converter to JSON"),),
    ),
    BadInput(
        46,
        "compressed value",
        "Rejected with the kind of compression: let the producer compress",
        tuple(
            rejected(record(value + b"rest"), RejectReason.INVALID_JSON, kind, "producer")
            for value, kind in ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4"))
        ),
    ),
    BadInput(
        47,
        "headers missing, duplicate, not UTF-8",
        "Missing: the row has no position. Of duplicates the last counts. Not UTF-8: as if missing",
        (
            written(record(row()), positioned=False),
            written(record(row(), headers=[("__lsn", b"x"), ("__lsn", b"7")]), positioned=True),
            written(record(row(), headers=[("__lsn", b"\xff"), ("__op", b"\xff")]), positioned=False),
            written(record(event(), headers=[("__debezium.oldkey", b"\xff")]), positioned=True),
        ),
    ),
    BadInput(
        48,
        "event of another table on the topic",
        "Rejected if the source declares its `table`",
        (
            rejected(
                record(event(schema="public", table="notes")),
                RejectReason.WRONG_TABLE,
                "'public.notes'",
                "'public.articles'",
                rules=replace(rules(), table="public.articles"),
            ),
            rejected(
                record(change_event(source="notes")),
                RejectReason.WRONG_TABLE,
                "'notes'",
                rules=replace(rules(), table="articles"),
                format="change-event",
            ),
        ),
    ),
    BadInput(
        49,
        "event timestamp in the future, in the far past, zero",
        "Written: the order is the version's; a time that is none is not measured",
        (
            *(written(upsert(ts_ms=ts_ms), positioned=True, timed=True) for ts_ms in (1, 4_102_444_800_000)),
            *(written(upsert(ts_ms=ts_ms), positioned=True, timed=False) for ts_ms in (0, -1, 2**62, "now", None)),
        ),
    ),
)
