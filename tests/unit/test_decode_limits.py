"""Sizes, depths and encodings that would hurt a parser, and what a person is told of them."""

import pytest

from tests.builders import event, record, row, rules
from worker.errors import RejectReason
from worker.records import Rejection, RowChange
from worker.runtime.sources import DECODERS, SourceReader
from worker.stages.decode.debezium import decode

SIZE = 10 * 2**20


def test_a_row_of_ten_megabytes_is_a_row() -> None:
    """Whether its document is too large is for Elasticsearch's limits to say, later."""
    outcome = decode(record(event(after=row(content="x" * SIZE))), rules())
    assert isinstance(outcome, RowChange)
    assert len(str(outcome.row["content"])) == SIZE


def test_a_message_about_ten_megabytes_is_short() -> None:
    for value in (event("x" * SIZE), {"x" * SIZE: 1}, b'"' + b"x" * SIZE, event(lsn="9" * SIZE)):
        outcome = decode(record(value), rules())
        assert isinstance(outcome, Rejection)
        assert len(outcome.message) < 500


@pytest.mark.parametrize("source_format", DECODERS)
@pytest.mark.parametrize("levels", [201, 500, 1000, 1025, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_a_bomb_of_brackets_is_rejected(source_format: str, levels: int, opening: bytes, closing: bytes) -> None:
    bomb = opening * levels + b"1" + closing * levels
    event, columns = b'{"op":"upsert","key":{"id":1},"tenant":%b}', b'{"id":1,"tenant":"acme","title":%b,"content":""}'
    for value in (bomb, event % bomb, columns % bomb, b'{"schema":{},"payload":%b}' % bomb):
        reader = SourceReader(frozenset(), None, DECODERS[source_format], rules())
        outcome, _ = reader.read(record(value), 0)
        assert isinstance(outcome, Rejection)
        assert (outcome.reason is RejectReason.INVALID_JSON) is (levels * len(opening.strip(b'"a:')) > 1024)
        assert len(outcome.message) < 400


def test_a_deep_schema_costs_nothing_because_nothing_of_it_is_written() -> None:
    deep = b"[" * 500 + b"]" * 500
    outcome = decode(record(b'{"schema":%b,"payload":{"id":1,"tenant":"acme"}}' % deep), rules())
    assert isinstance(outcome, RowChange)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"\x00\x00\x00\x00\x2arest", "schema 42"),
        (b"\x00\x00", "schema registry"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (b"\xfe\xff\x00{\x00}", "UTF-16"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x28\xb5\x2f\xfd\x24", "zstd"),
        (b"\x04\x22\x4d\x18\x64", "lz4"),
        (b"", "it is empty"),
        (b"\xff{}", "UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"id":1', "line 1"),
    ],
)
def test_what_is_no_json_is_told_apart(value: bytes, says: str) -> None:
    for decoder in DECODERS.values():
        outcome = decoder(record(value), rules())
        assert isinstance(outcome, Rejection)
        assert outcome.reason is RejectReason.INVALID_JSON
        assert says in outcome.message


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"NaN", b"Infinity", b"1" * 5000])
def test_numbers_that_no_number_holds_do_not_raise(number: bytes) -> None:
    outcome = decode(record(b'{"id":1,"tenant":"acme","n":%b}' % number), rules())
    assert isinstance(outcome, (Rejection, RowChange))


def test_of_a_name_that_stands_twice_the_last_counts() -> None:
    outcome = decode(record(b'{"id":1,"tenant":"acme","title":"a","title":"b"}'), rules())
    assert isinstance(outcome, RowChange)
    assert outcome.row["title"] == "b"
