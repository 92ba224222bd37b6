"""Coverage-guided fuzzing of all that happens to a record before Elasticsearch: decode, mapping, planning.

Not part of the test run, because atheris is no dependency of the project. To run it for ten minutes:

    pip install atheris
    PYTHONPATH=. python tests/fuzz/fuzz_decode.py -max_total_time=600

Arguments are libFuzzer's; a file as argument runs that input alone. The seeds are real records of the golden files.
An input is one byte for the format and the source's rules, then value, key and headers with a separator between.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

atheris = import_module("atheris")  # by name, because type checkers do not find it in the project's environment

with atheris.instrument_imports(include=["worker"]):
    from tests.builders import record, rules
    from worker.records import Change, Record, Rejection, Skip, Unit
    from worker.runtime.sources import DECODERS, SourceReader
    from worker.stages.documents import document
    from worker.stages.identity import MAX_ID_BYTES, tenant_alias
    from worker.stages.planning import NeedsVector, plan
    from worker.stages.rules import FieldRule, FieldType, KeyMissing, OnBadField, TombstoneMeaning

SEPARATOR = b"\xff\x00"
TESTS = Path(__file__).parent.parent
GOLDEN = TESTS / "golden"
EXAMPLES = TESTS.parent / "schemas" / "examples" / "change-events"
LONGEST_MESSAGE = 1500

NAMES = [
    *("op", "before", "after", "source", "key", "row", "tenant", "version"),
    *("ts", "schema", "payload", "type", "fields", "field", "name", "parameters"),
    *("scale", "items", "id", "title", "content", "rev", "connector", "snapshot"),
    *("lsn", "file", "pos", "change_lsn", "event_serial_no", "ts_ms", "ord", "txnNumber"),
    *("db", "table", "collection", "__op", "__deleted", "__lsn", "__source_lsn", "__source_ts_ms"),
    *("__table", "__debezium.oldkey", "$oid", "$date", "$numberLong"),
    *(kind.value for kind in FieldType),
]  # fmt: skip
VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**56, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308, 1e22),
    *("", " ", "c", "u", "r", "d", "t", "m", "upsert", "delete", "true", "incremental", "acme", "1", "~1", "é\u0301"),
    *("postgresql", "mysql", "sqlserver", "mongodb", "bin.000003", "00000027:00000ac0:0002", "\u0000", "\u202e"),
    *("__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", "NaN", "Infinity", "-infinity"),
    *("2026-01-31T12:00:00Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"),
    *("24:00:00", "12:00:00+01:00"),
    *("1e99999", "MDk=", '{"a":1}', '{"_id":{"$oid":"x"}}', "x" * 600),
    *([], {}, [None], [[1], [2]], {"scale": 9, "value": "MDk="}),
    *("struct", "array", "map", "bytes", "string", "int64", "float64", "org.apache.kafka.connect.data.Decimal"),
    *("io.debezium.time.MicroTimestamp", "io.debezium.time.Date", "io.debezium.data.VariableScaleDecimal"),
    *("io.debezium.data.Json", "io.debezium.data.geometry.Geometry", "io.debezium.time.ZonedTimestamp"),
    *("io.debezium.data.DoubleVector", "io.debezium.data.SparseDoubleVector", "io.debezium.data.TsVector"),
]  # fmt: skip


def _readers() -> list[SourceReader]:
    """Both formats with rules that use every type of field."""
    plain = [FieldRule(name, name, FieldType.AS_IS, has_default=True) for name in ("title", "content")]
    strict = [FieldRule(f"f.{kind}", kind, kind, has_default=True) for kind in FieldType]
    lenient = [replace(rule, on_bad=OnBadField.NULL, scale=3) for rule in strict]
    base = rules()
    variants = [
        replace(base, fields=(*plain, *lenient)),
        replace(base, fields=(*plain, *strict), trusts_before=True),
        replace(base, fields=tuple(plain), tombstone=TombstoneMeaning.DELETE, version_epoch=127, trusts_before=True),
        replace(base, fields=tuple(plain), version_column="rev", table="public.articles"),
        replace(base, fields=tuple(plain), id_columns=("id", "title"), key_missing=KeyMissing.REJECT),
        replace(base, fields=tuple(plain), id_columns=("_id",), unavailable_placeholder="hex:00ff"),
    ]
    return [SourceReader(frozenset(), None, decode, variant) for decode in DECODERS.values() for variant in variants]


READERS = _readers()


def record_of(data: bytes) -> tuple[SourceReader, Record]:
    reader = READERS[(data[0] if data else 0) % len(READERS)]
    value, key, *rest = [*data[1:].split(SEPARATOR), b""][:12] if len(data) > 1 else [b"", b""]
    pairs = zip(rest[::2], rest[1::2], strict=False)
    headers = tuple((name.decode(errors="replace"), content) for name, content in pairs)
    return reader, replace(record(value or None, key or None), headers=headers)


def check(data: bytes) -> None:
    """Raise if anything about an input is wrong."""
    reader, one = record_of(data)
    outcome, version = reader.read(one, 7)
    assert reader.read(one, 7) == (outcome, version), "the second reading differs"
    assert version is None or version >> 56 == reader.rules.version_epoch
    if isinstance(outcome, Rejection):
        assert 0 < len(outcome.message) <= LONGEST_MESSAGE
        outcome.message.encode()
    elif isinstance(outcome, Change):
        check_change(reader, outcome)
    else:
        assert isinstance(outcome, Skip)


def check_change(reader: SourceReader, change: Change) -> None:
    unit = Unit(change)
    for place in unit.places:
        assert 0 < len(place.document_id.encode()) <= MAX_ID_BYTES
        assert tenant_alias("articles", place.tenant)
    step = plan(unit, dict.fromkeys(unit.places), reader.rules.embed, "model", 0)
    if isinstance(step, NeedsVector):
        step.text.encode()
        document(step.change, step.fields, None, "model", None)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change one place of the value's or the key's JSON, or any bytes at all."""
    chance = random.Random(seed)
    parts = data[1:].split(SEPARATOR)
    at = chance.choice((0, 0, 0, *range(len(parts))))
    try:
        changed = _with_one_place_changed(orjson.loads(parts[at]), chance)
    except ValueError:
        changed = None
    if changed is None or chance.random() < 0.3:
        return bytes(atheris.Mutate(data, max_size))
    parts[at] = changed
    first = data[:1] if chance.random() < 0.8 else bytes([chance.randrange(256)])
    mutated = first + SEPARATOR.join(parts)
    return mutated if len(mutated) <= max_size else data[:max_size]


