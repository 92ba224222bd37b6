"""The demo's change feed: what Debezium's PostgreSQL connector writes while people work on the table.

Shaped after records of a real connector (3.3.1, default replica identity, JSON without schemas). One change of the
table is one, two or three records:

    update, re-creation      value
    delete                   value, tombstone
    change of the key        delete and tombstone under the old key, creation under the new one, all with one position
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from worker.demo.corpus import Document
from worker.demo.table import Act, Key, Row, Step, Table

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium writes for a long value that an update did not touch: PostgreSQL's log does not hold it."""
START_MS: Final = 1_767_225_600_000
"""The feed's own clock begins at 2026-01-01."""

_INTERVAL_MS: Final = 10
_DELAY_MS: Final = 120  # between the transaction and the connector's turn
_FIRST_LSN: Final = 24_315_784
_FIRST_TRANSACTION: Final = 755
_LSN_STEPS: Final = (96, 288, 56, 384, 120)
_CONTEXT: Final = (
    ("__debezium.context.connectorLogicalName", b"demo"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
)
# What the connector writes for a NOT NULL column that the log of a delete does not hold; the others are null.
_TYPE_DEFAULTS: Final = {"title": "", "published": "1970-01-01T00:00:00.000000Z"}
_COLUMNS: Final = ("tenant", "id", "title", "content", "tags", "published", "url")

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """One Kafka record, ready to be sent. `value` is None for a tombstone."""

    key: bytes
    value: bytes | None
    headers: Headers


def feed(
    texts: Sequence[Document],
    events: int,
    seed: int,
    *,
    clock: Callable[[], int] | None = None,
    unavailable_over: int | None = None,
) -> Iterator[FeedRecord]:
    """Yield the snapshot of a table with these texts, then `events` changes. The same arguments give the same bytes.

    Records of one key come in the order in which the database committed them. `clock` gives the time of each change in
    milliseconds, where the feed is to look live; without it time passes by itself. Content longer than
    `unavailable_over` characters is left out where an update does not touch it, as PostgreSQL does above about 2,000
    bytes; None never leaves any out.
    """
    table = Table(texts, seed)
    connector = _Connector(clock, unavailable_over)
    yield from connector.snapshot(list(table.rows.values()))
    for step in table.steps(events):
        yield from connector.records(step)


def expected_rows(texts: Sequence[Document], events: int, seed: int) -> dict[Key, Row]:
    """Return the table as it is when the feed of the same arguments has ended."""
    table = Table(texts, seed)
    for _ in table.steps(events):
        pass
    return table.rows


class _Connector:
    """Writes steps as records, and keeps what rises: position, transaction, time."""

    def __init__(self, clock: Callable[[], int] | None, unavailable_over: int | None) -> None:
        self._clock = clock
        self._unavailable_over = unavailable_over
        self._lsn = _FIRST_LSN
        self._former_lsn: int | None = None
        self._transaction = _FIRST_TRANSACTION
        self._changes = 0
        self._now_ms = START_MS

    def snapshot(self, rows: Sequence[Row]) -> Iterator[FeedRecord]:
        """Every row, all at the one position where the snapshot was taken."""
        self._tick()
        for number, row in enumerate(rows, start=1):
            place = "last" if number == len(rows) else "first" if number == 1 else "true"
            yield _record(row.key, self._envelope("r", after=_columns(row), snapshot=place))

    def records(self, step: Step) -> Iterator[FeedRecord]:
        """The records of one change, which was one transaction."""
        self._advance()
        before, after = step.before, step.after
        if before is not None and (after is None or after.key != before.key):
            moved = () if after is None else (("__debezium.newkey", _key(after.key)),)
            yield _record(before.key, self._envelope("d", before=_key_columns(before)), moved)
            yield _record(before.key, None, moved)
        if after is None:
            return
        if before is not None and after.key == before.key:
            yield _record(after.key, self._envelope("u", after=self._logged(step, after)))
            return
        came = () if before is None else (("__debezium.oldkey", _key(before.key)),)
        yield _record(after.key, self._envelope("c", after=self._logged(step, after)), came)

    def _advance(self) -> None:
        self._former_lsn = self._lsn if self._changes else None
        self._lsn += _LSN_STEPS[self._changes % len(_LSN_STEPS)]
        self._transaction += 1
        self._changes += 1
        self._tick()

    def _tick(self) -> None:
        self._now_ms = self._clock() if self._clock is not None else self._now_ms + _INTERVAL_MS

    def _logged(self, step: Step, row: Row) -> dict[str, Any]:
        columns = _columns(row)
        untouched = step.act in {Act.TAG, Act.MOVE}
        if untouched and self._unavailable_over is not None and len(row.content or "") > self._unavailable_over:
            columns["content"] = UNAVAILABLE
        return columns

    def _envelope(
        self,
        operation: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        snapshot: str = "false",
    ) -> dict[str, Any]:
        read_ms = self._now_ms if self._clock is not None else self._now_ms + _DELAY_MS
        return {
            "before": before,
            "after": after,
            "source": self._source(snapshot),
            "transaction": None,
            "op": operation,
            **_times(read_ms),
        }

    def _source(self, snapshot: str) -> dict[str, Any]:
        former = None if self._former_lsn is None else str(self._former_lsn)
        times = _times(self._now_ms)
        return {
            "version": "3.3.1.Final",
            "connector": "postgresql",
            "name": "demo",
            "ts_ms": times["ts_ms"],
            "snapshot": snapshot,
            "db": "library",
            "sequence": json.dumps([former, str(self._lsn)], separators=(",", ":")),
            "ts_us": times["ts_us"],
            "ts_ns": times["ts_ns"],
            "schema": "public",
            "table": "articles",
            "txId": self._transaction,
            "lsn": self._lsn,
            "xmin": None,
        }


def _record(key: Key, envelope: dict[str, Any] | None, headers: Headers = ()) -> FeedRecord:
    value = None if envelope is None else orjson.dumps(envelope)
    return FeedRecord(_key(key), value, (*headers, *_CONTEXT))


def _key(key: Key) -> bytes:
    return orjson.dumps({"tenant": key.tenant, "id": key.id})


def _columns(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


def _key_columns(row: Row) -> dict[str, Any]:
    """Return the old row as the log of a delete holds it under the default replica identity."""
    return dict.fromkeys(_COLUMNS) | _TYPE_DEFAULTS | row.key._asdict()


def _times(moment_ms: int) -> dict[str, int]:
    return {"ts_ms": moment_ms, "ts_us": moment_ms * 1_000, "ts_ns": moment_ms * 1_000_000}
