"""Row to document: fields, identity, tenant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from worker.errors import RejectReason, SkipReason
from worker.records import Change, ColumnType, Operation, Place, Record, Rejection, RowChange, Skip, Stay
from worker.stages import identity
from worker.stages.conversion import convert, converter, expected, is_unavailable, unavailable_forms
from worker.stages.decode.json_values import check_depth
from worker.stages.rules import FieldRule, KeyMissing, Locate, OnBadField, SourceRules, TenantInKey, TombstoneMeaning
from worker.stages.tenants import (
    Tenant,
    TenantPlace,
    believes_key,
    doubt,
    tenant,
    tenant_known,
    tenant_of,
    tenant_of_text,
)

# Looked up once: an enumeration's members are slow to come by.
_UPSERT: Final = Operation.UPSERT
_NOTHING: Final = object()
# What `Place(...)` calls, at half its price: every record pays for one or two.
_place_of: Final = partial(tuple.__new__, Place)
_NO_PLACES: Final[frozenset[Place]] = frozenset()
_NO_STAYS: Final[Mapping[Place, tuple[Stay, ...]]] = {}
_NO_NAMES: Final[frozenset[str]] = frozenset()
_NO_FIELDS: Final[Mapping[str, object]] = {}
_NO_VERSIONS: Final[Mapping[str, int]] = {}
_NO_MENTIONS: Final[Mapping[Place, int]] = {}


class _Unmappable(Exception):  # noqa: N818 - carries a rejection up to RowMapper.map, never leaves this module
    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


class RowMapper:
    """Turns the rows of one source into changes; made once a source, so that a record pays for nothing but itself."""

    def __init__(self, rules: SourceRules) -> None:
        self._rules = rules
        self._fields = tuple((rule.name, rule.column, converter(rule.type, rule.scale), rule) for rule in rules.fields)
        self._texts, self._structures = unavailable_forms(rules.unavailable_placeholder)
        self._may_locate = rules.locate is Locate.AUTO
        self._scopes_keys = rules.tenant_in_key is not TenantInKey.MESSAGE_KEY
        self._believes_key = believes_key(rules)
        self._may_lack_tenant = not rules.trusts_before or rules.tombstone is TombstoneMeaning.DELETE

    def map(self, record: Record, change: RowChange, watermark: int) -> Change | Skip | Rejection:
        """Return the change in terms of documents, that there is none, or why it cannot become one; never raises.

        `watermark` is the highest version among the records before this one in its partition: the version of a change
        that has none of its own.
        """
        rules, version = self._rules, change.version
        absent = nulled = _NO_NAMES
        fields: Mapping[str, object] = _NO_FIELDS
        place: Place | None = None
        parts: list[str] = []
        try:
            parts = self._key_parts(change)
            if change.new_key and self._stays(change, parts):
                return Skip(SkipReason.KEY_CHANGE)
            joined_key = identity.joined(rules.name, parts)
            in_key = rules.tenant_column in change.key
            found = self._tenant_in_row(change) or self._tenant(change, in_key=in_key)
            key = self._source_key(found, parts, joined_key) if in_key else identity.shortened(joined_key)
            key_places, locates = self._unseen(change, found, key, in_key=in_key)
            if found is None:
                (place,) = key_places
            else:
                place = _place_of((identity.joined_id(rules.id_scope, found[1], joined_key), found[0]))
            if change.operation is _UPSERT:
                fields, absent, nulled = self._converted(change)
        except _Unmappable as unmappable:
            rejection = unmappable.rejection if place is None else replace(unmappable.rejection, place=place)
            departure = self._departure(record, change, watermark, parts, rejection)
            return rejection if departure is None else replace(rejection, departure=departure)
        if change.new_key and version and not (in_key and self._scopes_keys) and self._keeps_id(change, parts):
            # The row goes on elsewhere: its insert has the same position and must win.
            version -= 1
        left = _left(change, rules, parts) - {place} if change.before else _NO_PLACES
        former, follows = _NO_STAYS, None
        if change.former_key and found is not None:
            former = _former(change, rules, place, parts, watermark if version is None else version)
            follows = self._former_source_key(change, found, parts, in_key=in_key)
        positioned = version is not None
        # By position: two dozen names would cost half a microsecond, of the ten that a record may take.
        return Change(
            record,
            rules.name,
            key,
            change.operation,
            place,
            watermark if version is None else version,
            positioned,
            change.source_ts_ms,
            left,
            fields,
            absent,
            former,
            nulled,
            locates,
            key_places,
            None if change.operation is _UPSERT else doubt(change, rules),
            _NO_VERSIONS,
            _NO_MENTIONS,
            0,
            watermark if change.watermark is None else change.watermark,
            None,
            follows,
            bool(change.new_key) and not rules.trusts_before,
            version if former and version else 0,
        )

    def _departure(
        self, record: Record, change: RowChange, watermark: int, parts: Sequence[str], rejection: Rejection
    ) -> Change | None:
        """The deletion of a row at the place that a change takes it from which is rejected itself."""
        rules = self._rules
        if not parts or change.operation is not _UPSERT or not change.before or rules.tenant_column in change.key:
            return None
        now = tenant_of(change.row.get(rules.tenant_column))
        former = _parts_before(change, rules, parts)
        for place in _left(change, rules, parts):
            if now is not None and now.name == place.tenant and former == parts:
                return None
            return Change(
                record,
                rules.name,
                identity.shortened(identity.joined(rules.name, former)),
                Operation.DELETE,
                place,
                watermark if change.version is None else change.version,
                change.version is not None,
                change.source_ts_ms,
                rejection=rejection,
            )
        return None

    def _keeps_id(self, change: RowChange, parts: Sequence[str]) -> bool:
        """Whether the other half of a key change is of the same columns of `id`."""
        return _parts_in(change.new_key, self._rules, parts) == parts

    def _stays(self, change: RowChange, parts: Sequence[str]) -> bool:
        """Whether this delete is the half of a key change after which the row is where it was: its insert does all.

        So where columns of the key have changed that are no part of the row's identity. Where nobody knows the
        tenant, the insert is located.
        """
        if not self._keeps_id(change, parts):
            return False
        where, value = tenant_known(change, self._rules)
        if where is TenantPlace.KEY:
            return change.new_key.get(self._rules.tenant_column, value) == value
        return where is TenantPlace.UNKNOWN

    def _source_key(self, tenant: Tenant | None, parts: Sequence[str], joined_key: str) -> str:
        """The source key where the Kafka key holds the tenant column; `tenant` is None if nothing tells it."""
        if tenant is None or not self._scopes_keys:
            return identity.shortened(joined_key)
        return identity.source_key(self._rules.name, (tenant.id_part, *parts))

    def _former_source_key(
        self, change: RowChange, tenant: Tenant, parts: Sequence[str], *, in_key: bool
    ) -> str | None:
        """The source key that a row had before its key changed."""
        former = _parts_in(change.former_key, self._rules, parts)
        owner = tenant_of(change.former_key.get(self._rules.tenant_column, tenant.name)) if in_key else tenant
        if former is None or owner is None:
            return None
        return self._source_key(owner if in_key else None, former, identity.joined(self._rules.name, former))

    def _tenant(self, change: RowChange, *, in_key: bool) -> Tenant | None:
        """The tenant wherever it is; None for a delete whose tenant may be located."""
        rules = self._rules
        may_lack_it = change.operation is not _UPSERT and self._may_locate and not (in_key and self._scopes_keys)
        if may_lack_it and tenant_known(change, rules).where is TenantPlace.UNKNOWN:
            return None
        found = tenant(change, rules)
        if isinstance(found, Rejection):
            raise _Unmappable(found)
        return found

    def _unseen(
        self, change: RowChange, tenant: Tenant | None, source_key: str, *, in_key: bool
    ) -> tuple[frozenset[Place], bool]:
        """Where a tombstone of the row's key may be, and whether the row may be where the event does not tell."""
        if not self._may_locate or (in_key and self._believes_key):
            return _NO_PLACES, False
        locates = tenant is None or (change.operation is _UPSERT and not change.tells_moves)
        if not locates and not self._may_lack_tenant:
            return _NO_PLACES, False
        key_place = identity.key_place_id(source_key)
        return frozenset((_place_of((key_place, key_place)),)), locates

    def _key_parts(self, change: RowChange) -> list[str]:
        """The key columns are looked for in the Kafka key, then in the row, then in a `before` that may be believed."""
        parts = []
        for column in self._rules.id_columns:
            value = change.key.get(column, _NOTHING)
            if value is _NOTHING:
                value = _key_elsewhere(column, change, self._rules)
            if type(value) is str and value in self._texts:
                value = None
            try:
                parts.append(identity.key_part(value))
            except ValueError as error:
                raise _Unmappable(Rejection(RejectReason.KEY_MISSING, f"key column {column!r} {error}")) from None
        return parts

    def _tenant_in_row(self, change: RowChange) -> Tenant | None:
        """The tenant where it is nearly always, and what it nearly always is: a text in the row."""
        value = change.row.get(self._rules.tenant_column)
        return tenant_of_text(value) if type(value) is str and value not in self._texts else None

    def _converted(self, change: RowChange) -> tuple[Mapping[str, object], frozenset[str], frozenset[str]]:
        """The document's fields, the names of those that the event left out, and of those that are null for a fault."""
        row, columns = change.row, change.columns
        texts, structures = self._texts, self._structures
        values: dict[str, object] = {}
        absent: list[str] = []
        nulled: list[str] = []
        for name, column, plain, rule in self._fields:
            try:
                value = row[column]
            except KeyError:
                values[name] = _default(rule, row)
                continue
            kind = type(value)
            nested = kind is list or kind is dict
            if value in (structures if nested else texts):
                absent.append(name)
            elif plain is None and columns is None and not nested:
                values[name] = value
            else:
                known = None if columns is None else columns.get(column)
                try:
                    if nested:
                        check_depth(value)
                    if known is not None:
                        value = convert(value, rule.type, rule.scale, known)
                    elif plain is not None:
                        value = plain(value)
                    if nested:
                        check_depth(value)  # JSON in the texts of a list adds its own levels
                    values[name] = value
                except ValueError as error:
                    _refuse_unless_null(rule, known, error)
                    values[name] = None
                    nulled.append(name)
        return values, frozenset(absent) if absent else _NO_NAMES, frozenset(nulled) if nulled else _NO_NAMES


