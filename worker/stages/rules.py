"""What the operator declared about one source, as the value that stages decide with."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

RESERVED_FIELDS: Final = frozenset({"tenant", "embedding", "sync"})
"""Document fields that Syncline writes itself; no column may be mapped onto them."""


class IdScope(StrEnum):
    """Whether `_id` is made of tenant, source and key, or of source and key alone."""

    TENANT_SCOPED = "tenant_scoped"
    GLOBAL = "global"


class FieldType(StrEnum):
    """What a column's JSON value means where no schema says it, or what it should become where one does.

    The first group reads bare values; a schema that knows better wins. What is `local` has no time zone, and gets none:
    Debezium counts and writes it as if it were in UTC, so that nothing but the declaration tells it from a moment. The
    second group is a choice that no schema can make: it is applied to what the schema's type gave.
    """

    AS_IS = "as_is"
    EPOCH_DAYS = "epoch_days"
    EPOCH_MILLIS = "epoch_millis"
    EPOCH_MICROS = "epoch_micros"
    EPOCH_NANOS = "epoch_nanos"
    LOCAL_MILLIS = "local_millis"
    LOCAL_MICROS = "local_micros"
    LOCAL_NANOS = "local_nanos"
    TIME_MILLIS = "time_millis"
    TIME_MICROS = "time_micros"
    TIME_NANOS = "time_nanos"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    LOCAL_TIME = "local_time"
    LOCAL_TIMESTAMP = "local_timestamp"
    DECIMAL = "decimal"
    BASE64 = "base64"

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"


CHOICES: Final = frozenset({FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN, FieldType.TEXT, FieldType.JSON})
"""The types that are applied also where a schema says what a value is."""


class OnBadField(StrEnum):
    """What a value that cannot be converted does: the record is rejected, or the field is null."""

    REJECT = "reject"
    NULL = "null"


class KeyMissing(StrEnum):
    """Where a key column may come from that the Kafka key lacks: nowhere, or the row."""

    REJECT = "reject"
    ROW = "row"


class TombstoneMeaning(StrEnum):
    """What a record without a value says: nothing new, its delete came before; or that its row is deleted."""

    FOLLOWS_DELETE = "follows_delete"
    DELETE = "delete"


class Locate(StrEnum):
    """Whether the index is searched for places of a row that no event tells."""

    AUTO = "auto"
    NEVER = "never"


class TenantInKey(StrEnum):
    """Why the tenant is in the Kafka key, where it is, and so which rows are one row and what a delete's key tells.

    AUTO: as PRIMARY_KEY, but a tenant in a delete's key that looks made up counts only where its row is stored.
    """

    AUTO = "auto"
    PRIMARY_KEY = "primary_key"
    MESSAGE_KEY = "message_key"


class TruncatePolicy(StrEnum):
    """What is done when the table was truncated: nothing, or every document that is older becomes a tombstone."""

    REJECT = "reject"
    DELETE_ALL = "delete_all"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One document field and the column that it comes from."""

    name: str
    column: str
    type: FieldType
    scale: int | None = None
    """Digits behind the point of a `decimal` that is written as bytes."""
    on_bad: OnBadField = OnBadField.REJECT
    has_default: bool = False
    default: str | int | float | bool | None = None
    """The document's value where the row has no such column; a column that is null stays null."""


@dataclass(frozen=True, slots=True)
class EmbedTemplate:
    """A text with document fields in it: each part is a piece of text and the field that follows it, if one does."""

    parts: tuple[tuple[str, str | None], ...]
    strip_html: bool = False


EmbedRule = tuple[str, ...] | EmbedTemplate
"""Which document fields are embedded: some of them in their order, or a text over them."""


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
    embed: EmbedRule
    table: str | None = None
    """What the events' source must end with: `articles`, `public.articles`, `app.public.articles`; None: any table."""
    tombstone: TombstoneMeaning = TombstoneMeaning.FOLLOWS_DELETE
    version_column: str | None = None
    """Column that orders the table's changes, in place of the source's position."""
    unavailable_placeholder: str = "__debezium_unavailable_value"
    key_missing: KeyMissing = KeyMissing.ROW
    locate: Locate = Locate.AUTO
    tenant_in_key: TenantInKey = TenantInKey.AUTO
    truncate: TruncatePolicy = TruncatePolicy.REJECT
    dropped: frozenset[str] = frozenset()
    """Columns that are known and left out on purpose."""
    wanted_columns: frozenset[str] = field(init=False, compare=False, repr=False)
    """Every column that decoding or mapping looks at; derived."""

    def __post_init__(self) -> None:
        columns = {*self.id_columns, self.tenant_column, *(rule.column for rule in self.fields)}
        if self.version_column is not None:
            columns.add(self.version_column)
        object.__setattr__(self, "wanted_columns", frozenset(columns))
