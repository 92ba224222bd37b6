"""A letter reads back as what was written, whatever the record holds."""

from hypothesis import given
from hypothesis import strategies as st

from worker.records import Place, Position, Record
from worker.stages.dead_letters import HEADERS, Letter, Omitted, bounded, forms, headers_of, letter, letter_of

AT = Position("dead", 0, 5)
data = st.none() | st.binary(max_size=50)
numbers = st.integers(0, 2**63 - 1)
names = st.text(max_size=8) | st.sampled_from(["syncline-trace", "syncline-", "Syncline-Reason"])
own_headers = st.lists(st.tuples(names, data), max_size=4).map(tuple)
records = st.builds(
    Record,
    st.builds(Position, st.sampled_from(["app.public.articles", "ünïcode"]), st.integers(0, 9), numbers, st.just(0)),
    data,
    data,
    own_headers,
    numbers,
)
texts = st.text(max_size=600)
filled = st.text(min_size=1, max_size=128)
letters = st.builds(
    Letter,
    record=records,
    reason=st.sampled_from(["invalid_json", "field_invalid"]),
    stage=st.sampled_from(["decode", "plan", "bulk"]),
    message=texts,
    source=st.none() | filled,
    place=st.none() | st.builds(Place, filled, filled),
    version=st.none() | numbers,
    version_epoch=st.none() | st.integers(0, 127),
    watermark=st.none() | numbers,
    attempts=st.integers(1, 99),
    worker_version=st.just("0.1.0"),
    omitted=st.sampled_from(Omitted),
)


def stored(sent: Record, headers: dict[str, str]) -> Record:
    added = tuple((name, value.encode()) for name, value in headers.items())
    return Record(AT, sent.key, sent.value, (*sent.headers, *added), 77)


@given(letters)
def test_what_is_sent_reads_back(given: Letter) -> None:
    if given.omitted is not Omitted.NOTHING:
        return  # its record is not the original any more
    read = letter_of(stored(*next(forms(given))))
    assert read is not None
    assert read.record == given.record
    assert (read.at, read.put_aside_ms) == (AT, 77)
    for name in ("reason", "stage", "source", "place", "version", "version_epoch", "watermark", "attempts", "omitted"):
        assert getattr(read, name) == getattr(given, name), name
    assert read.message == bounded(given.message)


@given(letters)
def test_every_form_says_the_same_but_of_what_it_leaves_out(given: Letter) -> None:
    for sent, headers in forms(given):
        assert not (sent.key is None and sent.value is None)
        read = letter_of(stored(sent, headers))
        assert read is not None
        assert read.record.position == given.record.position
        assert (read.reason, read.place, read.version, read.watermark) == (
            given.reason,
            given.place,
            given.version,
            given.watermark,
        )


@given(letters)
def test_headers_are_ours_and_few_bytes(given: Letter) -> None:
    headers = headers_of(given)
    assert headers.keys() <= set(HEADERS)
    assert sum(len(name) + len(value.encode()) for name, value in headers.items()) <= 4096


@given(records, st.lists(st.tuples(st.sampled_from(HEADERS), data), max_size=5).map(tuple), texts)
def test_letters_do_not_nest(record: Record, ours: tuple[tuple[str, bytes | None], ...], message: str) -> None:
    """However often a letter comes back as a record, it has one set of headers."""
    again = Record(record.position, record.key, record.value, (*record.headers, *ours), record.timestamp_ms)
    sent, headers = next(forms(letter(again, "invalid_json", "decode", message)))
    assert sent.headers == record.headers
    assert int(headers["syncline-attempts"]) >= 1


@given(own_headers, st.lists(st.tuples(st.sampled_from(HEADERS), data), max_size=20).map(tuple))
def test_reading_never_fails(
    own: tuple[tuple[str, bytes | None], ...], ours: tuple[tuple[str, bytes | None], ...]
) -> None:
    read = letter_of(Record(AT, b"k", b"v", (*own, *ours), 1))
    assert read is None or read.record.headers == own


@given(texts)
def test_bounding_twice_is_bounding_once(message: str) -> None:
    assert bounded(bounded(message)) == bounded(message)
