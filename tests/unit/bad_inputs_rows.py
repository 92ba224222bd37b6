"""Bad inputs of a row's values and columns."""

import base64
from dataclasses import replace

from tests.builders import record, row, stored
from tests.unit.bad_inputs_parts import (
    RULES,
    BadInput,
    column,
    field_rules,
    history,
    rejected,
    upsert,
    value_is,
    value_is_refused,
    written,
)
from worker.errors import RejectReason
from worker.stages.conversion.unavailable import UNAVAILABLE
from worker.stages.embedding_text import parsed_template
from worker.stages.rules import FieldRule, FieldType, OnBadField

INVALID = RejectReason.FIELD_INVALID
LONG_TOKEN = "x" * 2**20
DECIMAL = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}
MICRO_SCHEMA = {"type": "int64", "name": "io.debezium.time.MicroTimestamp"}
MICROS, NANOS, DATE = FieldType.EPOCH_MICROS, FieldType.EPOCH_NANOS, FieldType.EPOCH_DAYS
ROWS = (
    BadInput(
        31,
        "unavailable-value placeholder (text, base64, hexadecimal, in arrays)",
        "Never indexed: the stored value is kept; rejected where none is stored",
        (
            *(
                written(column(value), absent=frozenset({"value"}), rules=field_rules())
                for value in (
                    UNAVAILABLE,
                    base64.b64encode(UNAVAILABLE.encode()).decode(),
                    UNAVAILABLE.encode().hex(),
                    [UNAVAILABLE],
                    {UNAVAILABLE: UNAVAILABLE},
                    list(UNAVAILABLE.encode()),
                )
            ),
            history(
                upsert(row(title=UNAVAILABLE)),
                live={"acme/articles/1": "kept"},
                stored={"acme/articles/1": stored(5, body={"title": "kept"})},
            ),
            history(upsert(row(title=UNAVAILABLE)), live={}, rejections=(RejectReason.UNCHANGED_VALUE_LOST,)),
        ),
    ),
    BadInput(
        32,
        "text null, empty, only white space",
        "Kept as it is; without any text there is no vector",
        tuple(
            written(upsert(row(title=value, content=None)), fields={"title": value, "content": None}, text="")
            for value in (None, "", " \n\u3000")
        ),
    ),
    BadInput(
        33,
        "text that is HTML, base64, binary",
        "Kept as it is; `strip_html` leaves the tags out of what is embedded",
        (
            *(
                written(upsert(row(title=value, content=None)), fields={"title": value}, text=value)
                for value in ("<p>a &amp; b</p>", "SGVsbG8=")
            ),
            written(
                upsert(row(title="<p>a &amp; b</p><script>x()</script>")),
                fields={"title": "<p>a &amp; b</p><script>x()</script>"},
                text="a & b",
                rules=replace(RULES, embed=parsed_template("{title}", strip_html=True)),
            ),
            written(upsert(row(title="\x01\x02\x7f", content="a")), fields={"title": "\x01\x02\x7f"}, text="a"),
        ),
    ),
    BadInput(
        34,
        "lone surrogates, NUL, zero-width, right-to-left marks, floods of combining marks",
        "Lone surrogates: rejected, no UTF-8 holds them. The others are kept; where embedded, control characters are "
        "spaces, invisible ones are left out, and of marks after one letter 30 stay",
        (
            rejected(record(b'{"id":1,"title":"\\ud800"}'), RejectReason.INVALID_JSON, "surrogate"),
            written(
                upsert(row(title="a\0b\u200b\u202ec", content="")), fields={"title": "a\0b\u200b\u202ec"}, text="a bc"
            ),
            written(
                upsert(row(title="q" + "\u0301\u0323" * 5000, content="")), text="q" + "\u0323" * 15 + "\u0301" * 15
            ),
            *(
                written(upsert(row(title="q" + mark * 5000, content="")), text="q" + mark * 30)
                for mark in ("\u0301", "\u0334", "\u20dd", "\u0e34")
            ),
        ),
    ),
    BadInput(
        35,
        "one token of 1 MB without spaces",
        "Written whole; the model reads its beginning",
        (written(upsert(row(title=LONG_TOKEN, content="")), fields={"title": LONG_TOKEN}, text=LONG_TOKEN),),
    ),
    BadInput(
        36,
        "numbers: NaN, Infinity, 1e400, 2^63, decimals as bytes",
        "Not finite, or an `integer` beyond 64 bits: rejected, or null with `on_bad_field: null`; what is not finite "
        "cannot be read as a bare number, and rejects the record whatever the column. Others keep every digit; a "
        "decimal that Connect wrote as a JSON number (`decimal.format: NUMERIC`) is rejected beyond 15, where some are "
        "lost",
        (
            *(
                rejected(record(b'{"id":1,"tenant":"acme","n":%b}' % text), RejectReason.INVALID_JSON)
                for text in (b"NaN", b"Infinity", b"1e400", b"-1e400")
            ),
            rejected(column("NaN", {"type": "double"}), INVALID, "'value'", "finite", "double", rules=field_rules()),
            value_is_refused("Infinity", FieldType.NUMBER, "finite"),
            written(
                column("NaN"),
                fields={"value": None},
                rules=field_rules(FieldType.NUMBER, on_bad=OnBadField.NULL),
            ),
            value_is(2**63, 2**63),
            value_is("9223372036854775808", 2**63, FieldType.INTEGER),
            value_is_refused(2.0**70, FieldType.INTEGER, "64 bits"),
            value_is_refused("1e4300", FieldType.INTEGER, "'value'", "'1e4300' does not fit 64 bits"),
            written(column("AN4=", DECIMAL), fields={"value": "2.22"}, rules=field_rules()),
            rejected(column("?", DECIMAL), INVALID, "'?'", "Decimal", rules=field_rules()),
            rejected(column("é", DECIMAL), INVALID, "'value'", "'é' is not a decimal's bytes", rules=field_rules()),
        ),
    ),
    BadInput(
        37,
        "dates: year 0, after 9999, before 1970, wrong unit, infinity",
        "Years 1 to 9999 are written; others are rejected, or null with `on_bad_field: null`",
        (
            value_is(-1, "1969-12-31", DATE),
            value_is(-1, "1969-12-31T23:59:59.999999", FieldType.LOCAL_MICROS),
            value_is(-1, "1969-12-31T23:59:59.999999Z", MICROS),
            value_is(1_795_298_512_584_000, "2026-11-21T22:01:52.584000Z", MICROS),
            value_is(1_795_298_512_584_000_001, "2026-11-21T22:01:52.584000001Z", NANOS),
            *(value_is_refused(days, DATE, "out of range") for days in (-719_163, 2_932_897, 2**31 - 1, 2**62)),
            *(value_is_refused(n, MICROS, "out of range") for n in (1_795_298_512_584_000_001, 2**63 - 1, -(2**63))),
            value_is_refused("infinity", FieldType.TIMESTAMP, "out of range"),
            written(column(-1, MICRO_SCHEMA), fields={"value": "1969-12-31T23:59:59.999999"}, rules=field_rules()),
            rejected(column(2**63 - 1, MICRO_SCHEMA), INVALID, "MicroTimestamp", "out of range", rules=field_rules()),
            value_is_refused("0000-01-01", FieldType.DATE),
        ),
    ),
    BadInput(
        38,
        'booleans as `0`, `1`, `"t"`',
        "True and false with `type: boolean`, else as they are",
        (
            *(value_is(given, expected=True, kind=FieldType.BOOLEAN) for given in (1, "t", "TRUE", True)),
            *(value_is(given, expected=False, kind=FieldType.BOOLEAN) for given in (0, "f", "false", False)),
            *(value_is_refused(given, FieldType.BOOLEAN, "true or false") for given in (2, "maybe", "")),
            value_is("t", "t"),
        ),
    ),
    BadInput(
        39,
        "JSON column as escaped text",
        "Text, or the object with `type: json`; broken JSON is rejected then",
        (
            value_is('{"a":[1]}', '{"a":[1]}'),
            value_is('{"a":[1]}', {"a": [1]}, FieldType.JSON),
            value_is_refused('{"a":', FieldType.JSON, "not JSON text"),
        ),
    ),
    BadInput(
        40,
        "new column appears",
        "Left out until `fields` names it",
        (written(upsert(row(brand_new=1)), fields={"title": "Title", "content": "Content"}),),
    ),
    BadInput(
        41,
        "column dropped",
        "Rejected with the columns that there are, unless the field has a `default`",
        (
            rejected(upsert({"id": 1, "tenant": "acme", "title": "a"}), INVALID, "'content'", "id, tenant, title"),
            written(
                upsert({"id": 1, "tenant": "acme", "title": "a"}),
                fields={"title": "a", "content": "none"},
                rules=replace(
                    RULES,
                    fields=(
                        RULES.fields[0],
                        FieldRule("content", "content", FieldType.AS_IS, has_default=True, default="none"),
                    ),
                ),
            ),
        ),
    ),
    BadInput(
        42,
        "column type changed",
        "Rejected where the field declares a `type`; else Elasticsearch's mapping decides",
        (
            value_is_refused("twelve", FieldType.INTEGER, "'twelve'"),
            value_is("twelve", "twelve"),
            written(column("twelve", {"type": "string"}), fields={"value": "twelve"}, rules=field_rules()),
            written(column(12, {"type": "int64"}), fields={"value": 12}, rules=field_rules()),
        ),
        later=(RejectReason.DOCUMENT_REFUSED,),
    ),
    BadInput(
        43,
        "column renamed",
        "Rejected with the columns that there are",
        (
            rejected(
                upsert({"id": 1, "tenant": "acme", "headline": "a", "content": ""}),
                INVALID,
                "'title'",
                "content, headline, id, tenant",
            ),
        ),
    ),
    BadInput(
        50,
        "field names with dots or `__proto__`, 2000 columns",
        "Only mapped columns reach the document, so the mapping never grows by itself",
        (
            written(
                upsert(row(**{"a.b": 1, "__proto__": {"x": 1}, "constructor": 2})),
                fields={"title": "Title", "content": "Content"},
            ),
            written(
                upsert(row(**{f"column_{number}": number for number in range(2000)})),
                fields={"title": "Title", "content": "Content"},
            ),
        ),
    ),
    BadInput(
        51,
        "array where a scalar is expected",
        "Element by element, as Elasticsearch takes it; an object is rejected where a `type` is declared",
        (
            value_is(["1", 2], [1, 2], FieldType.INTEGER),
            value_is_refused({"a": 1}, FieldType.INTEGER),
            rejected(column([1], {"type": "int64"}), INVALID, "'value'", "int64", rules=field_rules()),
        ),
    ),
    BadInput(
        52,
        "columns with names of Elasticsearch's metadata (`_id`, `_routing`)",
        "Columns like any other: they change neither id nor routing. Settings refuse to call a document's field so",
        (
            written(
                upsert(row(_id="x", _routing="y", _index="z")),
                fields={"title": "Title", "content": "Content"},
                document_id="acme/articles/1",
            ),
        ),
    ),
)
