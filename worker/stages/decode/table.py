"""Whether an event comes from the table that was declared."""

from collections.abc import Mapping
from typing import Final

from worker.errors import RejectReason
from worker.records import Rejection
from worker.stages.decode.json_values import cut
from worker.stages.rules import SourceRules

_PARTS: Final = ("db", "schema", "table", "collection")


def wrong_table(source: Mapping[str, object], rules: SourceRules) -> Rejection | None:
    """Return why a Debezium `source` block is not of the declared table; None where it is, or none is declared."""
    if rules.table is None:
        return None
    parts = [part for name in _PARTS if isinstance(part := source.get(name), str)]
    if len(parts) == 1 and rules.table.endswith(f".{parts[0]}"):  # a flattened row may leave the schema out
        return None
    return wrong_name(".".join(parts), rules)


def wrong_name(name: str, rules: SourceRules) -> Rejection | None:
    """Return why the table of this name is not the declared one, which may begin anywhere in the name."""
    declared = rules.table
    if declared is None or name == declared or name.endswith(f".{declared}"):
        return None
    return Rejection(
        RejectReason.WRONG_TABLE,
        f"the event comes from table {cut(name, 120)!r}, but source {rules.name!r} declares table {declared!r}: "
        "correct its topics, or its table",
    )
