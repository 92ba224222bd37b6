import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.demo.corpus import Document
from worker.demo.feed import UNAVAILABLE, FeedRecord, expected_rows, feed
from worker.demo.table import Key

texts = st.lists(
    st.builds(
        Document,
        tenant=st.sampled_from(["acme", "globex", "initech"]),
        id=st.integers(min_value=1, max_value=8),
        title=st.text(max_size=8),
        content=st.text(min_size=1, max_size=60).filter(lambda text: bool(text.splitlines()[0])),
        tags=st.tuples(st.sampled_from(["x", "y"])),
        url=st.just("https://example.org"),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda document: (document.tenant, document.id),
)
counts = st.integers(min_value=0, max_value=60)
seeds = st.integers()
limits = st.none() | st.integers(min_value=0, max_value=60)


def fold(records: list[FeedRecord]) -> dict[Key, dict[str, Any]]:
    """The table as a reader of the feed sees it; a placeholder stands for what the row, or the row it was, had."""
    rows: dict[Key, dict[str, Any]] = {}
    moving: dict[bytes, dict[str, Any]] = {}
    for record in records:
        if record.value is None:
            continue
        key, envelope, headers = Key(**json.loads(record.key)), json.loads(record.value), dict(record.headers)
        if envelope["op"] == "d":
            moving[record.key] = rows.pop(key)
            continue
        row = envelope["after"]
        if row["content"] == UNAVAILABLE:
            former = moving[headers["__debezium.oldkey"]] if "__debezium.oldkey" in headers else rows[key]
            row["content"] = former["content"]
        assert (envelope["op"] == "u") == (key in rows)
        rows[key] = row
    return rows


@given(texts, counts, seeds, limits)
def test_who_reads_the_feed_to_its_end_has_the_table(
    documents: list[Document], count: int, seed: int, limit: int | None
) -> None:
    folded = fold(list(feed(documents, count, seed, unavailable_over=limit)))
    expected = expected_rows(documents, count, seed)
    assert folded == {
        key: {
            "tenant": row.tenant,
            "id": row.id,
            "title": row.title,
            "content": row.content,
            "tags": list(row.tags or ()),
            "published": row.published,
            "url": row.url,
        }
        for key, row in expected.items()
    }


@given(texts, counts, seeds)
def test_positions_rise_strictly_but_for_the_halves_of_a_changed_key(
    documents: list[Document], count: int, seed: int
) -> None:
    changes = [
        (json.loads(record.value)["source"]["lsn"], dict(record.headers))
        for record in list(feed(documents, count, seed))[len(documents) - 1 :]
        if record.value is not None
    ]
    for (lsn, headers), (following, next_headers) in itertools.pairwise(changes):
        if "__debezium.newkey" in headers:
            assert following == lsn
            assert "__debezium.oldkey" in next_headers
        else:
            assert following > lsn


@given(texts, counts, seeds)
def test_every_event_is_one_change_of_the_table(documents: list[Document], count: int, seed: int) -> None:
    records = list(feed(documents, count, seed))[len(documents) :]
    halves = sum("__debezium.oldkey" in dict(record.headers) for record in records)
    changes = sum(record.value is not None for record in records)
    assert changes - halves == count
