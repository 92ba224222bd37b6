"""Whole workers under random changes, faults and rebalances: the index ends up as the fold of the log.

In virtual time, on the fakes. A seed that fails names the whole run: the same seed fails in the same way again.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pytest

from tests import builders
from tests.fakes.elasticsearch import REJECTED, UNAVAILABLE
from tests.fakes.world import GROUP, TOPIC, World
from worker.errors import RetryLater, RetryReason
from worker.ports import Commit
from worker.records import Place, TopicPartition
from worker.settings import BatchSettings, DeliverySettings
from worker.stages.rules import SourceRules

pytestmark = pytest.mark.virtual_time

SEEDS: Final = 200
STEPS: Final = 40
ROWS: Final = 8
PARTITIONS: Final = 3
TENANTS: Final = ("acme", "globex", "initech")
TITLES: Final = ("queues", "soup", "running", "")
UNCHANGED: Final = "__debezium_unavailable_value"
FULL: Final = builders.rules(
    trusts_before=True, fields={"title": "title", "content": "content", "url": "url"}, embed=("title",)
)
DEFAULT: Final = replace(FULL, trusts_before=False)
"""No event tells where a row was: it must be located."""
BATCH: Final = BatchSettings(lookup_documents=3, embed_texts=2, bulk_documents=3, bulk_concurrency=2)
DELIVERY: Final = DeliverySettings(drain_timeout=5, retry_max=4)


@dataclass(frozen=True)
class Row:
    tenant: str
    title: str
    content: str
    url: str


@dataclass(frozen=True)
class Event:
    """What one record of the log says, as far as the comparison needs it. No place: it says nothing."""

    place: Place | None
    version: int


class Database:
    """The rows, and every event about them in the log."""

    def __init__(self, chance: random.Random, world: World, *, tells_before: bool) -> None:
        self.rows: dict[int, Row] = {}
        self._tells_before = tells_before
        self.events: dict[TopicPartition, list[Event]] = {TopicPartition(TOPIC, one): [] for one in range(PARTITIONS)}
        self._chance = chance
        self._world = world
        self._lsn = 0
        self._sent: list[tuple[object, int, Event]] = []
        """What the connector has sent, each once, in the database's own order."""

    def step(self) -> None:
        """Let something happen to a row, or let the log hold something else."""
        row_id = self._chance.randrange(ROWS)
        roll = self._chance.random()
        if roll < 0.05:
            self._append(b"not json", row_id, Event(None, 0))
        elif roll < 0.15:
            # A connector that was restarted sends all again from where it had last saved its place.
            for sent in self._sent[-self._chance.randint(1, 8) :]:
                self._append(*sent)
        elif row_id not in self.rows:
            self._upsert(row_id, self._row(), None)
        elif roll < 0.25:
            self._delete(row_id)
        elif roll < 0.35:
            self._snapshot(row_id)
        else:
            self._update(row_id)

    def _row(self) -> Row:
        choice = self._chance.choice
        return Row(choice(TENANTS), choice(TITLES), f"content {self._lsn}", f"https://example.com/{self._lsn}")

    def _update(self, row_id: int) -> None:
        before = self.rows[row_id]
        after = self._row()
        if self._chance.random() < 0.3:
            after = Row(before.tenant, after.title, before.content, after.url)
            self._upsert(row_id, after, before, content=UNCHANGED)
        else:
            self._upsert(row_id, after, before)

    def _upsert(self, row_id: int, after: Row, before: Row | None, **instead: str) -> None:
        self._lsn += 1
        self.rows[row_id] = after
        columns = _columns(row_id, after) | instead
        former = None if before is None or not self._tells_before else _columns(row_id, before)
        self._send(builders.event("u", columns, former, lsn=self._lsn), row_id, after.tenant)

    def _delete(self, row_id: int) -> None:
        self._lsn += 1
        gone = self.rows.pop(row_id)
        former = _columns(row_id, gone) if self._tells_before else {"id": row_id, "tenant": "", "title": ""}
        self._send(builders.event("d", None, former, lsn=self._lsn), row_id, gone.tenant)

    def _send(self, event: object, row_id: int, tenant: str) -> None:
        said = Event(builders.place(tenant, row_id), self._lsn)
        self._sent.append((event, row_id, said))
        self._append(event, row_id, said)

    def _snapshot(self, row_id: int) -> None:
        event = builders.event("r", _columns(row_id, self.rows[row_id]), lsn=None)
        self._append(event, row_id, Event(builders.place(self.rows[row_id].tenant, row_id), 0))

    def _append(self, event: object, row_id: int, said: Event) -> None:
        partition = row_id % PARTITIONS
        self._world.append(event, row_id, partition)
        self.events[TopicPartition(TOPIC, partition)].append(said)

    def folded(self) -> dict[Place, tuple[str, str, str, str]]:
        return {
            builders.place(row.tenant, row_id): (row.tenant, row.title, row.content, row.url)
            for row_id, row in self.rows.items()
        }


def _columns(row_id: int, row: Row) -> dict[str, object]:
    return builders.row(row_id, row.tenant, title=row.title, content=row.content, url=row.url)


