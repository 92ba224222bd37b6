"""Every type that a PostgreSQL column can have here, with ordinary, lowest, highest and special values.

Three tables, because settings of the connector change one of them each: `moments` (`time.precision.mode`), `numbers`
(`decimal.handling.mode`) and `others`. XML is missing: the PostgreSQL that the tests run is built without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

TENANT: Final = "acme"


class As(StrEnum):
    """What a value is, and so how a document's value is compared with it."""

    SAME = "same"
    BOOLEAN = "boolean"
    NUMBER = "number"
    FLOAT = "float"
    DATE = "date"
    TIME = "time"
    TIME_UTC = "time_utc"
    LOCAL = "local"
    MOMENT = "moment"
    INTERVAL = "interval"
    BYTES = "bytes"
    BITS = "bits"
    JSON = "json"
    MAP = "map"
    POINT = "point"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its SQL type and its literals; None for a value that the type does not have (it becomes null)."""

    name: str
    sql: str
    kind: As
    plain: str
    low: str | None = None
    high: str | None = None
    special: str | None = None
    items: bool = False
    """Whether it is an array of what `kind` says."""
    generated: bool = False

    @property
    def has_default(self) -> bool:
        # PostgreSQL keeps a generated column's expression where other columns have their default.
        return self.generated or "DEFAULT" in self.sql


@dataclass(frozen=True, slots=True)
class TypesTable:
    name: str
    columns: Sequence[Column]

    def create(self, *, keyed: bool = True) -> str:
        columns = ", ".join(f"{column.name} {column.sql}" for column in self.columns)
        key = ", PRIMARY KEY (tenant, id)" if keyed else ""
        return f"CREATE TABLE {self.name} (tenant text NOT NULL, id int NOT NULL, {columns}{key})"

    def inserts(self, first_id: int) -> list[str]:
        """Five rows: ordinary, lowest, highest, special values, and nothing but nulls."""
        kinds = ("plain", "low", "high", "special")
        rows = [[getattr(column, kind) for column in self._written] for kind in kinds]
        rows.append([None] * len(self._written))
        return [self._insert(first_id + number, row) for number, row in enumerate(rows)]

    @property
    def _written(self) -> list[Column]:
        return [column for column in self.columns if not column.generated]

    def _insert(self, row_id: int, row: Sequence[str | None]) -> str:
        columns = ", ".join(column.name for column in self._written)
        values = ", ".join("NULL" if value is None else value for value in row)
        return f"INSERT INTO {self.name} (tenant, id, {columns}) VALUES ('{TENANT}', {row_id}, {values})"


PREPARE: Final = (
    "CREATE EXTENSION IF NOT EXISTS hstore",
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE EXTENSION IF NOT EXISTS ltree",
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\", {really}')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE DOMAIN money_amount AS numeric(12,4)",
    "CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%')",
    "CREATE DOMAIN birthday AS date",
)


_c: Final = Column

MOMENTS: Final = TypesTable(
    "moments",
    (
        _c("d", "date", As.DATE, "'2026-11-21'", "'0001-01-01'", "'9999-12-31'", "'infinity'"),
        _c("d_beyond", "date", As.DATE, "'1969-12-31'", "'4713-01-01 BC'", "'5874897-12-31'", "'-infinity'"),
        _c("d_domain", "birthday", As.DATE, "'2000-02-29'"),
        _c("t0", "time(0)", As.TIME, "'13:14:15'", "'00:00:00'", "'23:59:59'", "'24:00:00'"),
        _c("t3", "time(3)", As.TIME, "'13:14:15.678'", "'00:00:00'", "'23:59:59.999'", "'24:00:00'"),
        _c("t6", "time(6)", As.TIME, "'13:14:15.678901'", "'00:00:00.000001'", "'23:59:59.999999'", "'24:00:00'"),
        _c("t", "time", As.TIME, "'13:14:15.678901'", "'00:00:00'", "'23:59:59.999999'"),
        _c("ttz", "timetz", As.TIME_UTC, "'13:14:15.678901+02'", "'00:00:00+15:59'", "'23:59:59.999999-15:59'"),
        _c("ts0", "timestamp(0)", As.LOCAL, "'2026-11-21 13:14:15'", "'0001-01-01'", "'9999-12-31 23:59:59'"),
        _c("ts3", "timestamp(3)", As.LOCAL, "'2026-11-21 13:14:15.678'", "'0001-01-01'", "'9999-12-31 23:59:59.999'",
           "'infinity'"),
        _c("ts6", "timestamp(6)", As.LOCAL, "'2026-11-21 13:14:15.678901'", "'0001-01-01 00:00:00.000001'",
           "'9999-12-31 23:59:59.999999'", "'infinity'"),
        _c("ts", "timestamp", As.LOCAL, "'1969-12-31 23:59:59.999999'", "'4713-01-01 00:00:00 BC'",
           "'294276-12-31 23:59:59.999999'", "'-infinity'"),
        _c("tstz", "timestamptz", As.MOMENT, "'2026-11-21 13:14:15.678901+02'", "'0001-01-02 00:00:00.000001+00'",
           "'9999-12-31 23:59:59.999999+00'", "'infinity'"),
        _c("tstz0", "timestamptz(0)", As.MOMENT, "'2026-11-21 13:14:15-05'", "'4713-01-02 00:00:00+00 BC'",
           "'294276-12-31 23:59:59+00'", "'-infinity'"),
        _c("iv", "interval", As.INTERVAL, "'1 year 2 months 3 days 04:05:06.789'", "'-178000000 years'",
           "'178000000 years'", "'-1 mon 30 days -00:00:00.000001'"),
        _c("ds", "date[]", As.DATE, "'{2026-11-21,NULL,1969-12-31}'", "'{}'", items=True),
        _c("ts6s", "timestamp[]", As.LOCAL, "'{\"2026-11-21 13:14:15.678901\",NULL}'", "'{}'", items=True),
        _c("tstzs", "timestamptz[]", As.MOMENT, "'{\"2026-11-21 13:14:15.678901+02\",NULL}'", "'{}'", items=True),
        _c("ts_made", "timestamp GENERATED ALWAYS AS (ts3 + interval '1 hour') STORED", As.LOCAL, "", generated=True),
    ),
)  # fmt: skip

_NINES: Final = "9" * 38
NUMBERS: Final = TypesTable(
    "numbers",
    (
        _c("i2", "smallint", As.SAME, "12", "-32768", "32767"),
        _c("i4", "int", As.SAME, "1234567", "-2147483648", "2147483647"),
        _c("i8", "bigint", As.SAME, "9007199254740993", "-9223372036854775808", "9223372036854775807"),
        _c("n2", "numeric(10,2)", As.NUMBER, "1.50", "-99999999.99", "99999999.99", "'NaN'"),
        _c("n0", "numeric(38,0)", As.NUMBER, "-1", f"-{_NINES}", _NINES),
        _c("n_neg", "numeric(5,-2)", As.NUMBER, "12300", "-9999900", "9999900"),
        _c("n", "numeric", As.NUMBER, "12.345", "-0.00000000000000000001", f"{_NINES}.{_NINES}", "'NaN'"),
        _c("n_inf", "numeric", As.NUMBER, "100", "-1e30", "1e30", "'Infinity'"),
        _c("n_domain", "money_amount", As.NUMBER, "0.1234", "-99999999.9999", "99999999.9999"),
        _c("r", "real", As.FLOAT, "1.5", "-3.4028235e38", "3.4028235e38", "'NaN'"),
        _c("f", "double precision", As.FLOAT, "0.1", "-1.7976931348623157e308", "5e-324", "'NaN'"),
        _c("f_inf", "double precision", As.FLOAT, "1e21", "0", "-0.0", "'Infinity'"),
        _c("f_ninf", "double precision", As.FLOAT, "1", None, None, "'-Infinity'"),
        _c("m", "money", As.NUMBER, "'1234.56'", "'-92233720368547758.08'", "'92233720368547758.07'"),
        _c("i_domain", "positive", As.SAME, "1", None, "2147483647"),
        _c("i4_default", "int DEFAULT 7", As.SAME, "1"),
        _c("o", "oid", As.SAME, "42", "0", "4294967295"),
        _c("i4s", "int[]", As.SAME, "'{1,NULL,-3}'", "'{}'", items=True),
        _c("i8s", "bigint[]", As.SAME, "'{9007199254740993,NULL}'", "'{}'", items=True),
        _c("n2s", "numeric(10,2)[]", As.NUMBER, "'{1.50,NULL,-99999999.99}'", "'{}'", "'{NULL}'", items=True),
        _c("ns", "numeric[]", As.NUMBER, "'{12.345,NULL,-7}'", "'{}'", items=True),
        _c("fs", "double precision[]", As.FLOAT, "'{0.1,NULL}'", "'{}'", None, "'{1,NaN}'", items=True),
        _c("n_made", "numeric(12,2) GENERATED ALWAYS AS (i4 * 2.5) STORED", As.NUMBER, "", generated=True),
    ),
)

OTHERS: Final = TypesTable(
    "others",
    (
        _c("b", "boolean", As.BOOLEAN, "true", "false"),
        _c("c5", "char(5)", As.SAME, "'ab'", "''", "'abcde'"),
        _c("vc", "varchar(20)", As.SAME, "'Grüße, Ωmega'", "''", "'🦔'"),
        _c("tx", "text", As.SAME, "E'two\\nlines\\t\"quoted\" \\\\ \\u2028'", "''", "'null'"),
        _c("tx_default", "text DEFAULT 'a default'", As.SAME, "'given'", "''"),
        _c("ci", "citext", As.SAME, "'MiXed'", "''"),
        _c("nm", "name", As.SAME, "'a_name'"),
        _c("em", "email", As.SAME, "'a@b.example'"),
        _c("by", "bytea", As.BYTES, "'\\x00ff10'", "'\\x'", "'\\x5c7830'"),
        _c("u", "uuid", As.SAME, "'0190163d-8694-739b-aea5-966c26f8ad91'", "'00000000-0000-0000-0000-000000000000'",
           "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
        _c("j", "json", As.JSON, "'{\"a\": [1, 2.50, null], \"b\": {\"c\": \"ü\"}}'", "'[]'", "'\"text\"'", "'null'"),
        _c("jb", "jsonb", As.JSON, "'{\"a\": [1, 2.50, null], \"b\": {\"c\": \"ü\"}}'", "'{}'",
           "'12345678901234567890'", "'null'"),
        _c("ip", "inet", As.SAME, "'192.168.0.1/24'", "'0.0.0.0/0'", "'2001:db8::1'"),
        _c("net", "cidr", As.SAME, "'10.1.0.0/16'", "'0.0.0.0/0'", "'2001:db8::/32'"),
        _c("mac", "macaddr", As.SAME, "'08:00:2b:01:02:03'"),
        _c("mac8", "macaddr8", As.SAME, "'08:00:2b:01:02:03:04:05'"),
        _c("bit1", "bit(1)", As.BOOLEAN, "B'1'", "B'0'"),
        _c("bit12", "bit(12)", As.BITS, "B'100000000011'", "B'000000000000'", "B'111111111111'"),
        _c("vbit", "varbit(12)", As.BITS, "B'101'", "B''", "B'111111111111'"),
        _c("i4r", "int4range", As.SAME, "'[1,10)'", "'empty'", "'(,)'"),
        _c("i8r", "int8range", As.SAME, "'[1,10)'", "'empty'", "'(,)'"),
        _c("nr", "numrange", As.SAME, "'[1.5,2.5]'", "'empty'"),
        _c("dr", "daterange", As.SAME, "'[2026-01-01,2026-02-01)'", "'empty'", "'[2026-01-01,infinity]'"),
        _c("tsr", "tsrange", As.SAME, "'[2026-01-01 00:00,2026-01-02 00:00)'", "'empty'"),
        _c("tstzr", "tstzrange", As.SAME, "'[2026-01-01 00:00+00,2026-01-02 00:00+00)'", "'empty'", "'[2026-01-01,)'"),
        _c("e", "mood", As.SAME, "'ok'", "'sad'", "'it''s \"fine\", {really}'"),
        _c("hs", "hstore", As.MAP, "'a=>1, \"b c\"=>NULL, d=>\"x\\\"y\"'", "''"),
        _c("lt", "ltree", As.SAME, "'Top.Science.Astronomy'", "''"),
        _c("tsv", "tsvector", As.SAME, "to_tsvector('simple', 'a fat cat sat')", "''"),
        _c("pt", "point", As.POINT, "'(1.5,-2)'", "'(0,0)'"),
        _c("vec", "vector(3)", As.VECTOR, "'[1,-2.5,3]'"),
        _c("txs", "text[]", As.SAME, "'{a,NULL,\"b,\\\"c\\\"\",\"\"}'", "'{}'", "'{NULL}'", items=True),
        _c("vcs", "varchar(9)[]", As.SAME, "'{x,y}'", "'{}'", items=True),
        _c("us", "uuid[]", As.SAME, "'{0190163d-8694-739b-aea5-966c26f8ad91,NULL}'", "'{}'", items=True),
        _c("es", "mood[]", As.SAME, "'{ok,sad}'", "'{}'", items=True),
        _c("bs", "boolean[]", As.BOOLEAN, "'{t,f,NULL}'", "'{}'", items=True),
        _c("jbs", "jsonb[]", As.JSON, "ARRAY['{\"a\":1}'::jsonb, '[2]', NULL]", "'{}'", items=True),
        _c("bys", "bytea[]", As.BYTES, "ARRAY['\\x00ff'::bytea, NULL]", "'{}'", items=True),
        _c("ips", "inet[]", As.SAME, "'{10.0.0.1,::1}'", "'{}'", items=True),
        _c("tx_made", "text GENERATED ALWAYS AS (upper(vc)) STORED", As.SAME, "", generated=True),
        _c("bx", "box", As.SAME, "'(2,2),(1,1)'"),
    ),
)  # fmt: skip

TABLES: Final = (MOMENTS, NUMBERS, OTHERS)
