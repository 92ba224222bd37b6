"""Bad inputs of keys and tenants, and what only shows against other events of the same key."""

from tests.builders import event, record, row, rules
from tests.unit.bad_inputs_parts import (
    TRUSTING,
    BadInput,
    at,
    deleted,
    history,
    rejected,
    upsert,
    written,
)
from worker.errors import RejectReason

LONG_KEY = "k" * 513
COMPOSITE = rules(id_columns=("id", "part"))
KEYS = (
    BadInput(
        22,
        "composite primary key",
        "All its columns make the id; no two keys share one",
        (
            history(
                at(upsert(row("a/b", part="c", title="one"), key={"id": "a/b", "part": "c"}), 0),
                at(upsert(row("a", part="b/c", title="two"), key={"id": "a", "part": "b/c"}, lsn=101), 1),
                live={"acme/articles/a%2Fb/c": "one", "acme/articles/a/b%2Fc": "two"},
                rules=COMPOSITE,
            ),
            rejected(upsert(), RejectReason.KEY_MISSING, "'part'", rules=COMPOSITE),
        ),
    ),
    BadInput(
        23,
        "primary key null, empty, white space",
        "Rejected: they identify nothing",
        tuple(
            rejected(upsert(key={"id": key}), RejectReason.KEY_MISSING, "'id'", "null or blank")
            for key in (None, "", " ", "\t\r\n", "\u00a0\u3000")
        ),
    ),
    BadInput(
        24,
        "primary key over 512 bytes",
        "The id is a hash of it, because Elasticsearch refuses longer ids",
        (
            history(
                at(upsert(row(title="one"), key={"id": LONG_KEY}), 0),
                at(upsert(row(title="two"), key={"id": LONG_KEY + "k"}), 1),
                live={
                    "#aca8fb3e077b1816d05fec30c736c99489b7d8efc14385cdc40979cbd20ee148": "one",
                    "#d7f3287a67ba585a9c275c82b850472a5084d72aa889c00d4dfef6b302699dc5": "two",
                },
            ),
        ),
    ),
    BadInput(
        25,
        "primary key with slash, quote, newline, emoji, NUL",
        "Escaped in the id, so that keys stay apart",
        tuple(
            written(upsert(key={"id": key}), document_id=f"acme/articles/{part}")
            for key, part in (
                ("a/b", "a%2Fb"),
                ('"', '"'),
                ("a\n", "a%0A"),
                ("\U0001f600", "\U0001f600"),
                ("\0", "%00"),
            )
        ),
    ),
    BadInput(
        26,
        'numeric key `1`, text `"1"`, `1.0`',
        "Three keys, three documents",
        tuple(
            written(upsert(key={"id": key}), document_id=f"acme/articles/{part}")
            for key, part in ((1, "1"), ("1", "~1"), (1.0, "1.0"))
        ),
    ),
    BadInput(
        27,
        "keys that differ only in case",
        "Two documents",
        tuple(written(upsert(key={"id": key}), document_id=f"acme/articles/{key}") for key in ("Ab", "aB")),
    ),
    BadInput(
        28,
        "tenant missing, null, empty",
        "Rejected: nobody could find the document. So the delete whose key holds what Debezium makes up",
        (
            rejected(upsert({"id": 1, "title": "", "content": ""}), RejectReason.TENANT_UNKNOWN, "'tenant'"),
            *(
                rejected(upsert(row(tenant=tenant)), RejectReason.TENANT_MISSING, "'tenant'")
                for tenant in (None, "", " ")
            ),
            *(
                rejected(record(event("d"), {"id": 1, "tenant": tenant}), RejectReason.TENANT_UNKNOWN, "makes up")
                for tenant in (None, "", " ", False)
            ),
        ),
    ),
    BadInput(
        29,
        "tenant with comma, wildcard, `_all`, upper case, path characters",
        "Written; escaped in the id and in the tenant's alias, so that no name means another tenant",
        tuple(
            written(upsert(row(tenant=tenant)), document_id=f"{part}/articles/1")
            for tenant, part in (("a,b", "a,b"), ("*", "*"), ("_all", "_all"), ("ACME", "ACME"), ("../x", "..%2Fx"))
        ),
    ),
    BadInput(
        30,
        "tenant changes between `before` and `after`",
        "The document moves, and a tombstone stays at the old place; where no event tells the old tenant, the index is "
        "searched for the row",
        (
            history(
                at(upsert(row(title="old")), 0),
                at(upsert(row(tenant="globex", title="new"), before=row(), lsn=101), 1),
                live={"globex/articles/1": "new"},
                rules=TRUSTING,
            ),
            history(
                at(upsert(row(title="old")), 0),
                at(upsert(row(tenant="globex", title="new"), lsn=101), 1),
                live={"globex/articles/1": "new"},
            ),
            history(
                at(upsert(row(tenant="globex", title="new"), lsn=101), 0),
                at(upsert(row(title="overtaken")), 1),
                live={"globex/articles/1": "new"},
            ),
        ),
    ),
    BadInput(
        53,
        "same key in two topics",
        "One source: one row, the highest position wins. Two sources: two documents",
        (
            history(
                at(upsert(row(title="new"), lsn=101), 0, "cms.public.articles_2"),
                at(upsert(row(title="old"), lsn=100), 1),
                live={"acme/articles/1": "new"},
            ),
            history(
                at(upsert(row(title="an article")), 0),
                at(upsert(row(title="a note"), lsn=101), 1, "cms.public.notes"),
                live={"acme/articles/1": "an article", "acme/notes/1": "a note"},
                others={"cms.public.notes": rules(name="notes")},
            ),
        ),
    ),
    BadInput(
        54,
        "snapshot row older than a streamed one that is applied",
        "Superseded; a row of an incremental snapshot was read when it came, and is written",
        (
            history(
                at(upsert(row(title="streamed"), lsn=200), 0),
                at(record(event("r", row(title="snapshot"), lsn=100)), 1),
                live={"acme/articles/1": "streamed"},
            ),
            history(
                at(upsert(row(title="streamed"), lsn=200), 0),
                at(record(event("r", row(title="read again"), lsn=None, snapshot="incremental")), 1),
                live={"acme/articles/1": "read again"},
            ),
        ),
    ),
    BadInput(
        55,
        "soft-delete flag flips",
        "A column like any other: map it and filter searches by it",
        (
            history(
                at(upsert(row(title="a", deleted=True)), 0),
                at(upsert(row(title="b", deleted=False), lsn=101), 1),
                live={"acme/articles/1": "b"},
            ),
            written(upsert(row(title="a", deleted=True)), fields={"title": "a"}),
            deleted(record(event("d", before=row(deleted=True)), {"id": 1, "tenant": "acme"})),
        ),
    ),
)
