"""A PostgreSQL table, its write-ahead log, and a Debezium connector that writes the table's changes to the broker.

What real connectors emit was seen on Debezium 3.3 and is written down in docs/change-events.md: key changes as a delete
and an insert of one position on perhaps different partitions, type defaults in `before`, placeholders for unchanged
TOAST values, incremental snapshots without positions, and everything again after a restart of the connector.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from tests import builders
from tests.simulation.broker import Broker, Headers
from worker.records import Place, TopicPartition
from worker.stages.identity import joined, joined_id, key_part, key_place_id
from worker.stages.rules import IdScope

UNCHANGED: Final = "__debezium_unavailable_value"
SOURCE: Final = "articles"


class Identity(StrEnum):
    """What the table's key is, and how much of the old row an event tells."""

    TENANT_IN_KEY = "tenant_in_key"
    """Primary key (tenant, id), default replica identity."""
    FULL = "full"
    """Primary key (id), REPLICA IDENTITY FULL."""
    DEFAULT = "default"
    """Primary key (id), default replica identity: a delete does not tell its tenant, nor an update a move."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What the table is like, and how it is declared to the worker."""

    identity: Identity
    global_ids: bool = False
    toast: bool = False
    """Whether unchanged values of `content` are left out of the log."""
    partitions: int = 1


Key = tuple[object, ...]
"""(tenant, id), or (id,)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `serial` is the number of the change that made it what it is, and is kept in `url`."""

    id: int
    tenant: object
    title: str
    content: str
    serial: int


class Said(NamedTuple):
    """What a record of the log says, as far as the invariants need it. Without a place: nothing about a row."""

    place: Place | None
    version: int
    serial: int
    deletes: bool = False
    positioned: bool = True


class _Event(NamedTuple):
    key: Key
    value: Mapping[str, Any]
    headers: Headers
    said: Said


NOTHING: Final = Said(None, 0, 0)


