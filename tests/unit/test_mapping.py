from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tests.builders import TENANT, key_place, place, record, row, rules
from worker.errors import RejectReason
from worker.records import Change, ColumnType, Operation, Place, Rejection, RowChange
from worker.stages.conversion import UNAVAILABLE, convert, is_unavailable
from worker.stages.documents import document
from worker.stages.mapping import RowMapper, undeclared_columns
from worker.stages.rules import (
    FieldRule,
    FieldType,
    IdScope,
    KeyMissing,
    Locate,
    OnBadField,
    SourceRules,
    TombstoneMeaning,
)
from worker.stages.tenants import TenantPlace, tenant_known

RECORD = record(offset=42)
COMPOSITE = {"tenant": "acme", "id": 1}


def row_change(
    after: Mapping[str, object] | None = None,
    *,
    key: Mapping[str, object] | None = None,
    before: Mapping[str, object] | None = None,
    version: int | None = 7,
    columns: Mapping[str, ColumnType] | None = None,
    former_key: Mapping[str, object] | None = None,
) -> RowChange:
    """An upsert of `after`, or a delete if there is none."""
    return RowChange(
        operation=Operation.DELETE if after is None else Operation.UPSERT,
        key={"id": 1} if key is None else key,
        row=after or {},
        before=before or {},
        version=version,
        source_ts_ms=5,
        columns=columns,
        former_key=former_key or {},
    )


def field(name: str, field_type: FieldType = FieldType.AS_IS, **others: Any) -> FieldRule:  # noqa: ANN401
    return FieldRule(name, name, field_type, **others)


def mapped(change: RowChange, given: SourceRules | None = None, watermark: int = 0) -> Change:
    outcome = RowMapper(given or rules()).map(RECORD, change, watermark)
    assert isinstance(outcome, Change), outcome
    return outcome


def rejected(change: RowChange, given: SourceRules | None = None) -> Rejection:
    outcome = RowMapper(given or rules()).map(RECORD, change, 0)
    assert isinstance(outcome, Rejection), outcome
    assert len(outcome.message) < 500
    return outcome


def test_a_row_becomes_a_document_in_its_tenant() -> None:
    assert mapped(row_change(row())) == Change(
        record=RECORD,
        source="articles",
        key="articles/1",
        operation=Operation.UPSERT,
        place=Place("acme/articles/1", "acme"),
        version=7,
        positioned=True,
        source_ts_ms=5,
        fields={"title": "Title", "content": "Content"},
        locates=True,
        key_places=frozenset({key_place()}),
    )


def test_a_change_without_a_position_takes_the_watermark() -> None:
    unpositioned = mapped(row_change(row(), version=None), watermark=99)
    assert (unpositioned.version, unpositioned.positioned) == (99, False)
    positioned = mapped(row_change(row(), version=7), watermark=99)
    assert (positioned.version, positioned.positioned) == (7, True)


# --- the tenant


@pytest.mark.parametrize(
    ("after", "key", "before", "tenant"),
    [
        (row(tenant="in row"), {"id": 1, "tenant": "in key"}, {"tenant": "in before"}, "in row"),
        (None, {"id": 1, "tenant": "in key"}, {"tenant": "in before"}, "in key"),
        (None, {"id": 1}, {"tenant": "in before"}, "in before"),
    ],
    ids=["row", "key", "before"],
)
def test_the_tenant_is_looked_for_in_the_row_then_the_key_then_before(
    after: Mapping[str, object] | None, key: Mapping[str, object], before: Mapping[str, object], tenant: str
) -> None:
    assert mapped(row_change(after, key=key, before=before)).place.tenant == tenant


def test_a_delete_that_does_not_carry_its_tenant_is_located_and_lies_where_its_key_does() -> None:
    found = mapped(row_change(None))
    assert (found.place, found.key_places, found.locates) == (key_place(), frozenset({key_place()}), True)
    assert found.key == mapped(row_change(row())).key


