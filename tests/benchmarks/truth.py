"""What an index holds beside what the tables hold: every wrong document is counted once, under its kind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

UNAVAILABLE: Final = "__debezium_unavailable_value"

Kind = Literal["missing", "doubled", "ghost", "stale", "wrong tenant", "placeholder text"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

RowKey = tuple[str, ...]
"""Table, then the values of the primary key as text."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, as its document must show it."""

    tenant: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A document of an index that readers see: of which row, and where."""

    key: RowKey
    tenant: object
    routing: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`examples` holds one document of each kind, for the log."""

    rows: int
    documents: int
    wrong: Mapping[Kind, int]
    examples: Mapping[Kind, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.wrong.values())


def compare(rows: Mapping[RowKey, Row], found: Iterable[Found], *, routed: bool = True) -> Comparison:
    """Count the wrong documents. `routed`: the index is divided by tenants, so routing must be the tenant, too."""
    wrong: Counter[Kind] = Counter()
    examples: dict[Kind, str] = {}
    right_places: set[RowKey] = set()
    documents = 0
    for one in found:
        documents += 1
        row = rows.get(one.key)
        kind = _kind(one, row, routed=routed, seen=one.key in right_places)
        if row is not None and one.tenant == row.tenant:
            right_places.add(one.key)
        if kind is not None:
            wrong[kind] += 1
            examples.setdefault(kind, f"{one.key} {one.tenant!r} {str(dict(one.fields))[:200]}, row {row}"[:600])
    missing = rows.keys() - right_places
    if missing:
        wrong["missing"] = len(missing)
        examples["missing"] = str(min(missing))
    return Comparison(len(rows), documents, {kind: wrong[kind] for kind in KINDS}, examples)


def _kind(found: Found, row: Row | None, *, routed: bool, seen: bool) -> Kind | None:
    if row is None:
        return "ghost"
    if found.tenant != row.tenant or (routed and found.routing != row.tenant):
        return "wrong tenant"
    if seen:
        return "doubled"
    if any(UNAVAILABLE in str(value) for value in found.fields.values()):
        return "placeholder text"
    return None if all(found.fields.get(name) == value for name, value in row.fields.items()) else "stale"