class Trouble:
    """Latency and faults of everything outside, until it is `over`."""

    def __init__(self, chance: random.Random, world: World) -> None:
        self.over = False
        self._chance = chance
        self._index = world.index
        world.index.before_bulk = self._in_bulk
        world.index.before_lookup = self._in_lookup
        world.index.before_locate = self._in_locator
        world.embedder.before_embed = self._in_embedder

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.choice((0, 0.01, 0.2, 3)))

    async def _in_bulk(self, places: Sequence[Place]) -> None:
        await self._wait()
        roll = 1.0 if self.over else self._chance.random()
        if roll < 0.15:
            applied = self._chance.random() < 0.5
            self._index.fail_request(RetryLater(RetryReason.TIMEOUT, "no answer"), applied=applied)
        elif roll < 0.3:
            response = self._chance.choice((REJECTED, UNAVAILABLE))
            self._index.fail_item(self._chance.choice(places).document_id, response)

    async def _in_lookup(self, _places: Sequence[Place]) -> None:
        await self._wait()
        if not self.over and self._chance.random() < 0.1:
            self._index.fail_lookup(RetryLater(RetryReason.CONNECTION, "reset"))

    async def _in_locator(self, _keys: Sequence[str]) -> None:
        await self._wait()
        if not self.over and self._chance.random() < 0.1:
            self._index.fail_locate(RetryLater(RetryReason.SERVER_ERROR, "a shard did not answer"))

    async def _in_embedder(self, _texts: Sequence[str]) -> None:
        await self._wait()


class Fleet:
    """Workers that come, go, crash, and are thrown out of their group."""

    def __init__(self, chance: random.Random, first: World, database: Database, rules: SourceRules) -> None:
        self._chance = chance
        self._rules = rules
        self._first = first
        self._database = database
        self._running: dict[World, asyncio.Task[None]] = {}
        self._rebalances: list[asyncio.Future[None]] = []
        self.everybody: list[World] = []

    def add(self) -> None:
        world = World(like=self._first, rules=self._rules, batch=BATCH, delivery=DELIVERY, fetch_max_records=5)
        world.pipeline.retrying._chance = self._chance
        world.source.on_commit.append(self._check_commit)
        self.everybody.append(world)
        self._running[world] = asyncio.create_task(world.pipeline.run())

    def _check_commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Whatever is committed is durable: at its place, or as a dead letter."""
        for partition, commit in commits.items():
            for event in self._database.events[partition][: commit.offset]:
                if event.place is not None and event.version:
                    assert self._first.index.documents[event.place].version >= event.version
            garbage = sum(event.place is None for event in self._database.events[partition][: commit.offset])
            assert len(self._first.dead_letters.sent) >= garbage

    async def step(self) -> None:
        roll = self._chance.random()
        world = self._chance.choice(list(self._running))
        if roll < 0.06:
            self._rebalances.append(asyncio.ensure_future(world.source.rebalance()))
        elif roll < 0.1 and world.source in world.source.group.members:
            self._rebalances.append(asyncio.ensure_future(world.source.expire()))
        elif roll < 0.14 and len(self._running) < 3:
            self.add()
        elif roll < 0.18:
            await self._crash(world)
        elif roll < 0.22:
            world.source.commit_faults.append(RetryLater(RetryReason.CONNECTION, "not coordinator"))

    async def _crash(self, world: World) -> None:
        # With its last commit refused, nothing is left of what this worker knew.
        await asyncio.gather(*self._rebalances)
        world.source.commit_faults.extend([RetryLater(RetryReason.CONNECTION, "crashed")] * 10)
        task = self._running.pop(world)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.source.close()
        if not self._running:
            self.add()

    async def finish(self) -> None:
        await asyncio.gather(*self._rebalances)
        for world in self._running:
            world.source.commit_faults.clear()
            await world.settle()
        for world, task in self._running.items():
            world.pipeline.stop()
            await task
            await world.source.close()


@pytest.mark.parametrize("rules", [FULL, DEFAULT], ids=["full identity", "default identity"])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_index_ends_up_as_the_fold_of_the_log(seed: int, rules: SourceRules) -> None:
    chance = random.Random(seed)
    world = World(partitions=PARTITIONS)
    database, trouble = Database(chance, world, tells_before=rules.trusts_before), Trouble(chance, world)
    fleet = Fleet(chance, world, database, rules)
    fleet.add()
    for _ in range(STEPS):
        database.step()
        await asyncio.sleep(chance.choice((0, 0, 0.05, 1)))
        await fleet.step()
    trouble.over = True
    await fleet.finish()

    shown = {
        place: (held.body["tenant"], held.body.get("title", ""), held.body["content"], held.body["url"])
        for place, held in world.index.live.items()
    }
    assert shown == database.folded()
    for partition, events in database.events.items():
        commit = world.log.commits.get((GROUP, partition))
        assert (0 if commit is None else commit.offset) == len(events)
    for one in fleet.everybody:
        assert one.verdicts.keys() <= {"indexed", "deleted", "superseded", "invalid_json", "lost_assignment"}
    rejected = {dict(letter.headers)["syncline-reason"] for letter in world.dead_letters.sent}
    assert rejected <= {b"invalid_json"}