def test_or_it_is_rejected_with_the_remedies_where_nothing_may_be_located() -> None:
    found = rejected(row_change(None), replace(rules(), locate=Locate.NEVER))
    assert found == Rejection(
        RejectReason.TENANT_UNKNOWN,
        "the event does not carry tenant column 'tenant': make it part of the primary key, "
        "or set REPLICA IDENTITY FULL and replica_identity: full, or set locate: auto",
    )


@pytest.mark.parametrize("key", [{"id": 1, "tenant": UNAVAILABLE}, {"id": 1, "tenant": None}])
def test_a_key_that_should_tell_the_tenant_and_does_not_is_rejected(key: dict[str, object]) -> None:
    assert rejected(row_change(None, key=key)).reason in {RejectReason.TENANT_UNKNOWN, RejectReason.TENANT_MISSING}


FULL = rules(trusts_before=True)


@pytest.mark.parametrize(
    ("change", "given", "locates", "has_key_place"),
    [
        (row_change(row()), rules(), True, True),
        (row_change(row(), key={"id": 1, "tenant": "acme"}), rules(), False, False),
        (row_change(None, key={"id": 1, "tenant": "acme"}), rules(), False, False),
        (row_change(row()), replace(rules(), locate=Locate.NEVER), False, False),
        (replace(row_change(row()), tells_moves=True), FULL, False, False),
        (row_change(None, before=row()), FULL, False, False),
        (row_change(row()), FULL, True, True),
        (replace(row_change(row()), tells_moves=True), rules(), False, True),
        (row_change(None, before=row()), rules(), False, True),
        (replace(row_change(row()), tells_moves=True), replace(FULL, tombstone=TombstoneMeaning.DELETE), False, True),
    ],
    ids=[
        "default identity",
        "tenant in the key",
        "delete with the tenant in the key",
        "never",
        "full identity",
        "delete under full identity",
        "flattened under full identity",
        "who writes the event tells moves, but perhaps no tenant of a delete",
        "and here he does",
        "a bare tombstone may follow",
    ],
)
def test_only_rows_whose_places_no_event_tells_are_located(
    *, change: RowChange, given: SourceRules, locates: bool, has_key_place: bool
) -> None:
    found = mapped(change, given)
    assert (found.locates, found.key_places) == (locates, {key_place()} if has_key_place else frozenset())


def test_an_unchanged_value_that_is_left_out_is_no_tenant() -> None:
    assert rejected(row_change(row(tenant=UNAVAILABLE))).reason is RejectReason.TENANT_UNKNOWN


@pytest.mark.parametrize(
    "tenant", [None, "", " ", "\t\n", "\u00a0", {"name": "acme"}, ["acme"], True, 1.5, "x" * 513, "é" * 257]
)
def test_a_tenant_that_is_null_blank_too_long_or_no_text_is_rejected(tenant: object) -> None:
    found = rejected(row_change(row(tenant=tenant)))
    assert found.reason is RejectReason.TENANT_MISSING
    assert "'tenant'" in found.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (row_change(row(tenant=None)), "tenant column 'tenant' is null: a tenant is a text or an integer"),
        (row_change(row(tenant=" ")), "tenant column 'tenant' is blank: a tenant is a text or an integer"),
        (
            row_change(row(tenant="é" * 257)),
            "tenant column 'tenant' has 514 bytes, more than the 512 allowed: a tenant is a text or an integer",
        ),
        (row_change(row(tenant=["acme"])), "tenant column 'tenant' is of type list: a tenant is a text or an integer"),
        (
            row_change({"id": 1}),
            (
                "the event does not carry tenant column 'tenant': "
                "make it part of the primary key, or set REPLICA IDENTITY FULL and replica_identity: full"
            ),
        ),
    ],
    ids=["null", "blank", "long", "list", "nowhere"],
)
def test_why_there_is_no_tenant_is_told(change: RowChange, message: str) -> None:
    assert rejected(change).message == message


