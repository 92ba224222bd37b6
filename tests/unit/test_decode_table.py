"""A declared table is checked on every event that says where it comes from."""

from dataclasses import replace

import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason
from worker.records import Decoded, Rejection, RowChange
from worker.stages.decode.change_event import decode as decode_change_event
from worker.stages.decode.debezium import decode

POSTGRES = {"db": "app", "schema": "public", "table": "articles"}


def decoded(table: str, value: object) -> Decoded:
    return decode(record(value), replace(rules(), table=table))


@pytest.mark.parametrize("table", ["articles", "public.articles", "app.public.articles"])
@pytest.mark.parametrize("op", ["c", "d"])
def test_a_table_may_be_declared_with_and_without_schema_and_database(table: str, op: str) -> None:
    assert isinstance(decoded(table, event(op, **POSTGRES)), RowChange)


@pytest.mark.parametrize("table", ["rticles", "other", "private.articles", "public.article", "x.public.articles"])
def test_an_event_of_another_table_is_rejected_with_both_names(table: str) -> None:
    outcome = decoded(table, event(**POSTGRES))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.WRONG_TABLE
    assert "'app.public.articles'" in outcome.message
    assert repr(table) in outcome.message


def test_mysql_has_no_schema_and_mongodb_has_collections() -> None:
    assert isinstance(decoded("shop.articles", event(db="shop", table="articles")), RowChange)
    assert isinstance(decoded("shop.articles", event(db="shop", collection="articles")), RowChange)
    assert isinstance(decoded("shop.articles", event(db="shop", collection="users")), Rejection)


@pytest.mark.parametrize("source", [{}, {"table": None}, {"table": 5}, {"db": "articles2"}])
def test_an_envelope_that_does_not_say_its_table_is_not_of_the_declared_one(source: dict[str, object]) -> None:
    assert isinstance(decoded("articles", event(**source)), Rejection)


def test_without_a_declared_table_any_is_right() -> None:
    assert isinstance(decode(record(event(**POSTGRES)), rules()), RowChange)
    assert isinstance(decode(record(event(table="other")), rules()), RowChange)


@pytest.mark.parametrize("name", ["__table", "__source_table"])
def test_a_flattened_row_is_checked_where_it_says_its_table(name: str) -> None:
    assert isinstance(decoded("articles", row(**{name: "articles"})), RowChange)
    assert isinstance(decoded("articles", row(**{name: "other"})), Rejection)
    assert isinstance(decoded("articles", row()), RowChange)


@pytest.mark.parametrize("name", ["__collection", "__source_collection"])
def test_a_flattened_document_is_checked_where_it_says_its_collection(name: str) -> None:
    assert isinstance(decoded("articles", row(**{name: "articles"})), RowChange)
    outcome = decoded("articles", row(**{name: "other"}))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.WRONG_TABLE


def test_a_change_event_is_checked_where_it_says_its_table() -> None:
    given = replace(rules(), table="articles")

    def outcome(**said: object) -> Decoded:
        return decode_change_event(record({"op": "delete", "key": {"id": 1}, **said}), given)

    assert isinstance(outcome(source="public.articles"), RowChange)
    assert isinstance(outcome(), RowChange)
    rejected = outcome(source="other")
    assert isinstance(rejected, Rejection)
    assert rejected.reason is RejectReason.WRONG_TABLE
