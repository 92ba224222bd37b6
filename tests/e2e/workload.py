"""Random changes of the tables, one after the other, until they are told to stop."""

import random
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from tests.e2e.scene import Scene, Table
from tests.threads import beside

TENANTS: Final = ("acme", "globex", "initech", "umbrella", "wonka")
_ROWS: Final = 25
_LARGE: Final = 10_000
_WORDS: Final = ("boat", "chair", "coffee", "garden", "hose", "marathon", "mountain", "shelter", "shoe", "tent")


class Workload:
    """What it does follows from the seed alone; how far it comes, from how long it is let run.

    Few rows and many changes: so every row is inserted, changed, moved, deleted and inserted again many times.
    """

    def __init__(self, scene: Scene, seed: int, a_second: int) -> None:
        self._tables = scene.tables
        self._dsn = scene.servers.postgres.dsn
        self._chance = random.Random(seed)
        self._pause = 1 / a_second
        self.transactions = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run in a thread of its own while the block does."""
        with beside(self._run, "workload"):
            yield

    def _run(self, stopping: threading.Event) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as database:
            while not stopping.wait(self._pause):
                with database.transaction():
                    for _ in range(self._chance.choice((1, 1, 1, 2, 4))):
                        self._change(database, self._chance.choice(self._tables))
                self.transactions += 1

    def _change(self, database: psycopg.Connection, table: Table) -> None:
        tenant, other = self._chance.sample(TENANTS, 2)
        id_ = self._chance.randint(1, _ROWS)
        if table.full:
            # The id of a document is made of tenant and key, so two tables behind one alias need keys of their own.
            id_ += 1000
        # Keyed by id alone, the row is wherever it is; else it is this tenant's.
        here, at = ("id = %s", (id_,)) if table.full else ("id = %s AND tenant = %s", (id_, tenant))
        match self._chance.choice(("insert", "insert", "title", "title", "content", "move", "delete", "replace")):
            case "insert":
                self._insert(database, table, tenant, id_)
            case "title":
                database.execute(f"UPDATE {table.name} SET title = %s WHERE {here}", (self._words(3), *at))
            case "content":
                database.execute(f"UPDATE {table.name} SET content = %s WHERE {here}", (self._content(), *at))
            case "move" if table.full:
                database.execute(f"UPDATE {table.name} SET tenant = %s WHERE {here}", (other, *at))
            case "move":
                self._move(database, table, (tenant, other, id_))
            case "delete":
                database.execute(f"DELETE FROM {table.name} WHERE {here}", at)
            case "replace":
                database.execute(f"DELETE FROM {table.name} WHERE {here}", at)
                self._insert(database, table, tenant, id_)

    def _insert(self, database: psycopg.Connection, table: Table, tenant: str, id_: int) -> None:
        values = (tenant, id_, self._words(3), self._content(), self._chance.sample(_WORDS, 2))
        query = "INSERT INTO {} VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING"
        database.execute(query.format(table.name), values)

    def _move(self, database: psycopg.Connection, table: Table, move: tuple[str, str, int]) -> None:
        """Change the key, where no other row has it.

        Large values only with their content: an event of a changed key does not carry what was left as it is, and
        the worker says so instead of guessing.
        """
        tenant, other, id_ = move
        free = f"NOT EXISTS (SELECT FROM {table.name} WHERE tenant = %s AND id = %s)"
        query = f"UPDATE {table.name} SET tenant = %s, content = %s WHERE tenant = %s AND id = %s AND {free}"
        database.execute(query, (other, self._content(), tenant, id_, other, id_))

    def _content(self) -> str | None:
        kind = self._chance.random()
        if kind < 0.1:
            return None
        if kind < 0.2:
            return "".join(self._chance.choices(string.ascii_letters, k=_LARGE))
        return self._words(self._chance.randint(1, 30))

    def _words(self, count: int) -> str:
        return " ".join(self._chance.choices(_WORDS, k=count))