def test_a_missing_tenant_in_the_row_is_not_made_up_from_the_key() -> None:
    assert rejected(row_change(row(tenant=None), key=COMPOSITE)).reason is RejectReason.TENANT_MISSING


@pytest.mark.parametrize("tenant", [7, 0, -1])
def test_a_numeric_tenant_is_its_digits_for_routing_and_id_alike(tenant: int) -> None:
    assert mapped(row_change(row(tenant=tenant))).place == place(str(tenant))


def test_a_tenant_of_512_bytes_is_taken_and_kept_as_it_is() -> None:
    assert mapped(row_change(row(tenant="é" * 256))).place.tenant == "é" * 256
    assert mapped(row_change(row(tenant=" Acme "))).place.tenant == " Acme "


def test_tenants_that_differ_only_in_blanks_share_no_id() -> None:
    places = [mapped(row_change(row(tenant=tenant))).place for tenant in ("acme", " acme", "acme ", "acme\u00a0")]
    assert len({found.document_id for found in places}) == len(places)
    assert [found.tenant for found in places] == ["acme", " acme", "acme ", "acme\u00a0"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (row_change(row(), key=COMPOSITE, before=row()), TenantPlace.ROW),
        (row_change(row(tenant=None), key=COMPOSITE), TenantPlace.ROW),
        (row_change(None, key=COMPOSITE, before=row()), TenantPlace.KEY),
        (row_change(row(tenant=UNAVAILABLE), key=COMPOSITE), TenantPlace.KEY),
        (row_change(None, before=row()), TenantPlace.BEFORE),
        (row_change(None), TenantPlace.UNKNOWN),
        (row_change(row(tenant=[UNAVAILABLE])), TenantPlace.UNKNOWN),
    ],
)
def test_where_the_tenant_is_known_from_is_a_value(change: RowChange, where: TenantPlace) -> None:
    assert tenant_known(change, rules()).where is where


def test_a_placeholder_of_ones_own_is_no_tenant_and_debeziums_is_then_a_text() -> None:
    given = replace(rules(), unavailable_placeholder="gone")
    assert mapped(row_change(row(tenant="gone"), key=COMPOSITE), given).place == place("acme")
    assert tenant_known(row_change(row(tenant="gone"), key=COMPOSITE), given) == (TenantPlace.KEY, "acme")
    assert tenant_known(row_change(row(tenant=UNAVAILABLE)), given) == (TenantPlace.ROW, UNAVAILABLE)
    assert mapped(row_change(row(), before=row(tenant="gone")), given).left == frozenset()
    assert mapped(row_change(row(), before=row(tenant=UNAVAILABLE)), given).left == {place(UNAVAILABLE)}


def test_a_tenant_that_the_row_leaves_out_as_unchanged_is_taken_from_the_key() -> None:
    assert mapped(row_change(row(tenant=UNAVAILABLE), key=COMPOSITE)).place == place("acme")


# --- moves between tenants


def test_a_row_that_believably_was_in_another_tenant_leaves_it() -> None:
    moved = mapped(row_change(row(tenant="globex"), before=row(tenant="acme")))
    assert moved.place == place("globex")
    assert moved.left == {place("acme")}
    assert moved.key == mapped(row_change(row(tenant="acme"))).key  # so both are one unit


@pytest.mark.parametrize("before", [{}, row(), row(tenant=None), row(tenant=""), row(tenant=UNAVAILABLE), {"id": 1}])
def test_a_row_that_stays_or_whose_former_tenant_is_not_known_leaves_nothing(before: Mapping[str, object]) -> None:
    assert mapped(row_change(row(), before=before)).left == frozenset()


def test_a_delete_is_of_the_place_where_the_row_was() -> None:
    deleted = mapped(row_change(None, before=row(tenant="globex")))
    assert (deleted.operation, deleted.place, deleted.left) == (Operation.DELETE, place("globex"), frozenset())


