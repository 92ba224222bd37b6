"""What reading an event costs beside bare `orjson.loads` of the same bytes: decode, mapping and identity together.

    python -m tests.benchmarks.decode

Prints microseconds an event and the ratio for a 1 KB update, with and without its schema, as the envelope, flattened,
and as a plain change event. The goal for the envelope is below 4. `all` is the call that the worker makes. The three
are timed in turns of a millisecond, so that a round meets the machine in one mood. Times and ratios are medians over
the rounds; in brackets are the quartiles of the ratio.
"""

import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from tests.builders import record, rules
from worker.records import Change, Record
from worker.runtime.sources import DECODERS, SourceReader

GOAL: Final = 4.0
ROUNDS: Final = 400
CALLS: Final = 50

RULES: Final = rules(
    tenant_column="tenant_id",
    fields={"title": "title", "content": "content", "author": "author", "tags": "tags", "views": "views"},
)
CONTEXT: Final = [
    ("__debezium.context.connectorLogicalName", b"cms"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
]
"""What a real connector writes on every record."""


def row() -> dict[str, object]:
    """As many columns, and of as many kinds, as a table of articles has."""
    return {
        "id": 48151623,
        "tenant_id": "acme",
        "title": "How change events keep a search index in step with its database",
        "content": "A row changes, the database logs it, the change reaches the index. The row's text is embedded, and "
        "the document takes the place of the one before it, unless that is newer.",
        "author": "A. Writer",
        "tags": ["search", "cdc"],
        "views": 4242,
        "published": True,
        "status": "live",
        "locale": "en-GB",
        "rating": {"scale": 3, "value": "MDk="},
        "attributes": '{"series": "sync", "part": 3}',
        "published_on": 20455,
        "created_at": 1767323045678,
        "updated_at": "2026-01-02T01:04:05.678901Z",
    }


def envelope() -> dict[str, object]:
    """An update as Debezium 3.3 writes it for PostgreSQL."""
    moment = 1795298583757
    source = {"version": "3.3.1.Final", "connector": "postgresql", "name": "cms", "ts_ms": moment, "snapshot": "false"}
    source |= {"db": "cms", "sequence": '["24460512","24460856"]', "ts_us": moment * 1000, "ts_ns": moment * 10**6}
    source |= {"schema": "public", "table": "articles", "txId": 774, "lsn": 24460856, "xmin": None}
    times = {"ts_ms": moment + 3, "ts_us": (moment + 3) * 1000, "ts_ns": (moment + 3) * 10**6}
    return {"before": None, "after": row(), "source": source, "transaction": None, "op": "u", **times}


def flattened() -> dict[str, object]:
    return {**row(), "__op": "u", "__source_lsn": 24460856, "__source_ts_ms": 1795298583757, "__deleted": "false"}


def change_event() -> dict[str, object]:
    return {"op": "upsert", "key": {"id": 48151623}, "version": 24460856, "ts": "2026-11-22T01:23:03Z", "row": row()}


def schema_of(value: object, name: str | None = None) -> dict[str, Any]:
    """A Kafka Connect schema for a value, as JsonConverter writes it."""
    named = {} if name is None else {"field": name}
    if isinstance(value, dict):
        fields = [schema_of(inner, inner_name) for inner_name, inner in value.items()]
        return {"type": "struct", "fields": fields, "optional": True, "name": f"cms.public.{name}", **named}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string", "optional": True}, "optional": True, **named}
    base = "boolean" if isinstance(value, bool) else "int64" if isinstance(value, int) else "string"
    return {"type": base, "optional": True, **named}


def with_schema(event: Mapping[str, object]) -> dict[str, object]:
    described = {**event, "before": row()} if "before" in event else event
    return {"schema": schema_of(described), "payload": event}


def records() -> dict[str, tuple[str, Record]]:
    """What is measured: name -> format, record."""
    shapes = {"envelope": envelope(), "flattened": flattened(), "change-event": change_event()}
    cases: dict[str, tuple[str, Record]] = {}
    for name, event in shapes.items():
        plain = name == "change-event"
        source_format = name if plain else "debezium"
        headers = () if plain else CONTEXT
        cases[name] = (source_format, record(event, {"id": 48151623}, headers=headers))
        cases[f"{name}, schema"] = (source_format, record(with_schema(event), {"id": 48151623}, headers=headers))
    return cases


def reader(source_format: str, one: Record) -> Callable[[], object]:
    """Return what is timed; it fails where the record would not be indexed."""
    source = SourceReader(frozenset(), None, DECODERS[source_format], RULES)
    change, _ = source.read(one, 0)
    assert isinstance(change, Change), change
    return partial(source.read, one, 0)


def rounds(calls: Sequence[Callable[[], object]]) -> list[tuple[float, ...]]:
    """Microseconds a call of each, round by round."""
    timers = [timeit.Timer(call, timer=time.process_time) for call in calls]
    return [tuple(timer.timeit(CALLS) / CALLS * 1e6 for timer in timers) for _ in range(ROUNDS)]


def main() -> None:
    """Print a table."""
    heads = f"{'loads us':>10}{'decode us':>11}{'all us':>9}{'ratio':>8}"
    lines = [f"{'event':<24}{'bytes':>7}{heads}"]
    for name, (source_format, one) in records().items():
        data = one.value or b""
        calls = (partial(orjson.loads, data), partial(DECODERS[source_format], one, RULES), reader(source_format, one))
        measured = rounds(calls)
        loads, decode, whole = map(statistics.median, zip(*measured, strict=True))
        low, ratio, high = statistics.quantiles((whole / loads for loads, _, whole in measured), n=4)
        figures = f"{loads:>10.2f}{decode:>11.2f}{whole:>9.2f}{ratio:>8.2f}  ({low:.2f} to {high:.2f})"
        lines.append(f"{name:<24}{len(data):>7}{figures}")
    print("\n".join(lines), f"the goal for the envelope is below {GOAL:g}", sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
