"""The demo's database: one table with PRIMARY KEY (tenant, id), and a seeded history of what people do to it."""

import dataclasses
import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from worker.demo.corpus import Document

SOURCE: Final = "articles"
"""Name of the worker's source that reads the table, and so the second part of every document's id."""
_FIRST_PUBLISHED: Final = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
_PUBLISHED_WITHIN_S: Final = 10 * 365 * 24 * 3600
_LABELS: Final = ("popular", "reviewed", "outdated", "beginner", "advanced")


class Key(NamedTuple):
    """The primary key."""

    tenant: str
    id: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the table holds it. `published` is a timestamptz in ISO 8601, as Debezium writes it."""

    tenant: str
    id: int
    title: str
    content: str | None
    tags: tuple[str, ...] | None
    published: str
    url: str | None

    @property
    def key(self) -> Key:
        """The row's primary key."""
        return Key(self.tenant, self.id)


class Act(StrEnum):
    """What somebody does to the table."""

    REWRITE = "rewrite"
    TAG = "tag"
    DELETE = "delete"
    RECREATE = "recreate"
    MOVE = "move"


_WEIGHTS: Final = {Act.REWRITE: 40, Act.TAG: 25, Act.DELETE: 12, Act.RECREATE: 8, Act.MOVE: 15}


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the row before it (None: there was none) and after it (None: there is none)."""

    act: Act
    before: Row | None
    after: Row | None


@dataclass
class Table:
    """The table and its people. `rows` is its state; `steps` changes it, the same way for the same seed.

    Raises:
        ValueError: two documents have the same key, or there is none.
    """

    documents: Sequence[Document]
    seed: int
    rows: dict[Key, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill the table."""
        self._random = random.Random(self.seed)
        for document in self.documents:
            row = self._row(document)
            self.rows[row.key] = row
        if not self.documents or len(self.rows) < len(self.documents):
            raise ValueError("a table needs documents, each with a key of its own")
        self._tenants = sorted({document.tenant for document in self.documents})
        self._keys = list(self.rows)
        self._deleted: list[Row] = []

    def steps(self, count: int) -> Iterator[Step]:
        """Change the table `count` times; each step is yielded after it has been applied."""
        for _ in range(count):
            yield self._step(self._choose())

    def _choose(self) -> Act:
        if not self._keys:
            return Act.RECREATE
        possible = dict(_WEIGHTS)
        if not self._deleted:
            del possible[Act.RECREATE]
        if len(self._tenants) == 1:
            del possible[Act.MOVE]
        return self._random.choices(list(possible), list(possible.values()))[0]

    def _step(self, act: Act) -> Step:
        before = None if act is Act.RECREATE else self._take()
        after = self._changed(act, before)
        if before is not None:
            del self.rows[before.key]
        if after is not None:
            self.rows[after.key] = after
            self._keys.append(after.key)
        elif before is not None:
            self._deleted.append(before)
        return Step(act, before, after)

    def _take(self) -> Row:
        """Take a random row; its key leaves the list in constant time, and comes back if the row stays."""
        at = self._random.randrange(len(self._keys))
        self._keys[at], self._keys[-1] = self._keys[-1], self._keys[at]
        return self.rows[self._keys.pop()]

    def _changed(self, act: Act, before: Row | None) -> Row | None:
        if before is None:
            return self._recreated()
        match act:
            case Act.REWRITE:
                return dataclasses.replace(before, content=self._rewritten(before))
            case Act.TAG:
                return dataclasses.replace(before, tags=self._tagged(before))
            case Act.MOVE:
                return self._moved(before)
            case Act.DELETE | Act.RECREATE:
                return None

    def _rewritten(self, row: Row) -> str:
        """Return the text with another reference at its end: it changes, and never grows by more than that."""
        text = (row.content or "").partition("\n\nSee also ")[0]
        other = self._random.choice(self.documents)
        return f"{text}\n\nSee also {other.title}: {other.content.splitlines()[0]}"

    def _tagged(self, row: Row) -> tuple[str, ...]:
        """Return the tags with one label more, or one less where it was there."""
        label = self._random.choice(_LABELS)
        tags = row.tags or ()
        return tuple(tag for tag in tags if tag != label) if label in tags else (*tags, label)

    def _moved(self, row: Row) -> Row:
        tenant = self._random.choice([tenant for tenant in self._tenants if tenant != row.tenant])
        number = row.id
        while Key(tenant, number) in self.rows:  # most numbers are taken: every tenant counts from 1
            number += 1_000
        return dataclasses.replace(row, tenant=tenant, id=number)

    def _recreated(self) -> Row:
        """Return a deleted row, as new, under its old key if nobody has moved there meanwhile."""
        row = self._deleted.pop(self._random.randrange(len(self._deleted)))
        number = row.id
        while Key(row.tenant, number) in self.rows:
            number += 1_000
        return dataclasses.replace(row, id=number, published=self._published())

    def _row(self, document: Document) -> Row:
        return Row(
            tenant=document.tenant,
            id=document.id,
            title=document.title,
            content=document.content,
            tags=document.tags,
            published=self._published(),
            url=document.url,
        )

    def _published(self) -> str:
        moment = _FIRST_PUBLISHED + dt.timedelta(seconds=self._random.randrange(_PUBLISHED_WITHIN_S))
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