def _refuse_unless_null(rule: FieldRule, column: ColumnType | None, error: ValueError) -> None:
    if rule.on_bad is OnBadField.REJECT:
        wanted = expected(rule.type, column)
        raise _Unmappable(
            Rejection(RejectReason.FIELD_INVALID, f"column {rule.column!r} should be {wanted}: {error}")
        ) from None


def undeclared_columns(row: Mapping[str, object], rules: SourceRules) -> list[str]:
    """Return the columns of a row that the source's settings neither use nor drop: new ones, as a rule."""
    return sorted(row.keys() - rules.wanted_columns - rules.dropped)


def _key_elsewhere(column: str, change: RowChange, rules: SourceRules) -> object:
    if rules.key_missing is KeyMissing.REJECT:
        told = (
            f"key column {column!r} is not in the record's key: give the table a primary key, set "
            "message.key.columns, or set key_missing: row to take it from the row"
        )
        raise _Unmappable(Rejection(RejectReason.KEY_MISSING, told))
    return change.row.get(column, change.before.get(column))


def _left(change: RowChange, rules: SourceRules, parts: Sequence[str]) -> frozenset[Place]:
    """The place of the row before this change, where the event tells it and it may be believed."""
    value = change.before.get(rules.tenant_column)
    if is_unavailable(value, rules.unavailable_placeholder):
        return _NO_PLACES
    return _place(rules, value, _parts_before(change, rules, parts))


