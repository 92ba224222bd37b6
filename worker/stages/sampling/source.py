"""All findings about one source, in the order in which a person reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.stages.findings import Finding, note
from worker.stages.rules import SourceRules
from worker.stages.sampling.ages import age_findings
from worker.stages.sampling.columns import column_findings
from worker.stages.sampling.forms import form_findings, key_findings, tombstone_findings
from worker.stages.sampling.observed import Observed
from worker.stages.sampling.old_rows import old_row_findings
from worker.stages.sampling.outcomes import outcome_findings
from worker.stages.sampling.positions import position_findings
from worker.stages.sampling.tenants import tenant_findings
from worker.stages.sampling.values import value_findings


@dataclass(frozen=True, slots=True)
class Declared:
    """What the settings say that decides how a source's records are judged."""

    rules: SourceRules
    format: str
    dead_letters: bool
    """Whether there is a dead-letter topic."""
    tombstone_retention_s: float = float("inf")
    """Seconds that a tombstone is kept; infinite where deletes leave none, and ages do not matter."""


def source_findings(observed: Sequence[Observed], declared: Declared) -> Iterator[Finding]:
    """Yield what the records of one source tell."""
    if not observed:
        yield note("records", "no records yet: nothing could be checked")
        return
    rules = declared.rules
    yield from outcome_findings(observed, dead_letters=declared.dead_letters, declared=declared.format)
    yield from form_findings(observed, rules, declared.format)
    yield from key_findings(observed, rules, declared.format)
    yield from tenant_findings(observed, rules)
    yield from old_row_findings(observed, rules)
    yield from position_findings(observed, rules)
    yield from tombstone_findings(observed, rules)
    yield from age_findings(observed, declared.tombstone_retention_s)
    yield from column_findings(observed, rules)
    yield from value_findings(observed, rules)
