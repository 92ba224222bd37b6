"""The table of bad inputs, through the real decoding and mapping; where it takes that, planning and the pipeline."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import pytest
from _pytest.mark import ParameterSet

from tests.builders import TOPIC
from tests.fakes.world import World
from tests.unit.bad_inputs import ALL
from tests.unit.bad_inputs_parts import Case, History
from worker.errors import RejectReason, SkipReason
from worker.records import Change, DocumentWrite, Place, Rejection, Skip, Stored, Unit, VersionType
from worker.runtime.sources import DECODERS, SourceReader, SourceReaders
from worker.settings import BatchSettings
from worker.stages.coalesce import coalesce
from worker.stages.documents import document
from worker.stages.embedding_text import embedding_text
from worker.stages.identity import MAX_ALIAS_BYTES, MAX_ID_BYTES, tenant_alias
from worker.stages.locate import must_be_located, with_located
from worker.stages.offsets import PartitionProgress
from worker.stages.planning import NeedsVector, plan, with_vector
from worker.stages.rules import SourceRules

ILLEGAL_IN_ALIASES = set('\\/*?"<>| ,#:')


def parameters(kind: type[Case] | type[History]) -> Iterator[ParameterSet]:
    for one in ALL:
        for number, case in enumerate(one.cases):
            if isinstance(case, kind):
                marks = (
                    []
                    if case.not_yet is None
                    else [pytest.mark.xfail(reason=case.not_yet, strict=True, raises=AssertionError)]
                )
                yield pytest.param(case, id=f"{one.number}-{number}", marks=marks)


def reader(rules: SourceRules, topic: str = TOPIC, source_format: str = "debezium") -> SourceReader:
    return SourceReader(frozenset({topic}), None, DECODERS[source_format], rules)


@pytest.mark.parametrize("case", list(parameters(Case)))
def test_each_record_becomes_what_the_table_says(case: Case) -> None:
    outcome, version = reader(case.rules, source_format=case.format).read(case.record, 7)
    if isinstance(outcome, Rejection):
        assert outcome.reason == case.outcome, outcome.message
        assert [word for word in case.says if word not in outcome.message] == [], outcome.message
        assert len(outcome.message) < 600
    elif isinstance(outcome, Skip):
        assert outcome.reason == case.outcome
    else:
        assert isinstance(outcome, Change)
        assert outcome.operation == case.outcome
        assert case.positioned in (None, version is not None)
        check_change(case, outcome)


def check_change(case: Case, change: Change) -> None:
    assert case.timed in (None, change.source_ts_ms is not None)
    assert case.document_id in (None, change.place.document_id)
    assert len(change.place.document_id.encode()) <= MAX_ID_BYTES
    alias = tenant_alias("articles", change.place.tenant)
    assert len(alias) <= MAX_ALIAS_BYTES
    assert alias == alias.lower()
    assert not ILLEGAL_IN_ALIASES & set(alias)
    assert change.absent == case.absent
    if case.fields:
        found = {name: change.fields[name] for name in case.fields}
        assert found == case.fields
        assert list(map(type, found.values())) == list(map(type, case.fields.values()))
        assert change.fields.keys() == {rule.name for rule in case.rules.fields}
    if case.text is not None:
        assert embedding_text(change.fields, case.rules.embed) == case.text
    assert document(change, change.fields, None, "model", None).body


class Index:
    """What Elasticsearch would hold, by its rules for external versions."""

    def __init__(self, held: Mapping[str, Stored]) -> None:
        self.held: dict[Place, Stored] = {
            Place(document_id, document_id.partition("/")[0]): stored for document_id, stored in held.items()
        }

    def write(self, write: DocumentWrite) -> None:
        known = self.held.get(write.place)
        if known is not None:
            newer = write.version > known.version
            same = write.version_type is VersionType.EXTERNAL_GTE and write.version == known.version
            if not newer and not same:
                return
        self.held[write.place] = Stored(write.version, write.tombstone, body=orjson.loads(write.body))

    def places_of(self, key: str) -> set[Place]:
        """Where a search finds documents of a row."""
        return {place for place, held in self.held.items() if held.body.get("tenant") and key == _key_of(held)}

    @property
    def live(self) -> dict[str, Any]:
        return {place.document_id: held.body["title"] for place, held in self.held.items() if not held.deleted}


def _key_of(held: Stored) -> object:
    sync = held.body["sync"]
    assert isinstance(sync, Mapping)
    return sync["key"]


def changes_of(case: History) -> Iterator[Change]:
    readers = SourceReaders(
        [
            reader(case.rules, record.position.topic)
            for record in case.records
            if record.position.topic not in case.others
        ]
        + [reader(rules, topic) for topic, rules in case.others.items()]
    )
    progress = PartitionProgress()
    for one in case.records:
        change, version = readers.of_topic(one.position.topic).read(one, progress.watermark)
        if version is not None:
            progress.saw_version(version)
        assert isinstance(change, Change), change
        yield change


def coalesced(changes: Iterable[Change]) -> list[Change]:
    waiting: dict[str, Change] = {}
    for change in changes:
        known = waiting.get(change.key)
        waiting[change.key] = change if known is None else coalesce(known, change)
    return list(waiting.values())


@pytest.mark.parametrize("case", list(parameters(History)))
def test_each_history_ends_as_the_table_says_however_it_is_batched(case: History) -> None:
    changes = list(changes_of(case))
    for batches in (changes, coalesced(changes)):
        index, rejections = Index(case.stored), []
        for change in batches:
            unit = Unit(change)
            if must_be_located(unit, {place: index.held.get(place) for place in unit.places}):
                unit = with_located(unit, index.places_of(change.key))
            step = plan(unit, {place: index.held.get(place) for place in unit.places}, case.rules.embed, "model", 0)
            if isinstance(step, NeedsVector):
                step = with_vector(step, np.ones(8, dtype=np.float32), "model")
            if isinstance(step, Rejection):
                rejections.append(step.reason)
                continue
            for write in getattr(step, "writes", ()):
                index.write(write)
        shown = index.live if isinstance(case.live, Mapping) else tuple(sorted(index.live.values()))
        assert shown == case.live
        assert tuple(rejections) == case.rejections


@pytest.mark.virtual_time
async def test_a_row_that_elasticsearch_will_not_take_for_its_size_is_a_dead_letter() -> None:
    world = World(batch=BatchSettings(bulk_documents=1))
    world.index.max_bytes = 10_000
    world.upsert(1, "x" * 20_000, lsn=10)
    world.upsert(2, "short", lsn=11)
    await world.run_to_the_end()
    assert world.verdicts == {"document_too_large": 1, "indexed": 1}
    assert world.committed() == 2


def test_the_table_is_complete() -> None:
    assert [one.number for one in ALL] == list(range(1, 56))
    assert all(one.cases for one in ALL)


def test_every_reason_of_a_record_s_own_is_in_the_table() -> None:
    codes = {code for one in ALL for code in one.codes}
    not_a_record_s = {RejectReason.EMBEDDING_FAILED, RejectReason.UNEXPECTED_ERROR, SkipReason.LOST_ASSIGNMENT}
    assert {*RejectReason, *SkipReason} - codes == not_a_record_s