def test_with_ids_unique_over_tenants_a_move_keeps_the_id_and_changes_the_routing() -> None:
    moved = mapped(row_change(row(tenant="globex"), before=row()), rules(id_scope=IdScope.GLOBAL))
    assert moved.place == Place("articles/1", "globex")
    assert moved.left == {Place("articles/1", "acme")}


BY_SLUG = rules(id_columns=["slug"], trusts_before=True)
"""The id's column is not in the record's key, so its change is an update like any other."""


def by_slug(slug: str, tenant: str = TENANT) -> Place:
    return Place(f"{tenant}/articles/{slug}", tenant)


@pytest.mark.parametrize("tenant", [TENANT, "globex"])
def test_a_row_whose_id_changes_outside_the_records_key_leaves_its_former_document(tenant: str) -> None:
    renamed = mapped(row_change(row(tenant=tenant, slug="new"), before=row(slug="old")), BY_SLUG)
    assert renamed.place == by_slug("new", tenant)
    assert renamed.left == {by_slug("old")}


@pytest.mark.parametrize("slug", ["new", UNAVAILABLE, None])
def test_one_whose_former_id_is_the_same_or_not_told_leaves_nothing(slug: object) -> None:
    assert mapped(row_change(row(slug="new"), before=row(slug=slug)), BY_SLUG).left == frozenset()
    assert mapped(row_change(row(slug="new"), before=row()), BY_SLUG).left == frozenset()


def test_one_that_is_rejected_leaves_it_all_the_same() -> None:
    given = replace(BY_SLUG, fields=(field("n", FieldType.INTEGER),))
    outcome = RowMapper(given).map(RECORD, row_change(row(slug="new", n="x"), before=row(slug="old")), 0)
    assert isinstance(outcome, Rejection)
    assert outcome.departure is not None
    assert (outcome.departure.key, outcome.departure.place) == ("articles/old", by_slug("old"))
    stays = RowMapper(given).map(RECORD, row_change(row(slug="new", n="x"), before=row(slug="new")), 0)
    assert isinstance(stays, Rejection)
    assert stays.departure is None


# --- the key


def test_the_halves_of_a_changed_key_are_two_rows() -> None:
    gone = mapped(row_change(None, key={"id": 2}, before=row(2)))
    here = mapped(row_change(row(100), key={"id": 100}))
    assert gone.place != here.place
    assert gone.key != here.key
    assert here.left == frozenset()


def test_rows_of_two_tenants_with_one_key_are_two_rows_where_the_tenant_is_part_of_the_key() -> None:
    keys = {
        mapped(row_change(row(tenant=tenant), key={"tenant": tenant, "id": 1})).key for tenant in ("acme", "globex")
    }
    assert keys == {"articles/acme/1", "articles/globex/1"}


@pytest.mark.parametrize(
    ("key", "after", "before", "document_id"),
    [
        ({"id": 5}, row(6), row(7), "acme/articles/5"),
        ({}, row(6), row(7), "acme/articles/6"),
        ({"tenant": TENANT}, None, row(7), "acme/articles/7"),
    ],
    ids=["key", "row", "before"],
)
def test_key_columns_are_looked_for_in_the_key_then_the_row_then_before(
    key: Mapping[str, object],
    after: Mapping[str, object] | None,
    before: Mapping[str, object],
    document_id: str,
) -> None:
    assert mapped(row_change(after, key=key, before=before)).place.document_id == document_id


def test_several_key_columns_are_joined_in_the_declared_order() -> None:
    given = rules(id_columns=("part", "id"))
    assert mapped(row_change(row(), key={"id": 1, "part": "a/b"}), given).place.document_id == "acme/articles/a%2Fb/1"


@pytest.mark.parametrize("value", [None, "", UNAVAILABLE])
def test_a_key_column_that_identifies_nothing_is_rejected_by_name(value: object) -> None:
    found = rejected(row_change(row(), key={"id": value}))
    assert found.reason is RejectReason.KEY_MISSING
    assert "key column 'id' is null or blank" in found.message
    assert "message.key.columns" in found.message