class Database:
    """The table. Statements that would wait for a lock, or that make no sense on the rows there are, do nothing."""

    def __init__(self, schema: Schema, broker: Broker) -> None:
        self.schema = schema
        self.said: dict[TopicPartition, list[Said]] = {one: [] for one in broker.partitions}
        """By offset."""
        self.watermarks: dict[TopicPartition, list[int]] = {one: [] for one in broker.partitions}
        """By offset: the highest version among the records before it."""
        self.states: dict[int, Row | None] = {}
        """Every state that any row ever had, by serial; None for its end."""
        self.serial_of: dict[int, int] = {}
        """By position."""
        self.drifted = False
        self.tenants: set[str] = set()
        """All that any row ever had."""
        self._broker = broker
        self._rows: dict[Key, Row] = {}
        self._committed: dict[Key, Row] = {}
        self._locks: dict[Key, int] = {}
        self._open: dict[int, list[_Event]] = {}
        self._sent: list[_Event] = []
        self._window: dict[Key, Row] | None = None
        self._lsn = 100
        self._serial = 0

    # Statements. `txn` numbers an open transaction; None commits at once.

    def upsert(self, row_id: int, tenant: object, title: str | None, *, content: bool = True, txn: int | None) -> None:
        """Insert the row, or update it: its `url` always, its title where one is given, its content if asked for."""
        key = self._key(row_id, tenant)
        held = self._rows.get(key)
        if self._locked(key, txn):
            return
        serial = self._next_serial()
        if held is None:
            row = Row(row_id, tenant, title or "", f"c{serial}", serial)
            self._change("c", key, None, row, txn)
            return
        row = replace(held, serial=serial, title=held.title if title is None else title)
        if content:
            row = replace(row, content=f"c{serial}")
        self._change("u", key, held, row, txn)

    def move(self, row_id: int, tenant: object, to: object, *, txn: int | None) -> None:
        """Give the row to another tenant."""
        return self._rekey(row_id, tenant, row_id, to, txn)

    def rekey(self, row_id: int, tenant: object, to: int, *, txn: int | None) -> None:
        """Change the row's primary key."""
        held = self._rows.get(self._key(row_id, tenant))
        if held is not None:
            self._rekey(row_id, tenant, to, held.tenant, txn)

    def _rekey(self, row_id: int, tenant: object, new_id: int, new_tenant: object, txn: int | None) -> None:
        key, new_key = self._key(row_id, tenant), self._key(new_id, new_tenant)
        held = self._rows.get(key)
        if held is None or self._locked(key, txn) or self._locked(new_key, txn):
            return
        row = replace(held, id=new_id, tenant=new_tenant, serial=self._next_serial())
        if key == new_key:
            if held.tenant == new_tenant:
                return
            self._change("u", key, held, row, txn)
            return
        if new_key in self._rows:
            return
        self._change_key(key, held, new_key, row, txn)

    def delete(self, row_id: int, tenant: object, *, txn: int | None) -> None:
        key = self._key(row_id, tenant)
        held = self._rows.get(key)
        if held is None or self._locked(key, txn):
            return
        self._next_serial()
        self._change("d", key, held, None, txn)

    def drift(self, row_id: int, tenant: object, to: object = None) -> None:
        """Change a row without an event, as where the connector has lost some; a later snapshot mends it.

        Where no event tells of a move anyway, that may be one to another tenant.
        """
        key = self._key(row_id, tenant)
        held = self._rows.get(key)
        if held is None or self._locked(key, None):
            return
        serial = self._next_serial()
        row = replace(held, content=f"c{serial}", serial=serial)
        if to is not None and self.schema.identity is Identity.DEFAULT:
            row = replace(row, tenant=to)
            self.tenants.add(str(to))
        self._rows[key] = self._committed[key] = self.states[serial] = row
        self.drifted = True

    def commit(self, txn: int) -> bool:
        """Commit an open transaction: only now the connector sees it."""
        events = self._open.pop(txn, None)
        if events is None:
            return False
        for key in [key for key, owner in self._locks.items() if owner == txn]:
            del self._locks[key]
            self._take_over(key)
        for event in events:
            self._stream(event)
        return True

    def commit_all(self) -> None:
        for txn in list(self._open):
            self.commit(txn)

    # The connector.

    def snapshot_begin(self) -> bool:
        """Read a chunk of an incremental snapshot: all rows, as they are committed."""
        if self._window is not None:
            return False
        self._window = dict(self._committed)
        self.drifted = False
        return True

    def snapshot_end(self) -> int:
        """Close the window: rows that no event has mentioned since are written, without a position."""
        window, self._window = self._window or {}, None
        for key, row in window.items():
            event = builders.event("r", self._columns(row), lsn=None, snapshot="incremental")
            said = Said(self._place(row), 0, row.serial, positioned=False)
            self._append(_Event(key, event, (), said))
        return len(window)

    def restart_connector(self, count: int) -> int:
        """Send the last `count` changes again: the connector had not saved its place since."""
        again = self._sent[-count:]
        if self._window is not None:
            self._window = None  # a chunk is begun anew after a restart
            self.snapshot_begin()
        for event in again:
            self._append(event)
        return len(again)

    def garbage(self, row_id: int) -> None:
        """Let something stand in the log that is no event."""
        partition = self._partition((row_id,))
        self._broker.append(partition, b'{"id":0}', b"not json")
        self._note(partition, NOTHING)

    def marker(self, row_id: int) -> None:
        """Let a transaction of the producer end: its marker takes an offset."""
        partition = self._partition((row_id,))
        self._broker.append_marker(partition)
        self._note(partition, NOTHING)

    def add_partition(self) -> None:
        """Give the topic a partition more: from now on some keys go there."""
        added = self._broker.add_partition()
        self.said[added], self.watermarks[added] = [], []

    # What the index should be.

    def folded(self) -> dict[tuple[str, str], Row]:
        """Every committed row, by the id and routing of its document."""
        return {self._place(row): row for row in self._committed.values()}

    def _place(self, row: Row) -> Place:
        return self.place(row.id, str(row.tenant))

    def place(self, row_id: object, tenant: str) -> Place:
        """Where a row's document is."""
        scope = IdScope.GLOBAL if self.schema.global_ids else IdScope.TENANT_SCOPED
        return Place(joined_id(scope, key_part(tenant), joined(SOURCE, [key_part(row_id)])), tenant)

    def key_place(self, place: Place) -> Place:
        """Where the tombstone of a row is whose deletes do not tell their tenant; `place` is one of the row's."""
        name = key_place_id(joined(SOURCE, [place.document_id.rpartition("/")[2]]))
        return Place(name, name)

    def _key(self, row_id: int, tenant: object) -> Key:
        return (tenant, row_id) if self.schema.identity is Identity.TENANT_IN_KEY else (row_id,)

    def _locked(self, key: Key, txn: int | None) -> bool:
        return self._locks.get(key, txn) != txn or (txn is None and key in self._locks)

    def _next_serial(self) -> int:
        self._serial += 1
        return self._serial

    def _take_over(self, key: Key) -> None:
        row = self._rows.get(key)
        if row is None:
            self._committed.pop(key, None)
        else:
            self._committed[key] = row

    def _change(self, op: str, key: Key, before: Row | None, after: Row | None, txn: int | None) -> None:
        self._log(key, after, self._event(op, key, before, after), txn)

    def _change_key(self, key: Key, before: Row, new_key: Key, after: Row, txn: int | None) -> None:
        """Two events of one position, each telling the other's key in a header."""
        leaving = self._event("d", key, before, None)
        entering = self._event("c", new_key, before, after, moved=True)
        names = [("__debezium.newkey", orjson.dumps(self._key_columns(new_key)))]
        olds = [("__debezium.oldkey", orjson.dumps(self._key_columns(key)))]
        self._log(key, None, leaving._replace(headers=names), txn, more=False)
        self._log(new_key, after, entering._replace(headers=olds), txn)

    def _log(self, key: Key, after: Row | None, event: _Event, txn: int | None, *, more: bool = True) -> None:
        if after is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = after
            self.tenants.add(str(after.tenant))
        self.states[self._serial] = after
        self.serial_of[self._lsn] = self._serial
        if more:  # the halves of a key change share one position
            self._lsn += 1
        if txn is None:
            self._take_over(key)
            self._stream(event)
        else:
            self._locks[key] = txn
            self._open.setdefault(txn, []).append(event)

    def _event(self, op: str, key: Key, before: Row | None, after: Row | None, *, moved: bool = False) -> _Event:
        row = after or before
        assert row is not None
        columns = None if after is None else self._columns(after)
        if columns is not None and before is not None and self.schema.toast and before.content == row.content:
            columns["content"] = UNCHANGED
        old = None if before is None or moved else self._before(op, before)
        said = Said(self._place(row), self._lsn, self._serial, deletes=after is None)
        return _Event(key, builders.event(op, columns, old, lsn=self._lsn), (), said)

    def _before(self, op: str, before: Row) -> Mapping[str, object] | None:
        if self.schema.identity is Identity.FULL:
            return self._columns(before)
        if op == "u":
            return None
        # Absent NOT NULL columns hold the defaults of their types.
        default = {"id": 0, "tenant": 0 if isinstance(before.tenant, int) else "", "title": "", "url": ""}
        return {**default, "content": None, **self._key_columns(self._key(before.id, before.tenant))}

    def _columns(self, row: Row) -> dict[str, object]:
        return {
            "id": row.id,
            "tenant": row.tenant,
            "title": row.title,
            "content": row.content,
            "url": f"s{row.serial}",
        }

    def _key_columns(self, key: Key) -> dict[str, object]:
        return {"tenant": key[0], "id": key[1]} if len(key) > 1 else {"id": key[0]}

    def _stream(self, event: _Event) -> None:
        if self._window is not None:
            self._window.pop(event.key, None)
        self._sent.append(event)
        self._append(event)

    def _append(self, event: _Event) -> None:
        partition, key = self._partition(event.key), orjson.dumps(self._key_columns(event.key))
        self._broker.append(partition, key, orjson.dumps(event.value), event.headers)
        self._note(partition, event.said)
        if event.value["op"] == "d":
            self._broker.append(partition, key, None, event.headers)
            self._note(partition, NOTHING)

    def _note(self, partition: TopicPartition, said: Said) -> None:
        watermarks, already = self.watermarks[partition], self.said[partition]
        watermark = max(watermarks[-1], already[-1].version if already[-1].positioned else 0) if already else 0
        watermarks.append(watermark)
        already.append(said if said.positioned else said._replace(version=watermark))

    def _partition(self, key: Key) -> TopicPartition:
        number = zlib.crc32(orjson.dumps(self._key_columns(key))) % len(self.said)
        return sorted(self.said)[number]