def _with_one_place_changed(value: object, chance: random.Random) -> bytes | None:
    places = list(_places(value))
    if not places:
        return orjson.dumps(chance.choice(VALUES))
    holder, at = chance.choice(places)
    if isinstance(holder, dict):
        what = chance.randrange(4)
        if what == 0:
            del holder[at]
        elif what == 1:
            holder[chance.choice(NAMES)] = chance.choice(VALUES)
        elif what == 2:
            holder[chance.choice(NAMES)] = holder.pop(at)
        else:
            holder[at] = chance.choice(VALUES)
    else:
        holder[at] = chance.choice(VALUES)
    try:
        return orjson.dumps(value)
    except TypeError:  # it holds itself, or is too deep
        return None


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every object or list inside, with each of its names or indices."""
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        names = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for name in names:
            yield one, name
            waiting.append(one[name])


def seeds() -> Iterator[bytes]:
    """Real records, whose values' tables and columns are renamed by the mutations, and our own examples."""
    for number, line in enumerate((GOLDEN / "debezium-postgres.jsonl").read_text("utf-8").splitlines()):
        one = json.loads(line)
        headers = [part.encode() for header in one["headers"] for part in header]
        parts = [(one["value"] or "").encode(), (one["key"] or "").encode(), *headers]
        yield bytes([number % 6]) + SEPARATOR.join(parts).replace(b'"tenant_id"', b'"tenant"')
    for number, path in enumerate(sorted(EXAMPLES.glob("**/*.json"))):
        yield bytes([6 + number % 6]) + path.read_bytes() + SEPARATOR
    typed = {kind.value: value for kind, value in zip(FieldType, VALUES, strict=False)}
    row = {"id": 1, "tenant": "acme", "title": "t", "content": "c", "rev": 5, **typed}
    source = {"connector": "postgresql", "lsn": 5, "ts_ms": 5, "schema": "public", "table": "articles"}
    for value in (row, {"op": "u", "after": row, "before": row, "source": source}, {**row, "__op": "u", "__lsn": 5}):
        for first in range(6):
            yield bytes([first]) + orjson.dumps(value) + SEPARATOR + b'{"id":1}'
            yield bytes([first]) + orjson.dumps({"schema": _schema(row), "payload": value}) + SEPARATOR + b'{"id":1}'


def _schema(row: dict[str, object]) -> object:
    logical = [value for value in VALUES if isinstance(value, str) and "." in value and value[:2] in ("io", "or")]
    columns = [
        {"field": name, "type": "bytes" if number % 3 else "int64", "name": logical[number % len(logical)]}
        for number, name in enumerate(row)
        if name not in ("id", "tenant", "title", "content")
    ]
    return {"type": "struct", "fields": [*columns, {"type": "struct", "field": "after", "fields": columns}]}


def main() -> None:
    """Fuzz until libFuzzer's arguments say that it is enough."""
    arguments = sys.argv
    if not any(Path(argument).exists() for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="fuzz-decode-"))
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        arguments = [*arguments, os.fspath(corpus), "-max_len=20000"]
    atheris.Setup(arguments, check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