def test_a_key_column_that_is_nowhere_is_rejected_by_name() -> None:
    found = rejected(row_change({"tenant": TENANT, "title": "T", "content": "C"}, key={}))
    assert found.reason is RejectReason.KEY_MISSING
    assert "'id'" in found.message


def test_a_number_of_more_than_64_bits_is_no_key() -> None:
    found = rejected(row_change(row(), key={"id": 2.0**64}))
    assert found.reason is RejectReason.KEY_MISSING
    assert "more than 64 bits" in found.message
    assert "write it as text" in found.message


def test_a_key_that_must_not_come_from_the_row_is_rejected_with_the_remedy() -> None:
    strict = replace(rules(), key_missing=KeyMissing.REJECT)
    found = rejected(row_change(row(), key={}), strict)
    assert found.reason is RejectReason.KEY_MISSING
    assert found.message == (
        "key column 'id' is not in the record's key: give the table a primary key, set message.key.columns, "
        "or set key_missing: row to take it from the row"
    )
    assert mapped(row_change(row(), key={"id": 1}), strict).place == place()


# --- the former key


def test_a_row_under_a_new_key_may_take_values_from_its_former_place_and_writes_nothing_there() -> None:
    here = mapped(row_change(row(100), key={"id": 100}, former_key={"id": 2}))
    assert (here.place, here.left) == (place(row_id=100), frozenset())
    assert here.former.keys() == {place(row_id=2)}


def test_a_tenant_in_the_former_key_is_where_the_row_was() -> None:
    here = mapped(row_change(row(tenant="globex"), key={"tenant": "globex", "id": 1}, former_key=COMPOSITE))
    assert here.former.keys() == {place("acme")}


def test_a_column_that_the_former_key_lacks_is_as_it_is_now() -> None:
    given = rules(id_columns=("part", "id"))
    here = mapped(row_change(row(), key={"part": "b", "id": 1}, former_key={"part": "a"}), given)
    assert here.former.keys() == {Place("acme/articles/a/1", "acme")}


@pytest.mark.parametrize("former_key", [{}, {"id": 1}, {"id": None}, {"id": ""}, {"tenant": "", "id": 2}])
def test_a_former_key_that_is_the_same_or_identifies_nothing_is_no_place(former_key: Mapping[str, object]) -> None:
    assert not mapped(row_change(row(), former_key=former_key)).former


# --- the fields


def test_fields_take_their_declared_columns_and_others_are_left_out() -> None:
    given = rules(fields={"meta.name": "title", "day": ("updated", FieldType.EPOCH_DAYS), "nothing": "gone"})
    fields = mapped(row_change(row(updated=20778, gone=None, secret="s")), given).fields
    assert fields == {"meta.name": "Title", "day": "2026-11-21", "nothing": None}


@pytest.mark.parametrize("value", [UNAVAILABLE, [UNAVAILABLE]])
def test_an_unchanged_value_that_is_left_out_becomes_absent_and_never_a_field(value: object) -> None:
    found = mapped(row_change(row(content=value)))
    assert found.fields == {"title": "Title"}
    assert found.absent == {"content"}


def test_an_unchanged_value_is_absent_even_where_the_column_has_a_type() -> None:
    given = rules(fields={"raw": ("raw", FieldType.JSON)})
    assert mapped(row_change(row(raw=UNAVAILABLE)), given).absent == {"raw"}


def test_a_value_that_does_not_fit_is_rejected_with_column_type_and_value() -> None:
    given = rules(fields={"published": ("ts", FieldType.EPOCH_MILLIS)})
    found = rejected(row_change(row(ts=9223372036825200)), given)
    assert found.reason is RejectReason.FIELD_INVALID
    assert found.message == "column 'ts' should be epoch_millis: 9223372036825200 is out of range (infinity?)"


