"""MongoDB's documents come as texts of Extended JSON. After Debezium's documentation, not from a real server."""

import orjson
import pytest

from tests.builders import record, rules
from worker.errors import RejectReason
from worker.records import Operation, Rejection, RowChange
from worker.stages.decode.debezium import decode
from worker.stages.decode.mongodb import document

SOURCE = {"connector": "mongodb", "ts_ms": 1558965508000, "ord": 31, "db": "inventory", "collection": "customers"}


def change(op: str, after: object, key: object, before: object = None, *, trusts_before: bool = False) -> RowChange:
    value = {"op": op, "after": after, "before": before, "source": SOURCE}
    outcome = decode(record(value, key), rules(id_columns=["_id"], trusts_before=trusts_before))
    assert isinstance(outcome, RowChange), outcome
    return outcome


def test_a_document_and_its_key_agree_on_the_id() -> None:
    after = '{"_id": {"$oid": "596e275826f08b2730779e1f"}, "tenant": "acme", "n": {"$numberLong": "5"}}'
    here = change("c", after, {"id": '{"$oid": "596e275826f08b2730779e1f"}'})
    assert here.key == {"_id": "596e275826f08b2730779e1f"}
    assert here.row == {"_id": "596e275826f08b2730779e1f", "tenant": "acme", "n": 5}
    assert here.version == 1558965508 << 24 | 31


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [("1004", 1004), ('{"$numberLong": "1004"}', 1004), ('"1004"', "1004"), ('{"a": 1, "b": 2}', {"a": 1, "b": 2})],
)
def test_a_delete_has_its_key_under_the_documents_name(identifier: str, expected: object) -> None:
    gone = change("d", None, {"id": identifier})
    assert (gone.operation, gone.key) == (Operation.DELETE, {"_id": expected})


@pytest.mark.parametrize("key", [{"id": "{"}, {"id": 5}, {"other": "1"}])
def test_a_key_that_is_none_of_mongodbs_is_left_as_it_is(key: dict[str, object]) -> None:
    assert change("d", None, key).key == key


def test_an_image_of_the_document_before_is_believed_where_declared() -> None:
    assert change("d", None, {"id": "1"}, '{"tenant": "acme"}', trusts_before=True).before == {"tenant": "acme"}
    assert change("d", None, {"id": "1"}, '{"tenant": "acme"}').before == {}


@pytest.mark.parametrize("after", [None, 5])
def test_an_update_without_its_document_is_rejected_with_the_remedy(after: object) -> None:
    outcome = decode(record({"op": "u", "after": after, "source": SOURCE}, {"id": "1"}), rules(id_columns=["_id"]))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.ROW_MISSING
    assert "change_streams_update_full" in outcome.message


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"$oid": "a"}, "a"),
        ({"$numberInt": "-7"}, -7),
        ({"$numberLong": "9223372036854775807"}, 2**63 - 1),
        ({"$numberLong": "9223372036854775808"}, {"$numberLong": "9223372036854775808"}),
        ({"$numberLong": "-9223372036854775808"}, -(2**63)),
        ({"$numberLong": "-9223372036854775809"}, {"$numberLong": "-9223372036854775809"}),
        ({"$numberLong": "x"}, {"$numberLong": "x"}),
        ({"$numberLong": ""}, {"$numberLong": ""}),
        ({"$numberLong": "-"}, {"$numberLong": "-"}),
        ({"$numberLong": "\u0663"}, {"$numberLong": "\u0663"}),
        ({"$numberLong": 5}, {"$numberLong": 5}),
        ({"$numberDouble": "NaN"}, "NaN"),
        ({"$numberDecimal": "1.10"}, "1.10"),
        ({"$date": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ({"$date": {"$numberLong": "1000"}}, "1970-01-01T00:00:01Z"),
        ({"$date": 1500}, "1970-01-01T00:00:01.500000Z"),
        ({"$date": {"$numberLong": "9223372036854775807"}}, {"$date": 2**63 - 1}),
        ({"$oid": 5}, {"$oid": 5}),
        ({"$symbol": "a"}, "a"),
        ({"$date": [5]}, {"$date": [5]}),
        ({"$binary": {"base64": "3q2+7w==", "subType": "00"}}, "3q2+7w=="),
        ({"$binary": {"base64": 5}}, {"$binary": {"base64": 5}}),
        ({"$binary": "3q2+7w=="}, {"$binary": "3q2+7w=="}),
        ({"$uuid": "7f2c1a52-8f6e-4a4c-9a55-3a6e3f0a1b2c"}, "7f2c1a52-8f6e-4a4c-9a55-3a6e3f0a1b2c"),
        ([{"$oid": "a"}, {"b": {"$oid": "c"}}], ["a", {"b": "c"}]),
        ({"$oid": "a", "x": 1}, {"$oid": "a", "x": 1}),
        ({"$unknown": 1}, {"$unknown": 1}),
    ],
)
def test_extended_json_becomes_the_value_that_it_stands_for(form: object, expected: object) -> None:
    assert document(orjson.dumps({"x": form}).decode()) == {"x": expected}


@pytest.mark.parametrize("text", ["", "{", '{"x": NaN}', "[]", "5", "null", '"x"'])
@pytest.mark.parametrize("part", ["after", "before"])
def test_a_document_that_cannot_be_read_is_said_to_be_that(text: str, part: str) -> None:
    """Not that it is missing: the connector's capture.mode would not mend it."""
    value = {"op": "u", "after": '{"_id": 1}', "source": SOURCE, part: text}
    outcome = decode(record(value, {"id": "1"}), rules(id_columns=["_id"], trusts_before=True))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is RejectReason.INVALID_JSON
    assert "MongoDB" in outcome.message


@pytest.mark.parametrize(("opening", "closing", "most"), [("[", "]", 199), ('{"a":', "}", 199), ('[{"a":', "}]", 99)])
def test_a_document_is_as_deep_as_a_row_may_be_and_no_deeper(opening: str, closing: str, most: int) -> None:
    """200 levels with the document's own: a text within a record is bounded as the record is."""

    def nested(times: int) -> str:
        return '{"x":' + opening * times + "1" + closing * times + "}"

    assert document(nested(most)) == orjson.loads(nested(most))
    assert isinstance(document(nested(most + 1)), Rejection)
