"""What happens to the rows of the `changes` files, statement by statement.

`with_key` has the default replica identity, `full_row` has FULL and its tenant outside the key, `without_key` has FULL
and no key at all, `large` holds values that PostgreSQL stores apart (TOAST) and leaves out of an update,
`large_full` the same with FULL.
"""

from typing import Final

LARGE: Final = {
    "tx": ("text", "repeat('large ', 30)"),
    "vc": ("varchar(500)", "repeat('large ', 30)"),
    "by": ("bytea", "decode(repeat('00ff', 60), 'hex')"),
    "j": ("json", "json_build_object('a', repeat('j', 200))"),
    "jb": ("jsonb", "jsonb_build_object('a', repeat('j', 200))"),
    "hs": ("hstore", "hstore('a', repeat('h', 200))"),
    "tsv": ("tsvector", "to_tsvector('simple', string_agg('word' || n, ' '))"),
    "vec": ("vector(40)", "array_agg(n::real)::vector"),
    "vb": ("varbit(2000)", "repeat('10', 900)::varbit"),
    "num": ("numeric", "repeat('9', 300)::numeric"),
    "lt": ("ltree", "(repeat('a.', 99) || 'b')::ltree"),
    "txs": ("text[]", "array_agg('item ' || n)"),
    "vcs": ("varchar(20)[]", "array_agg('item ' || n)"),
    "i4s": ("int[]", "array_agg(n)"),
    "i8s": ("bigint[]", "array_agg(n::bigint)"),
    "i2s": ("smallint[]", "array_agg(n::smallint)"),
    "fs": ("double precision[]", "array_agg(n::float8)"),
    "ns": ("numeric(10,2)[]", "array_agg(1.50)"),
    "bs": ("boolean[]", "array_agg(n > 1)"),
    "ds": ("date[]", "array_agg(date '2026-11-21')"),
    "tss": ("timestamp[]", "array_agg(timestamp '2026-11-21')"),
    "tstzs": ("timestamptz[]", "array_agg(timestamptz '2026-11-21 00:00+00')"),
    "us": ("uuid[]", "array_agg('0190163d-8694-739b-aea5-966c26f8ad91'::uuid)"),
    "es": ("mood[]", "array_agg('ok'::mood)"),
    "jbs": ("jsonb[]", "array_agg('{}'::jsonb)"),
    "bys": ("bytea[]", "array_agg('\\x00ff'::bytea)"),
    "ips": ("inet[]", "array_agg('10.0.0.1'::inet)"),
}


def _columns(what: str) -> str:
    return ", ".join(f"{name} {type_}" if what == "type" else value for name, (type_, value) in LARGE.items())


BEFORE: Final = (
    (
        "CREATE TABLE with_key (tenant text NOT NULL, id int, title text NOT NULL, note text, at timestamptz,"
        " PRIMARY KEY (tenant, id))"
    ),
    "CREATE TABLE full_row (id int PRIMARY KEY, tenant text NOT NULL, title text NOT NULL, note text, at timestamptz)",
    "ALTER TABLE full_row REPLICA IDENTITY FULL",
    "CREATE TABLE without_key (tenant text NOT NULL, id int NOT NULL, title text)",
    "ALTER TABLE without_key REPLICA IDENTITY FULL",
    f"CREATE TABLE large (id int PRIMARY KEY, tenant text NOT NULL, title text, {_columns('type')})",
    *(f"ALTER TABLE large ALTER COLUMN {column} SET STORAGE EXTERNAL" for column in LARGE),
    # Rows above this size have their large values stored apart; the least there is, so that all of them are.
    "ALTER TABLE large SET (toast_tuple_target = 128)",
    "CREATE TABLE large_full (LIKE large INCLUDING ALL)",
    "ALTER TABLE large_full REPLICA IDENTITY FULL",
    "CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))",
    "INSERT INTO with_key VALUES ('acme', 1, 'One', NULL, '2026-11-21 10:00:00+00'), ('acme', 2, 'Two', 'n', NULL)",
    "INSERT INTO full_row VALUES (1, 'acme', 'One', NULL, '2026-11-21 10:00:00+00'), (2, 'acme', 'Two', 'n', NULL)",
    "INSERT INTO without_key VALUES ('acme', 1, 'One')",
)
CHANGES: Final = (
    "INSERT INTO with_key VALUES ('acme', 3, 'Three', NULL, NULL)",
    "UPDATE with_key SET title = 'Three, changed' WHERE id = 3",
    "UPDATE with_key SET id = 33 WHERE id = 3",
    "UPDATE with_key SET tenant = 'globex' WHERE id = 33",
    "DELETE FROM with_key WHERE id = 2",
    "BEGIN; DELETE FROM with_key WHERE id = 1; INSERT INTO with_key VALUES ('acme', 1, 'One again'); COMMIT",
    "INSERT INTO full_row VALUES (3, 'acme', 'Three', NULL, NULL)",
    "UPDATE full_row SET title = 'Three, changed' WHERE id = 3",
    "UPDATE full_row SET tenant = 'globex' WHERE id = 3",
    "UPDATE full_row SET id = 33 WHERE id = 3",
    "DELETE FROM full_row WHERE id = 2",
    "INSERT INTO without_key VALUES ('acme', 2, 'Two')",
    "UPDATE without_key SET title = 'Two, changed' WHERE id = 2",
    "DELETE FROM without_key WHERE id = 1",
    f"INSERT INTO large SELECT 1, 'acme', 'Before', {_columns('value')} FROM generate_series(1, 40) AS n",
    "INSERT INTO large_full SELECT * FROM large",
    "UPDATE large SET title = 'After' WHERE id = 1",
    "UPDATE large_full SET title = 'After' WHERE id = 1",
    "SELECT pg_logical_emit_message(true, 'app', 'a message in a transaction')",
    "SELECT pg_logical_emit_message(false, 'app', 'a message outside')",
)
SNAPSHOT_AGAIN: Final = (
    (
        "INSERT INTO signals VALUES ('again', 'execute-snapshot',"
        ' \'{"data-collections": ["public.with_key", "public.full_row"], "type": "incremental"}\')'
    ),
)
TRUNCATE: Final = ("TRUNCATE with_key",)