def _parts_before(change: RowChange, rules: SourceRules, parts: Sequence[str]) -> Sequence[str]:
    """The key's parts before this change: columns of `id` outside the record's key may change without a new key."""
    key, before, placeholder = change.key, change.before, rules.unavailable_placeholder
    if all(column in key for column in rules.id_columns):
        return parts
    outside = {
        column: before[column]
        for column in rules.id_columns
        if column not in key and column in before and not is_unavailable(before[column], placeholder)
    }
    return _parts_in(outside, rules, parts) or parts


def _parts_in(key: Mapping[str, object], rules: SourceRules, parts: Sequence[str]) -> list[str] | None:
    """The key's parts in another key of the same row; a column that it lacks is as it is in this one."""
    try:
        return [
            identity.key_part(key[column]) if column in key else part
            for column, part in zip(rules.id_columns, parts, strict=True)
        ]
    except ValueError:
        return None


def _former(
    change: RowChange, rules: SourceRules, place: Place, parts: Sequence[str], until: int
) -> Mapping[Place, tuple[Stay, ...]]:
    """The place of the row under its former key."""
    former = _parts_in(change.former_key, rules, parts)
    if former is None:
        return _NO_STAYS
    tenant = change.former_key.get(rules.tenant_column, place.tenant) if believes_key(rules) else place.tenant
    return dict.fromkeys(_place(rules, tenant, former) - {place}, (Stay(0, until),))


def _place(rules: SourceRules, tenant: object, parts: Iterable[str]) -> frozenset[Place]:
    known = tenant_of(tenant)
    if known is None:
        return _NO_PLACES
    joined_key = identity.joined(rules.name, parts)
    return frozenset((Place(identity.joined_id(rules.id_scope, known.id_part, joined_key), known.name),))


def _default(rule: FieldRule, row: Mapping[str, object]) -> object:
    if rule.has_default:
        return rule.default
    known = ", ".join(sorted(row))[:200]
    told = f"the row has no column {rule.column!r} for field {rule.name!r}; it has: {known}"
    raise _Unmappable(Rejection(RejectReason.FIELD_INVALID, told))
