"""Random changes of three tables by transactions that interleave, all drawn from one seed.

One thread leads three sessions by the hand: each step is one statement of one of them. Every session has rows of its
own, so that none ever waits for another, and what is done depends on the seed and the number of steps alone.
"""

import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

import psycopg

from tests.e2e.scene import Table
from tests.soak.surroundings import WORDS
from tests.soak.tables import TENANTS, keyed_by_tenant
from tests.threads import beside

Kind = Literal["insert", "move", "key", "delete", "again", "title", "content"]

WEIGHTS: Final[dict[Kind, int]] = {
    "insert": 21,
    "move": 6,
    "key": 12,
    "delete": 10,
    "again": 5,
    "title": 34,
    "content": 12,
}
"""How often each is tried. Not all meet a row (or, with a new key, a free one): what was done, the report says; of it
about 5 % are moves, 5 % new keys, 10 % deletions. `again` deletes a row and inserts it anew in one transaction.
"""

_SESSIONS: Final = 3
_IDS_A_TENANT: Final = 60
_IDS: Final = _IDS_A_TENANT * len(TENANTS)
_HOT: Final = 6
_LARGE: Final = 10_000
_PROBES: Final = range(1_000_000, 1_000_008)
_LENGTHS: Final = (1, 1, 1, 2, 3, 6)


