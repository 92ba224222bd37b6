"""Values for tests: each has sensible defaults, so that a test names only what it is about."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from worker.records import Change, Operation, Place, Position, Record, Stored, Unit
from worker.stages.identity import joined, joined_id, key_part, key_place_id, source_key
from worker.stages.rules import FieldRule, FieldType, IdScope, SourceRules

TOPIC = "cms.public.articles"
TENANT = "acme"
TEXT: Mapping[str, object] = {"title": "Title", "content": "Content"}


def record(  # noqa: PLR0913 - a builder takes all that a test may be about
    value: object = b"{}",
    key: object = b'{"id":1}',
    *,
    offset: int = 0,
    topic: str = TOPIC,
    partition: int = 0,
    epoch: int = 0,
    headers: Iterable[tuple[str, bytes]] = (),
    timestamp_ms: int = 1_795_298_512_584,
) -> Record:
    """Key and value may be bytes, None, or anything else that is then written as JSON."""
    position = Position(topic, partition, offset, epoch)
    return Record(position, _bytes(key), _bytes(value), tuple(headers), timestamp_ms)


def _bytes(value: object) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else orjson.dumps(value)


def row(row_id: object = 1, tenant: object = TENANT, **columns: object) -> dict[str, object]:
    """A row that fits `rules()`."""
    return {"id": row_id, "tenant": tenant, **TEXT, **columns}


def event(
    op: object = "c",
    after: object = None,
    before: object = None,
    *,
    lsn: object = 100,
    ts_ms: object = 1_795_298_512_185,
    **source: object,
) -> dict[str, Any]:
    """A Debezium envelope as the PostgreSQL connector writes it, `after` being `row()` unless the row is gone."""
    return {
        "before": before,
        "after": row() if after is None and op in ("c", "u", "r") else after,
        "source": {"connector": "postgresql", "ts_ms": ts_ms, "snapshot": "false", "lsn": lsn, **source},
        "op": op,
        "ts_ms": 1_795_298_512_252,
        "transaction": None,
    }


def rules(  # noqa: PLR0913 - see record
    *,
    name: str = "articles",
    id_columns: Sequence[str] = ("id",),
    tenant_column: str = "tenant",
    id_scope: IdScope = IdScope.TENANT_SCOPED,
    trusts_before: bool = False,
    version_epoch: int = 0,
    fields: Mapping[str, str | tuple[str, FieldType]] | None = None,
    embed: Sequence[str] = ("title", "content"),
) -> SourceRules:
    """`fields` maps a document field to its column, or to column and type."""
    columns = {"title": "title", "content": "content"} if fields is None else fields
    return SourceRules(
        name=name,
        id_columns=tuple(id_columns),
        tenant_column=tenant_column,
        id_scope=id_scope,
        trusts_before=trusts_before,
        version_epoch=version_epoch,
        fields=tuple(_field_rule(field, column) for field, column in columns.items()),
        embed=tuple(embed),
    )


def _field_rule(name: str, column: str | tuple[str, FieldType]) -> FieldRule:
    return FieldRule(name, column, FieldType.AS_IS) if isinstance(column, str) else FieldRule(name, *column)


def place(tenant: str = TENANT, row_id: object = 1, source: str = "articles") -> Place:
    """Where `rules()` put a row."""
    joined_key = joined(source, [key_part(row_id)])
    return Place(joined_id(IdScope.TENANT_SCOPED, key_part(tenant), joined_key), tenant)


def change(  # noqa: PLR0913 - see record
    version: int = 1,
    *,
    tenant: str = TENANT,
    row_id: object = 1,
    source: str = "articles",
    operation: Operation = Operation.UPSERT,
    positioned: bool = True,
    fields: Mapping[str, object] | None = None,
    absent: Iterable[str] = (),
    left: Iterable[str] = (),
    source_ts_ms: int | None = None,
    of: Record | None = None,
) -> Change:
    """`left` names tenants. The record's offset is the version unless a record is given in `of`."""
    upsert = operation is Operation.UPSERT
    return Change(
        record=record(offset=version) if of is None else of,
        source=source,
        key=source_key(source, [key_part(row_id)]),
        operation=operation,
        place=place(tenant, row_id, source),
        version=version,
        positioned=positioned,
        source_ts_ms=source_ts_ms,
        left=frozenset(place(former, row_id, source) for former in left),
        fields=(TEXT if fields is None else fields) if upsert else {},
        absent=frozenset(absent),
    )


def deletion(
    version: int = 1,
    *,
    tenant: str = TENANT,
    row_id: object = 1,
    positioned: bool = True,
    left: Iterable[str] = (),
    source_ts_ms: int | None = None,
) -> Change:
    """A `change` that deletes the row."""
    return change(
        version,
        tenant=tenant,
        row_id=row_id,
        operation=Operation.DELETE,
        positioned=positioned,
        left=left,
        source_ts_ms=source_ts_ms,
    )


def key_place(row_id: object = 1) -> Place:
    """Where a deletion of this row leaves its tombstone if it does not know the tenant."""
    found = key_place_id(source_key("articles", [key_part(row_id)]))
    return Place(found, found)


def located(one: Change, row_id: object = 1) -> Change:
    """The same change where only the index knows all places of its row."""
    return replace(one, locates=True, key_places=frozenset({key_place(row_id)}))


def untold_deletion(version: int = 1, *, row_id: object = 1, positioned: bool = True) -> Change:
    """A deletion that does not tell the tenant."""
    gone = deletion(version, row_id=row_id, positioned=positioned)
    return replace(located(gone, row_id), place=key_place(row_id))


def unit(newest: Change, *hidden: Position) -> Unit:
    """What `newest` makes alone, or with the positions that it hides."""
    return Unit(newest, hidden)


def stored(
    version: int = 1,
    *,
    deleted: bool = False,
    text_hash: str | None = None,
    model: str | None = None,
    vector: tuple[float, ...] | None = None,
    body: Mapping[str, object] | None = None,
) -> Stored:
    """A stored document; without vector unless given."""
    return Stored(version, deleted, text_hash, model, vector, body or {})
