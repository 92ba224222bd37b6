"""Which tombstones go, which stay, and what is said of it."""

import json
from collections.abc import Sequence

import pytest
from typing_extensions import override

from tests.builders import change, deletion, place
from tests.fakes.elasticsearch import UNPARSABLE, FakeElasticsearch
from worker.control.purge import Purged, as_json, purge, render
from worker.errors import Halt
from worker.records import DocumentWrite, OldTombstone, Place, Removal
from worker.stages.bulk import item_bytes
from worker.stages.documents import document, tombstone

DAY_MS = 86_400_000
NOW = 100 * DAY_MS
ONE, TWO, THREE = (place(row_id=number) for number in (1, 2, 3))


async def send(index: FakeElasticsearch, *writes: DocumentWrite) -> None:
    await index.bulk(b"".join(item_bytes(write, index.target) for write in writes), len(writes))


def left_at(at: Place, deleted_ms: int, version: int = 5) -> DocumentWrite:
    return tombstone(deletion(version), at, deleted_ms)


async def index_of_three() -> FakeElasticsearch:
    """One tombstone of 8 days, one of 6, and a document."""
    index = FakeElasticsearch()
    alive = document(change(5, row_id=3), {"title": "T"}, None, "m", None)
    await send(index, left_at(ONE, NOW - 8 * DAY_MS), left_at(TWO, NOW - 6 * DAY_MS), alive)
    return index


async def seven_days(index: FakeElasticsearch, *, dry_run: bool = False, size: int = 10) -> Purged:
    return await purge(index, 7 * 86_400.0, NOW, size=size, dry_run=dry_run)


async def test_old_tombstones_go_and_all_else_stays() -> None:
    index = await index_of_three()
    purged = await seven_days(index)
    assert index.documents.keys() == {TWO, THREE}
    assert (purged.found, purged.removals, purged.ok) == (1, {Removal.REMOVED: 1}, True)
    assert (await seven_days(index)).found == 0


async def test_a_dry_run_counts_and_removes_nothing() -> None:
    index = await index_of_three()
    purged = await seven_days(index, dry_run=True)
    assert purged.found == 1
    assert index.documents.keys() == {ONE, TWO, THREE}
    assert "dry run" in render(purged, "articles-write")


async def test_many_go_a_batch_at_a_time() -> None:
    index = FakeElasticsearch()
    await send(index, *(left_at(place(row_id=number), 1) for number in range(25)))
    assert (await seven_days(index, size=4)).removals == {Removal.REMOVED: 25}
    assert not index.documents


class Meanwhile(FakeElasticsearch):
    """Somebody writes between the search and the delete."""

    writes_meanwhile: Sequence[DocumentWrite] = ()

    @override
    async def remove(self, tombstones: Sequence[OldTombstone]) -> Sequence[tuple[Removal, str]]:
        await send(self, *self.writes_meanwhile)
        return await super().remove(tombstones)


@pytest.mark.parametrize("positioned", [True, False])
async def test_a_row_that_is_there_again_is_left_alone(positioned: bool) -> None:  # noqa: FBT001 - a parameter
    """Also one that has the tombstone's own version, since it has no position of its own."""
    index = Meanwhile()
    await send(index, left_at(ONE, 1), left_at(TWO, 1))
    again = change(6 if positioned else 5, positioned=positioned)
    index.writes_meanwhile = [document(again, {"title": "again"}, None, "m", None)]
    purged = await seven_days(index)
    assert purged.removals == {Removal.CHANGED: 1, Removal.REMOVED: 1}
    assert index.live.keys() == {ONE}
    assert "1 left: their rows were written again meanwhile." in render(purged, "articles-write")


async def test_what_cannot_be_removed_is_said_with_its_reason() -> None:
    index = FakeElasticsearch()
    await send(index, left_at(ONE, 1), left_at(TWO, 1))
    index.fail_item(ONE.document_id, UNPARSABLE)
    purged = await seven_days(index)
    assert not purged.ok
    assert "1 could not be removed; run it again." in render(purged, "articles-write")
    assert "document_parsing_exception" in render(purged, "articles-write")
    assert json.loads(as_json(purged))["failed"] == 1


async def test_a_missing_alias_halts() -> None:
    index = FakeElasticsearch()
    index.alias_exists = False
    with pytest.raises(Halt):
        await seven_days(index)


def test_the_report_counts_one_and_many() -> None:
    assert render(Purged(0, 60, dry_run=False, found=1), "a").startswith("1 tombstone in a is older than 1m")
    assert render(Purged(0, 60, dry_run=False, found=1200), "a").startswith("1,200 tombstones in a are older")