class Workload:
    """`statements` counts those that changed a row, by kind; `revision` is the number of the newest."""

    def __init__(self, dsn: str, tables: Sequence[Table], seed: int, a_second: float | None) -> None:
        """`a_second`: statements; None: as fast as the database takes them."""
        self._dsn = dsn
        self._tables = tables
        self._chance = random.Random(seed)
        self._pause = 0 if a_second is None else 1 / a_second
        self.statements: Counter[str] = Counter()
        self.transactions = 0
        self.rolled_back = 0
        self.interleaved = 0
        self.revision = 0
        self.steps = 0

    def fill(self) -> None:
        """Rows for the snapshot: half of all there can be."""
        with psycopg.connect(self._dsn) as database:
            for table in self._tables:
                for tenant in TENANTS:
                    for id_ in self._chance.sample(range(1, _IDS_A_TENANT + 1), _IDS_A_TENANT // 2):
                        key = id_ if keyed_by_tenant(table) else id_ + _IDS_A_TENANT * TENANTS.index(tenant)
                        self._insert(database, table, tenant, key)
                for id_ in _PROBES:
                    self._insert(database, table, TENANTS[0], id_)

    def probe(self) -> tuple[int, list[tuple[str, str]]]:
        """Change some rows of every table; the revision, and the places where all of them show at least it.

        For another thread than the workload's. These rows never move.
        """
        with psycopg.connect(self._dsn, autocommit=True) as database:
            revision = self.revision
            for table in self._tables:
                database.execute(
                    f"UPDATE {table.name} SET title = %s, tags = ARRAY[tenant, %s] WHERE id = ANY(%s)",
                    (f"probe {revision}", str(revision), list(_PROBES)),
                )
        return revision, [
            (f"{TENANTS[0]}/{table.source_name}/{id_}", TENANTS[0]) for table in self._tables for id_ in _PROBES
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run in a thread of its own while the block does."""
        with beside(lambda stopping: self.run(lambda: stopping.wait(self._pause)), "workload"):
            yield

    def run(self, stop: Callable[[], bool]) -> None:
        """Change rows until `stop` says so, asked before every statement; every transaction comes to its end."""
        sessions = [psycopg.connect(self._dsn) for _ in range(_SESSIONS)]
        left = [0] * _SESSIONS
        try:
            while not stop():
                number = self._chance.randrange(_SESSIONS)
                if not left[number]:
                    left[number] = self._chance.choice(_LENGTHS)
                self.interleaved += sum(map(bool, left)) > 1
                self._change(sessions[number], number)
                self.steps += 1
                left[number] -= 1
                if not left[number]:
                    self._end(sessions[number])
            for session in sessions:
                session.commit()
        finally:
            for session in sessions:
                session.close()

    def _end(self, session: psycopg.Connection) -> None:
        if self._chance.random() < 0.03:
            session.rollback()
            self.rolled_back += 1
        else:
            session.commit()
            self.transactions += 1

    def _change(self, session: psycopg.Connection, number: int) -> None:
        table = self._chance.choice(self._tables)
        tenant, other = self._chance.sample(TENANTS, 2)
        kind = self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        id_, new_id = self._id(table, number), self._id(table, number)
        if self._chance.random() < 0.2:  # a hot key
            id_ = number + _SESSIONS * self._chance.randint(1, _HOT // _SESSIONS)
            tenant, other = TENANTS[0], TENANTS[1] if other == TENANTS[0] else other
        self.revision += 1
        changed = self._statement(session, kind, table, (tenant, other, id_, new_id))
        self.statements[kind] += changed

    def _id(self, table: Table, session: int) -> int:
        """One of the ids that belong to a session."""
        last = _IDS_A_TENANT if keyed_by_tenant(table) else _IDS
        return session + _SESSIONS * self._chance.randint(1, last // _SESSIONS - 1)

    def _statement(self, session: psycopg.Connection, kind: Kind, table: Table, row: tuple[str, str, int, int]) -> int:
        """Do one change; how many rows it met: 0 or 1."""
        tenant, other, id_, new_id = row
        # Keyed by id alone, the row is wherever it is; else it is this tenant's.
        here, at = ("id = %s AND tenant = %s", (id_, tenant)) if keyed_by_tenant(table) else ("id = %s", (id_,))
        match kind:
            case "insert":
                return self._insert(session, table, tenant, id_)
            case "title":
                return self._update(session, table, "title = %s", (self._words(3),), (here, at))
            case "content":
                return self._update(session, table, "content = %s", (self._content(),), (here, at))
            case "move" if keyed_by_tenant(table):
                return self._rekey(session, table, (tenant, id_), (other, id_))
            case "move":
                query = f"UPDATE {table.name} SET tenant = %s, tags = ARRAY[%s, %s] WHERE {here} AND tenant <> %s"
                values = (other, other, str(self.revision), *at, other)
                return session.execute(query, values).rowcount
            case "key":
                return self._rekey(session, table, (tenant, id_), (tenant, new_id))
            case "delete":
                return session.execute(f"DELETE FROM {table.name} WHERE {here}", at).rowcount
            case "again":
                deleted = session.execute(f"DELETE FROM {table.name} WHERE {here}", at).rowcount
                return deleted and self._insert(session, table, tenant, id_)

    def _insert(self, session: psycopg.Connection, table: Table, tenant: str, id_: int) -> int:
        query = f"INSERT INTO {table.name} VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING"
        values = (tenant, id_, self._words(3), self._content(), [tenant, str(self.revision)])
        return session.execute(query, values).rowcount

    def _update(
        self,
        session: psycopg.Connection,
        table: Table,
        assigned: str,
        values: tuple[object, ...],
        where: tuple[str, tuple[object, ...]],
    ) -> int:
        here, at = where
        query = f"UPDATE {table.name} SET {assigned}, tags = ARRAY[tenant, %s] WHERE {here}"
        return session.execute(query, (*values, str(self.revision), *at)).rowcount

    def _rekey(self, session: psycopg.Connection, table: Table, old: tuple[str, int], new: tuple[str, int]) -> int:
        """Change the key, where no other row has it.

        Under the default identity large values only together with their content: the event does not carry what was
        left as it is, and where the former key's deletion was done first, the worker says so instead of guessing.
        """
        tenant, id_ = new
        number = str(self.revision)
        if keyed_by_tenant(table):
            free: tuple[str, tuple[object, ...]] = ("tenant = %s AND id = %s", new)
            here: tuple[str, tuple[object, ...]] = ("tenant = %s AND id = %s", old)
            assigned, values = "tenant = %s, id = %s, tags = ARRAY[%s, %s]", [tenant, id_, tenant, number]
        else:
            free, here = ("id = %s", (id_,)), ("id = %s", (old[1],))
            assigned, values = "id = %s, tags = ARRAY[tenant, %s]", [id_, number]
        if not table.full:
            assigned, values = f"{assigned}, content = %s", [*values, self._content()]
        where = f"{here[0]} AND NOT EXISTS (SELECT FROM {table.name} WHERE {free[0]})"
        query = f"UPDATE {table.name} SET {assigned} WHERE {where}"
        return session.execute(query, (*values, *here[1], *free[1])).rowcount

    def _content(self) -> str | None:
        kind = self._chance.random()
        if kind < 0.1:
            return None
        if kind < 0.25:
            # Nothing that PostgreSQL could compress: so it is stored out of line, and left out of updates of others.
            return "".join(self._chance.choices(string.ascii_letters, k=_LARGE))
        return self._words(self._chance.randint(1, 30))

    def _words(self, count: int) -> str:
        return " ".join(self._chance.choices(WORDS, k=count))
