"""Whether the old rows in the events bear out what `replica_identity` declares."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from worker.stages.findings import Finding, counted, failure, note, ok, warning
from worker.stages.rules import SourceRules
from worker.stages.sampling.observed import Form, Observed

_SUBJECT: Final = "replica identity"
_MADE_UP: Final[tuple[object, ...]] = (None, "", 0, "0", "AA==", "{}", [], {}, "1970-01-01T00:00:00Z", "00:00:00Z")
"""What Debezium writes for a NOT NULL column that PostgreSQL did not log; False equals 0."""


def old_row_findings(observed: Sequence[Observed], rules: SourceRules) -> Iterator[Finding]:
    """Yield what the old rows of updates and deletes show. Envelopes only: a flattened row has none beside it."""
    envelopes = [one for one in observed if one.form is Form.ENVELOPE and one.change is not None]
    if not envelopes:
        return
    updates = [one for one in envelopes if one.is_update]
    deletes = [one for one in envelopes if one.event.get("op") == "d"]
    without = [one for one in updates if one.before is None]
    bare = [one for one in deletes if _is_bare(one, rules)]
    if rules.trusts_before:
        yield from _declared_full(updates, deletes, without, bare)
    else:
        yield from _declared_default(updates, deletes, without, rules)


def _declared_full(
    updates: Sequence[Observed], deletes: Sequence[Observed], without: Sequence[Observed], bare: Sequence[Observed]
) -> Iterator[Finding]:
    fix = "run ALTER TABLE ... REPLICA IDENTITY FULL, or set replica_identity: default"
    if without:
        yield failure(
            _SUBJECT,
            f"declared full, but {len(without)} of {counted(len(updates), 'update')} come without the old row, such as "
            f"{without[0].place}: what a delete says of other columns than the key is made up",
            fix,
        )
    elif bare and len(bare) == len(deletes) and not updates:
        yield failure(
            _SUBJECT,
            f"declared full, but the old row of {counted(len(bare), 'delete')} holds nothing but the key, such as "
            f"{bare[0].place}",
            fix,
        )
    elif updates or deletes:
        yield ok(_SUBJECT, "full, as declared: updates and deletes come with the whole old row")
    else:
        yield note(_SUBJECT, "declared full; no update or delete was seen that could bear it out")


def _declared_default(
    updates: Sequence[Observed],
    deletes: Sequence[Observed],
    without: Sequence[Observed],
    rules: SourceRules,
) -> Iterator[Finding]:
    told_whole = updates or deletes
    whole = [one for one in told_whole if one.before is not None and not _is_bare(one, rules)]
    if without:
        yield ok(_SUBJECT, "default, as declared: the old row is not believed")
    if not whole or without:
        return
    told = "default is declared, but updates and deletes come with the whole old row"
    fix = "set replica_identity: full, if the table has it (MySQL: if binlog_row_image is FULL)"
    if all(one.change is not None and rules.tenant_column in one.change.key for one in whole):
        yield note(_SUBJECT, f"{told}, which is not made use of", fix)
    else:
        yield warning(_SUBJECT, f"{told}, which is not believed, and neither is the tenant in it", fix)


def _is_bare(one: Observed, rules: SourceRules) -> bool:
    before: Mapping[str, object] = one.before or {}
    key = one.change.key if one.change is not None else {}
    others = [value for name, value in before.items() if name not in key and name not in rules.id_columns]
    return all(value in _MADE_UP for value in others)
