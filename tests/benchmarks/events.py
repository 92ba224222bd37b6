"""Change events in Debezium's form over rows of real texts, and what must be left of every row at the end.

They are written to Kafka directly: PostgreSQL and Connect on the same two processors would be measured otherwise. The
table is keyed by tenant and id under the default replica identity: an update holds no former row, a delete only its
key, and a text that PostgreSQL keeps out of line is left out of the updates of other columns.
"""

import random
import zlib
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import orjson

from tests.benchmarks.texts import Text, text
from tests.benchmarks.truth import UNAVAILABLE, Row, RowKey

Kind = Literal["outside", "inside", "insert", "delete", "duplicate"]

MIX: Final[dict[Kind, int]] = {"outside": 70, "inside": 10, "insert": 10, "delete": 5, "duplicate": 5}
"""Shares of the change mix in percent; a duplicate is a recent event once more, as a connector's restart brings it."""
TABLE: Final = "articles"
FIELDS: Final = ("title", "content", "tags", "url", "published")
_OUT_OF_LINE: Final = 2000
"""Bytes of a value from which PostgreSQL stores it out of line, about."""
_FIRST_LSN: Final = 24_460_512
_LSN_STEP: Final = 344
_FIRST_MS: Final = 1_795_298_583_757
_RECENT: Final = 20


class Record(NamedTuple):
    """What goes into Kafka; `is_change` tells change events from the tombstones that follow deletes."""

    key: bytes
    value: bytes | None
    is_change: bool = True

    def partition(self, of: int) -> int:
        return zlib.crc32(self.key) % of


@dataclass(slots=True)
class _Article:
    tenant: str
    id: int
    text: Text
    revision: int = 0

    def columns(self) -> dict[str, Any]:
        one = self.text
        tags = [*one.tags, f"revision {self.revision}"]
        published = "2026-01-02T01:04:05.678901Z"
        indexed = {"title": one.title, "content": one.content, "tags": tags, "url": one.url, "published": published}
        others = {"views": 17 * self.revision, "status": "live", "locale": "en-GB", "created_at": 1767323045678}
        return {"tenant": self.tenant, "id": self.id, **indexed, **others, "rating": {"scale": 3, "value": "MDk="}}

    @property
    def key(self) -> RowKey:
        return TABLE, self.tenant, str(self.id)

    def row(self) -> Row:
        columns = self.columns()
        return Row(self.tenant, {name: columns[name] for name in ("title", "content", "tags", "url")})


class History:
    """Draws events, the same from the same seed; `rows()` is the truth after all that were drawn.

    `texts` counts those that were new with an event: what has to be embedded at least.
    """

    def __init__(self, seed: int = 1) -> None:
        self.texts = 0
        self._chance = random.Random(seed)
        self._events = 0
        self._articles: list[_Article] = []
        self._ids: dict[str, int] = {}
        self._recent: dict[bytes, Record] = {}
        """The newest event of each of the rows changed last."""

    def rows(self) -> dict[RowKey, Row]:
        return {one.key: one.row() for one in self._articles}

    def inserts(self, count: int) -> list[Record]:
        """New rows, each with a text that no other has."""
        return [self._insert() for _ in range(count)]

    def mixed(self, count: int) -> list[Record]:
        """Change events by the shares of `MIX`, and the tombstones that belong to them."""
        drawn = self._chance.choices(list(MIX), list(MIX.values()), k=count)
        return [record for kind in drawn for record in self._one(kind)]

    def _one(self, kind: Kind) -> list[Record]:
        if kind == "duplicate" and self._recent:
            # A restarted connector sends again what came last, each row's newest event included: no older state stays.
            return [self._recent[self._chance.choice(list(self._recent))]]
        if kind == "insert":
            return [self._insert()]
        number = self._chance.randrange(len(self._articles))
        if kind == "delete":
            return self._delete(number)
        article = self._articles[number]
        if inside := kind == "inside":
            article.text = self._new_text()._replace(title=article.text.title)
        article.revision += 1
        return [self._noted(self._event(article, "u", inside=inside))]

    def _insert(self) -> Record:
        fresh = self._new_text()
        number = self._ids[fresh.tenant] = self._ids.get(fresh.tenant, 0) + 1
        article = _Article(fresh.tenant, number, fresh)
        self._articles.append(article)
        return self._noted(self._event(article, "c", inside=True))

    def _new_text(self) -> Text:
        self.texts += 1
        return text(self.texts - 1)

    def _delete(self, number: int) -> list[Record]:
        article, last = self._articles[number], self._articles.pop()
        if last is not article:
            self._articles[number] = last
        record = self._noted(self._event(article, "d", inside=False))
        return [record, Record(record.key, None, is_change=False)]

    def _noted(self, record: Record) -> Record:
        self._recent.pop(record.key, None)
        self._recent[record.key] = record
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return record

    def _event(self, article: _Article, op: str, *, inside: bool) -> Record:
        self._events += 1
        key = {"tenant": article.tenant, "id": article.id}
        after = None if op == "d" else article.columns()
        if after is not None and not inside and len(article.text.content) > _OUT_OF_LINE:
            after["content"] = UNAVAILABLE
        # Debezium fills what it has not with the types' defaults, as far as columns are NOT NULL.
        before = {**dict.fromkeys(article.columns()), **key, "title": ""} if op == "d" else None
        envelope = {"before": before, "after": after, "source": _source(self._events), "transaction": None, "op": op}
        moment = _FIRST_MS + self._events + 3
        times = {"ts_ms": moment, "ts_us": moment * 1000, "ts_ns": moment * 10**6}
        return Record(orjson.dumps(key), orjson.dumps({**envelope, **times}))


def _source(number: int) -> dict[str, object]:
    moment, lsn = _FIRST_MS + number, _FIRST_LSN + _LSN_STEP * number
    source = {
        "version": "3.3.1.Final",
        "connector": "postgresql",
        "name": "bench",
        "ts_ms": moment,
        "snapshot": "false",
    }
    source |= {"db": "cms", "sequence": f'["{lsn - _LSN_STEP}","{lsn}"]', "ts_us": moment * 1000}
    source |= {"ts_ns": moment * 10**6, "schema": "public", "table": TABLE, "txId": 700 + number}
    return {**source, "lsn": lsn, "xmin": None}


def marks(tenant: str, partitions: int) -> dict[int, tuple[RowKey, Record]]:
    """One new row for each partition, by partition: whoever has indexed it has come as far as there."""
    history, found = History(), dict[int, tuple[RowKey, Record]]()
    number = 0
    while len(found) < partitions:
        number += 1
        article = _Article(tenant, number, text(number))
        record = history._event(article, "c", inside=True)
        found.setdefault(record.partition(partitions), (article.key, record))
    return found
