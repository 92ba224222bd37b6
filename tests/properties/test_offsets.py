"""Offsets against a model that remembers every record."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from worker.stages.offsets import Committable, PartitionProgress, parse_watermark, watermark_text

versions = st.none() | st.integers(1, 30)


@dataclass
class Known:
    offset: int
    size: int
    fetched_at: int
    watermark_before: int
    resolved: bool = False


class Offsets(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.progress = PartitionProgress()
        self.records: list[Known] = []
        self.watermark = 0

    @initialize(watermark=st.integers(0, 20))
    def restarted_with(self, watermark: int) -> None:
        self.progress = PartitionProgress(watermark)
        self.watermark = watermark

    @rule(gap=st.integers(1, 5), size=st.integers(0, 9), version=versions)
    def fetch(self, gap: int, size: int, version: int | None) -> None:
        offset = self.records[-1].offset + gap if self.records else gap - 1
        self.records.append(Known(offset, size, len(self.records), self.watermark))
        self.progress.fetched(offset, size, len(self.records) - 1)
        if version is not None:
            self.progress.saw_version(version)
            self.watermark = max(self.watermark, version)

    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        """Any offset: open, resolved already, in a gap, or not fetched yet."""
        offset = data.draw(st.integers(0, self.records[-1].offset + 2 if self.records else 2))
        known = next((one for one in self.records if one.offset == offset and not one.resolved), None)
        assert self.progress.resolve(offset) == (None if known is None else known.size)
        if known is not None:
            known.resolved = True

    @invariant()
    def agrees_with_what_is_known(self) -> None:
        wall = next((one for one in self.records if not one.resolved), None)
        done = self.records[: self.records.index(wall)] if wall else self.records
        before = wall.watermark_before if wall else self.watermark
        expected = Committable(done[-1].offset + 1, before) if done else None
        assert self.progress.committable == expected
        assert self.progress.watermark == self.watermark
        assert self.progress.open_records == sum(not one.resolved for one in self.records)
        assert self.progress.oldest_fetched_at == (wall.fetched_at if wall else None)


TestOffsets = Offsets.TestCase
TestOffsets.settings = settings(max_examples=50, stateful_step_count=30)


@given(st.lists(versions, max_size=12), st.integers(0, 12))
def test_a_restart_at_any_place_computes_the_same_watermarks(log: list[int | None], at: int) -> None:
    def watermarks(progress: PartitionProgress, first: int) -> list[int]:
        seen = []
        for offset, version in enumerate(log[first:], first):
            progress.fetched(offset, 1, 0.0)
            seen.append(progress.watermark)
            if version is not None:
                progress.saw_version(version)
        return seen

    whole = PartitionProgress()
    expected = watermarks(whole, 0)
    for offset in range(min(at, len(log))):
        whole.resolve(offset)
    if whole.committable is not None:
        restarted = PartitionProgress(parse_watermark(watermark_text(whole.committable.watermark)))
        assert watermarks(restarted, whole.committable.offset) == expected[whole.committable.offset :]


@given(st.text() | st.text(alphabet="watermk=0123456789+-_. ").map(lambda text: f"watermark={text}"))
def test_any_metadata_at_all_is_a_version_that_elasticsearch_takes(metadata: str) -> None:
    assert 0 <= parse_watermark(metadata) < 2**63


@given(st.integers(0, 2**63 - 1))
def test_every_version_survives_as_text(watermark: int) -> None:
    assert parse_watermark(watermark_text(watermark)) == watermark
