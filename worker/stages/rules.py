"""What the operator declared about one source, as the value that stages decide with."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RESERVED_FIELDS: Final = frozenset({"tenant", "embedding", "sync"})
"""Document fields that Syncline writes itself; no column may be mapped onto them."""


class IdScope(StrEnum):
    """Whether `_id` is made of tenant and key, or of the key alone."""

    TENANT_SCOPED = "tenant_scoped"
    GLOBAL = "global"


class FieldType(StrEnum):
    """What a column's JSON value means. Debezium writes times as bare integers; the unit is only in its schema."""

    AS_IS = "as_is"
    EPOCH_DAYS = "epoch_days"
    EPOCH_MILLIS = "epoch_millis"
    EPOCH_MICROS = "epoch_micros"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One document field and the column that it comes from."""

    name: str
    column: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class SourceRules:
    """How rows of one source become documents.

    `trusts_before` is True only where the table has REPLICA IDENTITY FULL: otherwise the old row in a Debezium event
    holds type defaults for absent NOT NULL columns (an absent tenant reads as `""`).
    """

    name: str
    id_columns: tuple[str, ...]
    tenant_column: str
    id_scope: IdScope
    trusts_before: bool
    version_epoch: int
    fields: tuple[FieldRule, ...]
    embed: tuple[str, ...]
