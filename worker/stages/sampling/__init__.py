"""What a few records of a topic tell about a source: is it as its settings say, and what would become of its rows?

    spans     which offsets to read: some of the oldest, more of the newest
    limits    what a topic keeps and takes, as its own settings say
    observed  one record: its form, what decoding and mapping make of it, and the event as it stands there
    outcomes, forms, tenants, tenant_keys, old_rows, positions, ages, columns, values
              findings over the records of one source, each module about one question

Records are few and rows may be rare, so that something was not seen proves nothing; the findings say what was seen.
"""

from worker.stages.sampling.limits import TopicLimits, letter_findings, limit_findings
from worker.stages.sampling.observed import Form, Observed, observe
from worker.stages.sampling.source import Declared, source_findings
from worker.stages.sampling.spans import Extent, Span, chosen_spans
from worker.stages.sampling.tenants import locating

__all__ = [
    "Declared",
    "Extent",
    "Form",
    "Observed",
    "Span",
    "TopicLimits",
    "chosen_spans",
    "letter_findings",
    "limit_findings",
    "locating",
    "observe",
    "source_findings",
]
