"""What one kind of row looks like, and which document it becomes."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from worker.settings.fields import EmbedForm, EmbedSettings, FieldForm, FieldSettings
from worker.settings.known import nearest
from worker.settings.types import Group, refuse
from worker.stages.embedding_text import embedded_fields
from worker.stages.rules import (
    RESERVED_FIELDS,
    EmbedRule,
    FieldRule,
    FieldType,
    IdScope,
    KeyMissing,
    Locate,
    SourceRules,
    TenantInKey,
    TombstoneMeaning,
    TruncatePolicy,
)


class ReplicaIdentity(StrEnum):
    """What PostgreSQL logs of the old row: `default` only the key, `full` every column."""

    DEFAULT = "default"
    FULL = "full"


class SourceSettings(Group):
    """One kind of row: its topics, how they are read, and how a row becomes a document."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    """Name of the source; part of every document's `_id` and `sync.key`, so it must never change."""
    topics: list[str] = Field(default_factory=list)
    """Kafka topics with this kind of row."""
    pattern: str | None = None
    """Regular expression for topics, instead of `topics`; must match the whole name."""
    format: Literal["debezium", "change-event"] = "debezium"
    """How events are written: `debezium` takes the JSON envelope and rows flattened by ExtractNewRecordState, with or
    without their schema; `change-event` is the plain contract of `schemas/change-event.v1.json`."""
    table: str | None = Field(default=None, min_length=1)
    """Table or collection that the events must come from: `articles`, `public.articles`, `app.public.articles`. Others
    are rejected. Unset: not checked. A flattened row says its table only with `add.fields=table`."""
    tombstone: TombstoneMeaning = TombstoneMeaning.FOLLOWS_DELETE
    """What a record without a value means: `follows_delete` skips it, because a delete event came before it; `delete`
    deletes the row that its key names, where nothing else says so (ExtractNewRecordState's default)."""
    version: str | None = Field(default=None, min_length=1)
    """Column that orders changes, in place of the database's position: an integer, or a time with its zone. It must
    rise with every change over the whole table, not row by row."""
    unavailable_placeholder: str = Field(default="__debezium_unavailable_value", min_length=1)
    """Debezium's `unavailable.value.placeholder`: what stands in for a value that an update did not touch."""
    replica_identity: ReplicaIdentity = ReplicaIdentity.DEFAULT
    """`full` if the table has REPLICA IDENTITY FULL. Only then the old row in an event is believed."""
    id: list[str] = Field(min_length=1)
    """Columns of the primary key, the tenant column left out."""
    key_missing: KeyMissing = KeyMissing.ROW
    """Where a column of `id` comes from that the record's key lacks: `row` takes it from the row (a table without a
    primary key has null keys, and its rows come from any partition), `reject` refuses such records. Where such a column
    may change, the former document is found by the old row alone: `replica_identity: full`."""
    tenant: str = Field(min_length=1)
    """Column that holds the tenant; `_routing`, the document's `tenant` field and its id follow from it."""
    tenant_in_key: TenantInKey = TenantInKey.AUTO
    """Why the tenant is in the record's key, where it is. `primary_key`: the table's primary key (or the index of its
    replica identity) holds it, so `id` names a row within its tenant, and the key of a delete tells the tenant.
    `message_key`: only Debezium's `message.key.columns` puts it there, so `id` is unique over all tenants, and in the
    key of a delete Debezium makes it up, unless `replica_identity` is `full`; it is not believed then, and the row is
    located. `auto`: as `primary_key`, but a delete whose tenant looks made up (0, empty, the column's default) and
    under which nothing is stored is rejected. Rows that were indexed before this became, or was no longer,
    `message_key` are found only after a new snapshot of the table (an incremental one will do)."""
    locate: Locate = Locate.AUTO
    """Where events tell neither the tenant of a deleted row nor that of an updated row's former place: `auto` searches
    the index for the row by its key, which must then be unique over all tenants; needs the privilege `maintenance` on
    the write alias. `never` rejects such deletes, and a row that changes its tenant leaves a copy behind."""
    document_id: IdScope = IdScope.TENANT_SCOPED
    """`tenant_scoped` makes `_id` of tenant, source and key (`acme/articles/1`); `global` leaves the tenant out
    (`articles/1`), for keys that are unique over all tenants."""
    truncate: TruncatePolicy = TruncatePolicy.REJECT
    """What a truncate of the table (`op: t`) does: `reject` refuses the record, and the documents stay; `delete_all`
    makes a tombstone of every document of this source that is older. Needs `table`, one topic, and the privilege
    `maintenance` on the write alias; Debezium leaves truncates out unless `skipped.operations` is `none`."""
    version_epoch: int = Field(default=0, ge=0, le=127)
    """Raised by one when the database is restored or fails over to a history with lower positions."""
    fields: dict[str, FieldForm] = Field(min_length=1)
    """Document field -> column name, or -> `{from: column, type: ...}`."""
    drop: list[str] = Field(default_factory=list)
    """Columns that are left out on purpose. All columns that `fields` does not name are; those that are listed here
    are no news to `syncline check`."""
    embed: EmbedForm
    """Document fields whose text is embedded, joined by a space in this order; or a text over them, such as
    `{template: "{title}. {content}", strip_html: true}`."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        if bool(self.topics) == (self.pattern is not None):
            yield "give either topics or pattern"
        if missing := [name for name in embedded_fields(self._embed_rule()) if name not in self.fields]:
            known = ", ".join(self.fields)
            yield (f"embed names {missing[0]!r}, which is not one of its fields: {known}{self._meant(missing[0])}")
        if taken := RESERVED_FIELDS & {name.split(".")[0] for name in self.fields}:
            yield f"fields: {min(taken)!r} is written by Syncline itself: choose another name"
        if own := [name for name in self.fields if name.startswith("_")]:
            yield (
                f"fields: {own[0]!r} begins with an underscore, as Elasticsearch's own fields do: choose another name"
            )
        if inside := [name for name in self.fields if any(name.startswith(f"{other}.") for other in self.fields)]:
            yield f"fields: {inside[0]!r} lies inside another field: one of the two needs another name"
        if self.tenant in self.id:
            yield f"id: leave the tenant column {self.tenant!r} out, it is added by itself"
        if self.version is not None and self.version in (*self.id, self.tenant):
            yield (
                f"version: {self.version!r} names the row and never changes, so every update would be taken for an old "
                "one: name a column that rises with every change"
            )
        yield from self._truncate_mistakes()
        if used := self.rules().wanted_columns & set(self.drop):
            yield f"drop: column {min(used)!r} is used by this source: take it out of one of them"

    def _truncate_mistakes(self) -> Iterator[str]:
        """A truncate empties one table, and with `delete_all` all of the source: the two must be the same."""
        if self.truncate is TruncatePolicy.REJECT:
            return
        if len(set(self.topics)) != 1 or self.table is None:
            yield (
                "truncate: delete_all deletes every document of this source, so all of them must come from one table: "
                "give one topic, and the table's name as table; or make a source of each table"
            )
        if self.version is not None:
            yield "truncate: delete_all does not go with version: a truncate has no row to read it from"
        if self.format != "debezium":
            yield f"truncate: delete_all does not go with format: {self.format}, which has no truncates"

    def _meant(self, field: str) -> str:
        hint = nearest(field, list(self.fields))
        return hint if hint.startswith("; did you mean") else ""

    def _embed_rule(self) -> EmbedRule:
        return self.embed.rule() if isinstance(self.embed, EmbedSettings) else tuple(self.embed)

    def rules(self) -> SourceRules:
        """Return these settings as the value that the stages decide with."""
        return SourceRules(
            name=self.name,
            id_columns=tuple(self.id),
            tenant_column=self.tenant,
            id_scope=self.document_id,
            trusts_before=self.replica_identity is ReplicaIdentity.FULL,
            version_epoch=self.version_epoch,
            fields=tuple(self._field_rule(name, value) for name, value in self.fields.items()),
            embed=self._embed_rule(),
            table=self.table,
            tombstone=self.tombstone,
            version_column=self.version,
            unavailable_placeholder=self.unavailable_placeholder,
            key_missing=self.key_missing,
            locate=self.locate,
            tenant_in_key=self.tenant_in_key,
            truncate=self.truncate,
            dropped=frozenset(self.drop),
        )

    @staticmethod
    def _field_rule(name: str, value: str | FieldSettings) -> FieldRule:
        if isinstance(value, str):
            return FieldRule(name, value, FieldType.AS_IS)
        return value.rule(name)
