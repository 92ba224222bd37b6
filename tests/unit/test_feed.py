"""The feed has the shape of records that a real Debezium 3.3.1 wrote."""

import itertools
import json
from typing import Any

import pytest

from worker.demo.corpus import Document
from worker.demo.feed import UNAVAILABLE, FeedRecord, expected_rows, feed

# As a real connector wrote it, its columns left out.
REAL: dict[str, Any] = json.loads(
    '{"before":null,"after":{},"source":{"version":"3.3.1.Final","connector":"postgresql","name":"cms",'
    '"ts_ms":1795298512186,"snapshot":"false","db":"postgres","sequence":"[\\"24316176\\",\\"24316176\\"]",'
    '"ts_us":1795298512186880,"ts_ns":1795298512186880000,"schema":"public","table":"articles","txId":757,'
    '"lsn":24316176,"xmin":null},"transaction":null,"op":"c","ts_ms":1795298512251,"ts_us":1795298512251426,'
    '"ts_ns":1795298512251426646}'
)
REAL_HEADERS = [
    "__debezium.context.connectorLogicalName",
    "__debezium.context.taskId",
    "__debezium.context.connectorName",
]
DELETED = {"title": "", "content": None, "tags": None, "published": "1970-01-01T00:00:00.000000Z", "url": None}


def documents(per_tenant: int = 4, tenants: str = "abc") -> list[Document]:
    return [
        Document(tenant, number, f"{tenant}.{number}", f"Text {number} of {tenant}. " * number, ("x",), "https://x")
        for tenant in tenants
        for number in range(1, per_tenant + 1)
    ]


def envelopes(records: list[FeedRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in records if record.value is not None]


def test_every_envelope_has_the_keys_of_a_real_one_in_their_order() -> None:
    for envelope in envelopes(list(feed(documents(), 200, 1))):
        assert list(envelope) == list(REAL)
        assert list(envelope["source"]) == list(REAL["source"])
        for name, value in REAL["source"].items():
            assert type(envelope["source"][name]) is type(value), name
        assert json.loads(envelope["source"]["sequence"])[1] == str(envelope["source"]["lsn"])


def test_keys_are_the_primary_key_as_compact_json() -> None:
    first = next(feed(documents(), 0, 1))
    assert first.key == b'{"tenant":"a","id":1}'
    assert [name for name, _ in first.headers] == REAL_HEADERS


def test_the_snapshot_is_every_row_at_one_position() -> None:
    snapshot = envelopes(list(feed(documents(), 0, 1)))
    assert [envelope["op"] for envelope in snapshot] == ["r"] * 12
    assert [envelope["source"]["snapshot"] for envelope in snapshot] == ["first", *["true"] * 10, "last"]
    assert len({envelope["source"]["lsn"] for envelope in snapshot}) == 1
    assert snapshot[0]["after"]["content"] == "Text 1 of a. "


def test_everything_that_happens_to_rows_happens() -> None:
    records = list(feed(documents(), 400, 1))
    seen = {envelope["op"] for envelope in envelopes(records)}
    assert seen == {"r", "u", "d", "c"}
    names = {name for record in records for name, _ in record.headers}
    assert {"__debezium.newkey", "__debezium.oldkey"} < names
    plain = [record for record in records if len(record.headers) == 3 and record.value is not None]
    assert "c" in {envelope["op"] for envelope in envelopes(plain)}  # re-created, not moved


def test_a_delete_has_the_key_and_type_defaults_and_is_followed_by_a_tombstone() -> None:
    records = list(feed(documents(), 200, 1))
    deletes = 0
    for record, following in itertools.pairwise(records):
        envelope = json.loads(record.value or b"{}")
        if envelope.get("op") == "d":
            deletes += 1
            assert envelope["after"] is None
            assert envelope["before"] == json.loads(record.key) | DELETED
            assert following == FeedRecord(record.key, None, record.headers)
    assert deletes > 10


def test_a_move_is_a_delete_a_tombstone_and_a_creation_at_one_position() -> None:
    records = list(feed(documents(), 200, 1))
    moves = 0
    for gone, tombstone, came in zip(records, records[1:], records[2:], strict=False):
        oldkey = dict(came.headers).get("__debezium.oldkey")
        if oldkey is None:
            continue
        moves += 1
        assert oldkey == gone.key == tombstone.key
        assert dict(gone.headers)["__debezium.newkey"] == dict(tombstone.headers)["__debezium.newkey"] == came.key
        delete, creation = envelopes([gone, came])
        assert (delete["op"], tombstone.value, creation["op"]) == ("d", None, "c")
        assert delete["source"] == creation["source"]
        assert json.loads(gone.key)["tenant"] != json.loads(came.key)["tenant"]
    assert moves > 10


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert list(feed(documents(), 50, 1)) == list(feed(documents(), 50, 1))
    assert list(feed(documents(), 50, 1)) != list(feed(documents(), 50, 2))


def test_a_long_text_that_was_not_touched_can_be_left_out_as_postgres_does() -> None:
    left_out = [
        envelope
        for envelope in envelopes(list(feed(documents(), 200, 1, unavailable_over=20)))
        if (envelope["after"] or {}).get("content") == UNAVAILABLE
    ]
    assert {envelope["op"] for envelope in left_out} == {"u", "c"}
    kept = envelopes(list(feed(documents(), 200, 1)))
    assert UNAVAILABLE not in {(envelope["after"] or {}).get("content") for envelope in kept}


def test_a_clock_makes_the_feed_look_live() -> None:
    ticks = itertools.count(1_000)
    stamped = envelopes(list(feed(documents(), 5, 1, clock=lambda: next(ticks))))
    assert stamped[0]["source"]["ts_ms"] == stamped[0]["ts_ms"] == 1_000
    assert max(envelope["source"]["ts_ms"] for envelope in stamped) == 1_005


def test_one_tenant_alone_never_moves() -> None:
    rows = expected_rows(documents(tenants="a"), 300, 1)
    assert {key.tenant for key in rows} <= {"a"}


@pytest.mark.parametrize("texts", [[], [*documents(1, "a"), *documents(1, "a")]])
def test_texts_without_keys_of_their_own_are_refused(texts: list[Document]) -> None:
    with pytest.raises(ValueError, match="key of its own"):
        list(feed(texts, 1, 1))
