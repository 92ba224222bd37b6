"""What a dead letter says of its record."""

import dataclasses

import pytest

from tests.builders import record
from worker.records import Place, Position, Record
from worker.stages.dead_letters import (
    HEADERS,
    MAX_MESSAGE,
    Letter,
    Omitted,
    bounded,
    forms,
    headers_of,
    letter,
    letter_of,
)

FULL = Letter(
    record=record(b"value", b"key", offset=7, headers=[("trace", b"\x01")], timestamp_ms=1_700_000_000_000),
    reason="field_invalid",
    stage="decode",
    message="column 'published' should be a time: 'soon'",
    source="articles",
    place=Place("acme/1", "acme"),
    version=42,
    version_epoch=0,
    watermark=41,
    worker_version="0.1.0",
)


APOSTROPHES = "it isn't what it doesn't say and won't be, " * 5
REMEDY = (
    "the event does not carry tenant column 'tenant': make it part of the primary key, or set REPLICA IDENTITY "
    "FULL and replica_identity: full"
)


def stored(record: Record, headers: dict[str, str]) -> Record:
    """What the topic holds of a record that was sent with these headers added."""
    added = tuple((name, value.encode()) for name, value in headers.items())
    return Record(Position("dead", 2, 17), record.key, record.value, (*record.headers, *added), 1_700_000_005_000)


def test_a_full_letter_has_every_header_but_the_marks() -> None:
    assert headers_of(FULL) == {
        "syncline-reason": "field_invalid",
        "syncline-stage": "decode",
        "syncline-message": "column 'published' should be a time: 'soon'",
        "syncline-source": "articles",
        "syncline-topic": "cms.public.articles",
        "syncline-partition": "0",
        "syncline-offset": "7",
        "syncline-timestamp": "1700000000000",
        "syncline-tenant": "acme",
        "syncline-id": "acme/1",
        "syncline-routing": "acme",
        "syncline-version": "42",
        "syncline-version-epoch": "0",
        "syncline-watermark": "41",
        "syncline-attempts": "1",
        "syncline-worker-version": "0.1.0",
    }


def test_what_is_not_known_has_no_header() -> None:
    bare = letter(record(b"{"), "invalid_json", "decode", "not JSON")
    assert not headers_of(bare).keys() & {
        f"syncline-{name}" for name in ("source", "tenant", "id", "routing", "version", "watermark", "omitted")
    }


def test_a_record_that_is_a_letter_already_gets_new_headers_and_one_attempt_more() -> None:
    """Somebody has copied it from the dead-letter topic to its own, headers and all."""
    first = letter(record(b"{", headers=[("trace", b"\x01")]), "invalid_json", "decode", "not JSON")
    (sent, added), *_ = forms(first)
    copied = dataclasses.replace(stored(sent, added), position=Position("cms.public.articles", 1, 99))
    second = letter(copied, "row_missing", "decode", "no row")
    assert second.record.headers == (("trace", b"\x01"),)
    assert second.attempts == 2
    (sent, added), *_ = forms(second)
    names = [name for name, _ in stored(sent, added).headers]
    assert len(names) == len(set(names))
    read = letter_of(stored(sent, added))
    assert read is not None
    assert (read.record.position, read.reason, read.attempts) == (copied.position, "row_missing", 2)


def test_a_header_of_ours_in_name_only_is_the_records_own() -> None:
    theirs = ("syncline-trace", b"1")
    assert theirs[0] not in HEADERS
    assert letter(record(headers=[theirs]), "row_missing", "decode", "").record.headers == (theirs,)


def test_neither_key_nor_value_becomes_an_empty_value_that_reads_as_none() -> None:
    """The client refuses to send such a record."""
    empty = letter(record(None, None), "key_missing", "decode", "no key")
    (sent, headers), *_ = forms(empty)
    assert (sent.key, sent.value) == (None, b"")
    assert headers["syncline-null-value"] == "true"
    read = letter_of(stored(sent, headers))
    assert read is not None
    assert (read.record.key, read.record.value) == (None, None)


@pytest.mark.parametrize(("key", "value"), [(None, b""), (b"", None), (b"k", None), (b"", b"")])
def test_null_and_empty_stay_apart(key: bytes | None, value: bytes | None) -> None:
    (sent, headers), *_ = forms(letter(record(value, key), "row_missing", "decode", ""))
    assert "syncline-null-value" not in headers
    read = letter_of(stored(sent, headers))
    assert read is not None
    assert (read.record.key, read.record.value) == (key, value)


def test_what_is_too_large_goes_without_its_value_then_with_our_headers_alone() -> None:
    whole, without_value, headers_only = forms(FULL)
    assert whole[0] == FULL.record
    assert "syncline-omitted" not in whole[1]
    assert (without_value[0].key, without_value[0].value, without_value[0].headers) == (
        b"key",
        b"",
        FULL.record.headers,
    )
    assert without_value[1]["syncline-omitted"] == "value"
    assert (headers_only[0].key, headers_only[0].value, headers_only[0].headers) == (None, b"", ())
    assert headers_only[1]["syncline-omitted"] == "record"
    read = letter_of(stored(*without_value))
    assert read is not None
    assert read.omitted is Omitted.VALUE


@pytest.mark.parametrize("without", ["topic", "partition", "offset", "reason"])
def test_a_record_without_what_makes_a_letter_is_none(without: str) -> None:
    headers = headers_of(FULL)
    del headers[f"syncline-{without}"]
    assert letter_of(stored(FULL.record, headers)) is None


def test_a_letter_of_the_first_version_can_be_read() -> None:
    old = {
        f"syncline-{name}": value
        for name, value in {
            "reason": "invalid_json",
            "stage": "decode",
            "message": "not JSON",
            "topic": "t",
            "partition": "0",
            "offset": "3",
            "timestamp": "5",
        }.items()
    }
    read = letter_of(stored(record(b"{"), old))
    assert read is not None
    assert (read.record.position, read.watermark, read.attempts, read.place) == (Position("t", 0, 3), None, 1, None)


@pytest.mark.parametrize(
    ("own", "letters", "expected"), [(5, 9, 5), (9, 5, 5), (0, 5, None), (-1, 5, None), (5, None, 5)]
)
def test_the_age_counts_from_the_earlier_of_both_clocks(own: int, letters: int | None, expected: int | None) -> None:
    one = dataclasses.replace(FULL, record=record(timestamp_ms=own), put_aside_ms=letters)
    assert one.age_from_ms == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("column 'a' should be a number: 'b'", "column 'a' should be a number: 'b'"),
        (f"is '{'x' * 100}', no number", f"is '{'x' * 60}...', no number"),
        (f"failed to parse date field [{'x' * 100}] with", f"failed to parse date field [{'x' * 60}...] with"),
        (
            f"Preview of field's value: '{'it is so ' * 20}'",
            f"Preview of field's value: '{('it is so ' * 20)[:60]}...'",
        ),
        (f"value: '{APOSTROPHES}'", f"value: '{APOSTROPHES[:60]}...'"),
        (REMEDY, REMEDY),
        ("the row's column isn't what the table's schema says of it, in a long text that quotes nothing" * 2, None),
    ],
)
def test_a_message_quotes_at_most_a_short_piece_of_a_value(message: str, expected: str | None) -> None:
    assert bounded(message) == (message if expected is None else expected)


def test_a_message_is_short_as_a_whole() -> None:
    assert len(bounded("word " * 10_000)) == MAX_MESSAGE
    assert len(bounded("['\"" * 100_000)) <= MAX_MESSAGE
