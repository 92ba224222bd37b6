"""The three kinds of tables that a soak changes, and the tenants whose rows they hold.

Every row tells in its column `tags` whose it is and how new: the tenant's name and a number that rises with every
statement. So whoever reads a document can judge it without asking the worker's own fields.
"""

from dataclasses import dataclass
from typing import Final

import psycopg
from typing_extensions import override

from tests.e2e.scene import Table

TENANTS: Final = tuple(f"tenant-{number:02}" for number in range(20))
_COLUMNS: Final = (
    "tenant text NOT NULL, id bigint PRIMARY KEY, title text NOT NULL, content text, tags text[], published timestamptz"
)


@dataclass(frozen=True, slots=True)
class LocatedTable(Table):
    """Keyed by `id` alone under the default replica identity: no event tells which tenant a row has left."""

    @override
    def create(self, database: psycopg.Connection) -> None:
        database.execute(f"CREATE TABLE {self.name} ({_COLUMNS})")


def three_tables() -> tuple[Table, Table, LocatedTable]:
    """REPLICA IDENTITY FULL; the tenant in the primary key; the tenant outside of it."""
    return Table("whole", full=True), Table("keyed"), LocatedTable("located")


def keyed_by_tenant(table: Table) -> bool:
    return not table.full and not isinstance(table, LocatedTable)