def test_a_rejection_tells_where_the_document_would_have_been_if_that_was_known_by_then() -> None:
    bad = rules(fields={"published": ("ts", FieldType.EPOCH_MILLIS)})
    assert rejected(row_change(row(ts="x")), bad).place == place()
    assert rejected(row_change(row(tenant=None))).place is None
    assert rejected(row_change(row(), key={"id": None})).place is None


def test_a_column_that_the_row_lacks_is_rejected_with_those_it_has() -> None:
    columns = {f"column{number:04}": 1 for number in range(2000)}
    found = rejected(row_change({"id": 1, "tenant": TENANT, **columns}))
    assert found.reason is RejectReason.FIELD_INVALID
    known = ", ".join(columns)[:200]
    assert found.message == f"the row has no column 'title' for field 'title'; it has: {known}"


def test_of_a_delete_no_field_is_wanted() -> None:
    deleted = mapped(row_change(None, key=COMPOSITE))
    assert (deleted.fields, deleted.absent) == ({}, frozenset())


def test_the_events_schema_says_what_a_column_is() -> None:
    given = replace(rules(), fields=(field("at", FieldType.EPOCH_MICROS), field("price"), field("note")))
    columns = {
        "at": ColumnType("int64", "io.debezium.time.Timestamp"),
        "price": ColumnType("bytes", "org.apache.kafka.connect.data.Decimal", {"scale": "2"}),
    }
    found = mapped(row_change(row(at=1767323045678, price="AJY=", note="as it is"), columns=columns), given)
    assert found.fields == {"at": "2026-01-02T03:04:05.678000", "price": "1.50", "note": "as it is"}


@pytest.mark.parametrize("columns", [None, {}, {"price": ColumnType("bytes")}])
def test_a_declared_scale_counts_where_no_schema_tells_one(columns: Mapping[str, ColumnType] | None) -> None:
    given = replace(rules(), fields=(field("price", FieldType.DECIMAL, scale=2),))
    assert mapped(row_change(row(price="AJY="), columns=columns), given).fields == {"price": "1.50"}


def test_a_value_that_is_not_what_the_schema_says_is_rejected_with_the_schemas_type() -> None:
    columns = {"at": ColumnType("int64", "io.debezium.time.Timestamp")}
    found = rejected(row_change(row(at=9223372036825200), columns=columns), replace(rules(), fields=(field("at"),)))
    assert found.message == (
        "column 'at' should be io.debezium.time.Timestamp: 9223372036825200 is out of range (infinity?)"
    )


def test_a_bad_value_is_null_where_the_operator_said_so_and_is_told_of() -> None:
    given = replace(
        rules(),
        fields=(
            field("at", FieldType.EPOCH_MILLIS, on_bad=OnBadField.NULL),
            field("n", FieldType.INTEGER, on_bad=OnBadField.NULL),
        ),
    )
    found = mapped(row_change(row(at=9223372036825200, n=None)), given)
    assert found.fields == {"at": None, "n": None}
    assert found.nulled == {"at"}
    assert found.absent == frozenset()


def nest(levels: int, *, objects: bool) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value, "b": 2} if objects else [0, value]
    return value


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("levels", [201, 255, 1020])
@pytest.mark.parametrize("columns", [None, {}, {"title": ColumnType("array", items=ColumnType("array"))}])
@pytest.mark.parametrize("field_type", [FieldType.AS_IS, FieldType.TEXT, FieldType.INTEGER])
def test_a_value_nested_too_deep_to_be_written_is_rejected_in_a_mapped_column_only(
    field_type: FieldType, columns: Mapping[str, ColumnType] | None, levels: int, *, objects: bool
) -> None:
    deep = nest(levels, objects=objects)
    given = replace(rules(), fields=(field("title", field_type),))
    found = rejected(row_change(row(title=deep), columns=columns), given)
    assert found.reason is RejectReason.FIELD_INVALID
    assert "nested deeper than 200 levels" in found.message
    assert mapped(row_change(row(title=None, other=deep), columns=columns), given).fields == {"title": None}
    lenient = replace(given, fields=(field("title", field_type, on_bad=OnBadField.NULL),))
    assert mapped(row_change(row(title=deep), columns=columns), lenient).nulled == {"title"}


