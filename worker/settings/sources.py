"""What one kind of row looks like, and which document it becomes."""

import re
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from worker.settings.types import Group
from worker.stages.rules import RESERVED_FIELDS, FieldRule, FieldType, IdScope, SourceRules


class ReplicaIdentity(StrEnum):
    """What PostgreSQL logs of the old row: `default` only the key, `full` every column."""

    DEFAULT = "default"
    FULL = "full"


class FieldSettings(Group):
    """One document field: where its value comes from and what it is."""

    from_: str = Field(alias="from", min_length=1)
    """Column of the row."""
    type: FieldType = FieldType.AS_IS
    """What the JSON value means, where JSON alone does not say it: a Debezium `timestamp` is a bare integer."""


_COLUMN: Final = "<column>"
_RULE: Final = "<rule>"
FIELD_TAGS: Final = frozenset({_COLUMN, _RULE})
"""What pydantic writes into the path of a mistake inside a field; no operator wrote it."""


def _form_of(value: object) -> str | None:
    if isinstance(value, str):
        return _COLUMN
    return _RULE if isinstance(value, (dict, FieldSettings)) else None


# Told apart by form, so that a mistake in one form is not explained a second time as the other.
_Field = Annotated[
    Annotated[str, Field(min_length=1), Tag(_COLUMN)] | Annotated[FieldSettings, Tag(_RULE)],
    Discriminator(
        _form_of,
        custom_error_type="field_form",
        custom_error_message="should be a column name, or a mapping such as {from: column, type: json}",
    ),
]


class SourceSettings(Group):
    """One kind of row: its topics, how they are read, and how a row becomes a document."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    """Name of the source; part of every document's `sync.key`, so it must never change."""
    topics: list[str] = Field(default_factory=list)
    """Kafka topics with this kind of row."""
    pattern: str | None = None
    """Regular expression for topics, instead of `topics`; must match the whole name."""
    format: Literal["debezium"] = "debezium"
    """How events are written: `debezium` is the JSON envelope, with or without its schema."""
    replica_identity: ReplicaIdentity = ReplicaIdentity.DEFAULT
    """`full` if the table has REPLICA IDENTITY FULL. Only then the old row in an event is believed."""
    id: list[str] = Field(min_length=1)
    """Columns of the primary key, the tenant column left out."""
    tenant: str = Field(min_length=1)
    """Column that holds the tenant; `_routing`, the document's `tenant` field and its id follow from it."""
    document_id: IdScope = IdScope.TENANT_SCOPED
    """`tenant_scoped` joins tenant and key into `_id`; `global` is for keys that are unique over all tenants."""
    version_epoch: int = Field(default=0, ge=0, le=127)
    """Raised by one when the database is restored or fails over to a history with lower positions."""
    fields: dict[str, _Field] = Field(min_length=1)
    """Document field -> column name, or -> `{from: column, type: ...}`."""
    embed: list[str] = Field(min_length=1)
    """Document fields whose text is embedded, joined by a space in this order."""

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
        if bool(self.topics) == (self.pattern is not None):
            raise ValueError("give either topics or pattern")
        if missing := [name for name in self.embed if name not in self.fields]:
            raise ValueError(f"embed names {missing[0]!r}, which is not one of its fields: {', '.join(self.fields)}")
        if taken := RESERVED_FIELDS & {name.split(".")[0] for name in self.fields}:
            raise ValueError(f"fields: {min(taken)!r} is written by Syncline itself: choose another name")
        if inside := [name for name in self.fields if any(name.startswith(f"{other}.") for other in self.fields)]:
            raise ValueError(f"fields: {inside[0]!r} lies inside another field: one of the two needs another name")
        if self.tenant in self.id:
            raise ValueError(f"id: leave the tenant column {self.tenant!r} out, it is added by itself")
        return self

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
            embed=tuple(self.embed),
        )

    @staticmethod
    def _field_rule(name: str, value: str | FieldSettings) -> FieldRule:
        if isinstance(value, str):
            return FieldRule(name, value, FieldType.AS_IS)
        return FieldRule(name, value.from_, value.type)
