"""Findings over records, for the tests of what a check says of a source."""

from collections.abc import Iterable
from typing import Any

from tests.golden import types_files
from tests.unit.test_golden_types import FOLDER, record_of
from worker.app.sources import source_readers
from worker.records import Record
from worker.settings.sources import SourceSettings
from worker.stages.findings import Finding, Level
from worker.stages.sampling import Declared, observe, source_findings

PROBLEMS = (Level.WARNING, Level.FAILURE)


def source(**settings: Any) -> SourceSettings:  # noqa: ANN401 - settings of every kind
    """A source that fits `builders.row()`."""
    given = {
        "name": "articles",
        "pattern": ".*",
        "id": ["id"],
        "tenant": "tenant",
        "fields": {"title": "title", "content": "content"},
        "embed": ["title"],
    }
    return SourceSettings.model_validate(given | settings)


def findings(records: Iterable[Record], *, dead_letters: bool = True, **settings: Any) -> list[Finding]:  # noqa: ANN401
    chosen = source(**settings)
    readers = source_readers([chosen])
    observed = []
    for record in records:
        reader = readers.of_topic(record.position.topic)
        observed.append(observe(record, reader.decode, reader.mapper, reader.rules))
    return list(source_findings(observed, Declared(chosen.rules(), chosen.format, dead_letters)))


def of(found: Iterable[Finding], subject: str) -> list[Finding]:
    return [finding for finding in found if finding.subject == subject]


def only(found: Iterable[Finding], subject: str) -> Finding:
    (finding,) = of(found, subject)
    return finding


def problems(found: Iterable[Finding]) -> list[tuple[str, Level]]:
    """What is not as it should be: subject and level."""
    return [(finding.subject, finding.level) for finding in found if finding.level in PROBLEMS]


def captured(name: str, table: str) -> list[Record]:
    """What a real Debezium said of a table."""
    said = types_files.read(FOLDER / f"{name}.jsonl")
    return [record_of(one) for one in said if one["topic"].rpartition(".")[2] == table]