@pytest.mark.parametrize("objects", [False, True])
def test_a_value_of_200_levels_is_taken_and_can_be_written(*, objects: bool) -> None:
    deep = nest(200, objects=objects)
    change = mapped(row_change(row(title=deep)))
    assert change.fields["title"] == deep
    assert orjson.loads(document(change, change.fields, None, "model", None).body)["title"] == deep


@pytest.mark.parametrize("key", [{"id": nest(201, objects=False)}, {"id": nest(1020, objects=True)}])
def test_a_key_nested_too_deep_to_be_written_is_rejected(key: Mapping[str, object]) -> None:
    found = rejected(row_change(row(), key=key))
    assert found.reason is RejectReason.KEY_MISSING
    assert "nested deeper than 200 levels" in found.message
    assert not mapped(row_change(row(), former_key=key)).former


def test_a_column_that_the_row_lacks_has_its_default_and_one_that_is_null_stays_null() -> None:
    fields = (field("lang", has_default=True, default="de"), field("none", has_default=True))
    given = replace(rules(), fields=fields)
    assert mapped(row_change(row()), given).fields == {"lang": "de", "none": None}
    assert mapped(row_change(row(lang=None, none=1)), given).fields == {"lang": None, "none": 1}


def test_a_placeholder_of_ones_own_is_left_out_and_debeziums_is_then_a_text() -> None:
    given = replace(rules(), unavailable_placeholder="gone")
    found = mapped(row_change(row(title=UNAVAILABLE, content="gone")), given)
    assert found.fields == {"title": UNAVAILABLE}
    assert found.absent == {"content"}


def test_columns_that_nobody_declared_are_told_of() -> None:
    given = replace(rules(), dropped=frozenset({"secret"}))
    assert undeclared_columns(row(secret=1, new=2, also=3), given) == ["also", "new"]
    assert undeclared_columns(row(), given) == []


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
rows = st.dictionaries(st.sampled_from(["id", "tenant", "title", "content", "x"]), anything, max_size=5)


@for_all(anything.filter(lambda value: not is_unavailable(value)), st.sampled_from(FieldType))
def test_without_a_schema_a_field_is_what_its_declared_type_makes_of_the_value(
    value: object, field_type: FieldType
) -> None:
    given = replace(rules(), fields=(field("x", field_type),))
    try:
        expected = convert(value, field_type)
    except ValueError:
        assert rejected(row_change(row(x=value)), given).reason is RejectReason.FIELD_INVALID
    else:
        assert mapped(row_change(row(x=value)), given).fields == {"x": expected}


@for_all(
    st.sampled_from(Operation),
    rows,
    rows,
    rows,
    rows,
    st.none() | st.dictionaries(st.sampled_from(["title", "content"]), st.builds(ColumnType, st.text(max_size=5))),
    st.sampled_from(FieldType),
)
def test_whatever_a_row_holds_it_becomes_a_change_or_a_rejection_the_same_every_time(
    operation: Operation,
    key: dict[str, object],
    after: dict[str, object],
    before: dict[str, object],
    former_key: dict[str, object],
    columns: dict[str, ColumnType] | None,
    field_type: FieldType,
) -> None:
    given = rules(fields={"title": ("title", field_type), "content": "content"})
    change = RowChange(operation, key, after, before, 7, None, columns, former_key)
    found = RowMapper(given).map(RECORD, change, 0)
    assert isinstance(found, (Change, Rejection))
    assert RowMapper(given).map(RECORD, change, 0) == found
    if isinstance(found, Change):
        assert found.fields.keys() | found.absent == ({"title", "content"} if operation is Operation.UPSERT else set())
        assert found.place not in found.left | found.former.keys()
        assert found.nulled <= found.fields.keys()
    else:
        assert len(found.message) < 600
