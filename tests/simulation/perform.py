"""Performs a story: lets each step happen while the workers work, waits for rest, replays the topic, and judges."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final
from unittest import mock

from tests.simulation import invariants, loop
from tests.simulation.broker import CommitFault
from tests.simulation.database import Database, Identity
from tests.simulation.elasticsearch import POISON, BulkFault, Document
from tests.simulation.fleet import MOST_WORKERS, Fleet
from tests.simulation.invariants import Violation, Watching
from tests.simulation.story import TENANTS, TITLES, Step, Story, Surroundings
from tests.simulation.workers import Chances, Worker, World
from worker.ports import Commit
from worker.records import Place, TopicPartition
from worker.runtime import monitor

PATIENCE_SECONDS: Final = 900.0
"""Virtual seconds after which what is not done will not be done."""
_LATE_SECONDS: Final = 20.0
"""Longer than the server holds any request."""
_POLL_SECONDS: Final = 0.5


@dataclass
class Outcome:
    """What became of a story."""

    violation: Violation | None = None
    events: list[str] = field(default_factory=list)
    """All that happened, in order."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """How the records ended, of all workers together, before the replay."""
    replay_writes: int = 0
    """Documents that the replay wrote, be it as they were."""

    @property
    def digest(self) -> str:
        return blake2b("\n".join(self.events).encode(), digest_size=8).hexdigest()


def _title(step: Step) -> str | None:
    return None if step.title < 0 else TITLES[step.title]


_Statement = Callable[[Database, Step, object, object], object]
_STATEMENTS: Final[Mapping[str, _Statement]] = {
    "upsert": lambda table, step, tenant, _: table.upsert(step.row, tenant, _title(step), txn=step.txn),
    "retitle": lambda table, step, tenant, _: table.upsert(step.row, tenant, _title(step), content=False, txn=step.txn),
    "touch": lambda table, step, tenant, _: table.upsert(step.row, tenant, None, content=False, txn=step.txn),
    "poison": lambda table, step, tenant, _: table.upsert(step.row, tenant, POISON, txn=step.txn),
    "move": lambda table, step, tenant, to: table.move(step.row, tenant, to, txn=step.txn),
    "rekey": lambda table, step, tenant, _: table.rekey(step.row, tenant, step.to, txn=step.txn),
    "delete": lambda table, step, tenant, _: table.delete(step.row, tenant, txn=step.txn),
    "drift": lambda table, step, tenant, _: table.drift(step.row, tenant),
    "drift_away": lambda table, step, tenant, to: table.drift(step.row, tenant, to),
    "commit": lambda table, step, *_: table.commit(step.txn or 0),
    "snapshot_begin": lambda table, *_: table.snapshot_begin(),
    "snapshot_end": lambda table, *_: table.snapshot_end(),
    "add_partition": lambda table, *_: table.add_partition(),
    "restart_connector": lambda table, step, *_: table.restart_connector(step.count),
    "garbage": lambda table, step, *_: table.garbage(step.row),
    "marker": lambda table, step, *_: table.marker(step.row),
}
"""What a step does to the table, given its tenant and the one it moves to."""


def perform(story: Story) -> Outcome:
    """Perform a story and return what became of it; the same story gives the same outcome."""
    performance = _Performance(story)
    with _without_side_shows():
        try:
            loop.run(performance.all(), performance.unexpected)
        except loop.Spinning as spinning:
            performance.found(Violation("progress", str(spinning)))
    return performance.outcome


@contextmanager
def _without_side_shows() -> Iterator[None]:
    """No log lines, and gauges set rarely: both would take most of the time."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(monitor, "_TICK_SECONDS", 30.0):
            yield
    finally:
        logging.disable(disabled)


class _Performance:
    def __init__(self, story: Story) -> None:
        self.outcome = Outcome()
        self._story = story
        self._chances = Chances(story.seed, story.surroundings.latency)
        self._world = World(story.surroundings, self._chances)
        self._database = Database(story.surroundings.schema, self._world.broker)
        self._watching = Watching(self._world, self._database)
        self._written_again: list[tuple[Place, Document | None, Document]] = []
        self._fleet = Fleet(self._world, story.surroundings.workers, self.found, self._note)
        self._watching.drifts = any(one.what in {"drift", "drift_away"} for one in story.steps)
        broker, server = self._world.broker, self._world.server
        broker.on_commit = self._committed
        broker.on_event = self._note
        server.on_write.append(self._written)

    # What is watched.

    def found(self, violation: Violation) -> None:
        """Keep the first one: what follows may follow from it."""
        self.outcome.violation = self.outcome.violation or violation

    def unexpected(self, error: BaseException | None, message: str) -> None:
        self.found(Violation("unexpected", f"{message}: {error!r}"))

    def _note(self, what: str) -> None:
        self.outcome.events.append(f"{asyncio.get_running_loop().time():.4f} {what}")

    def _check(self, invariant: Callable[..., None], *what: object) -> None:
        try:
            invariant(*what)
        except Violation as violation:
            self.found(violation)

    def _committed(self, who: str, commits: Mapping[TopicPartition, Commit]) -> None:
        said = ", ".join(f"{one.partition}: {commit.offset} {commit.metadata}" for one, commit in commits.items())
        self._note(f"{who} commits {said}")
        self._check(self._watching.commits_are_durable, who, commits)
        self._check(self._watching.watermarks_follow_from_the_log, who, commits)

    def _written(self, place: Place, before: Document | None, after: Document) -> None:
        self._note(f"stored {place.document_id} at {place.tenant} {after.version} {'gone' if after.tombstone else ''}")
        self._written_again.append((place, before, after))
        self._check(self._watching.nothing_goes_back, place, before, after)
        self._check(self._watching.tenants_are_apart, place, before, after)
        self._check(self._watching.documents_are_rows, place, before, after)

    # The story.

    async def all(self) -> None:
        try:
            await self._all()
        except Violation as violation:
            self.found(violation)

    async def _all(self) -> None:
        self._fleet.keep_up()
        for step in self._story.steps:
            for _ in range(step.turns):
                await asyncio.sleep(0)
            if step.pause:
                await asyncio.sleep(step.pause)
            self._note(step.tell())
            self._do(step)
            self._look()
            self._stop_at_a_violation()
        await self._heal()
        await self._judge()
        await self._replay()
        self._stop_at_a_violation()

    def _stop_at_a_violation(self) -> None:
        if self.outcome.violation is not None:
            raise self.outcome.violation

    def _look(self) -> None:
        """What is looked at between steps."""
        self._check(invariants.readers_see_their_own, self._world, map(str, self._tenants))
        for worker in self._fleet.running:
            self._check(self._watching.memory_is_bounded, worker)

    @property
    def _tenants(self) -> tuple[object, ...]:
        """As numbers where the default of the column's type would be mistaken for one."""
        return (1, 2, 3) if self._story.surroundings.schema.identity is Identity.DEFAULT else TENANTS

    def _do(self, step: Step) -> None:
        do = getattr(self, f"_do_{step.what}", None)
        if do is not None:
            do(step)
        else:
            self._statement(step)

    def _statement(self, step: Step) -> None:
        tenants = self._tenants
        _STATEMENTS[step.what](self._database, step, tenants[step.tenant], tenants[step.to % len(tenants)])

    def _do_bulk_fault(self, step: Step) -> None:
        self._world.bulk_faults.extend([BulkFault(step.kind)] * step.count)

    def _do_lookup_fault(self, step: Step) -> None:
        self._world.lookup_faults += step.count

    def _do_retention(self, _step: Step) -> None:
        for partition, commit in self._world.broker.commits.items():
            self._world.broker.delete_before(partition, commit.offset)

    def _do_server_restart(self, step: Step) -> None:
        self._world.server.down = True
        asyncio.get_running_loop().call_later(step.seconds, setattr, self._world.server, "down", False)  # noqa: FBT003

    def _do_write_block(self, step: Step) -> None:
        self._world.server.blocked = True
        asyncio.get_running_loop().call_later(step.seconds, setattr, self._world.server, "blocked", False)  # noqa: FBT003

    def _do_dead_letters_fail(self, step: Step) -> None:
        self._world.dead_letters.down = True
        asyncio.get_running_loop().call_later(step.seconds, setattr, self._world.dead_letters, "down", False)  # noqa: FBT003

    def _do_rebalance(self, _step: Step) -> None:
        self._world.broker.rebalance()

    def _do_join(self, _step: Step) -> None:
        self._fleet.wanted = min(MOST_WORKERS, self._fleet.wanted + 1)
        self._fleet.keep_up()

    def _worker(self, step: Step) -> Worker | None:
        running = self._fleet.running
        return running[step.worker % len(running)] if running else None

    def _do_stop(self, step: Step) -> None:
        if (worker := self._worker(step)) is not None and not worker.process.frozen:
            worker.stop()

    def _do_crash(self, step: Step) -> None:
        if (worker := self._worker(step)) is not None:
            worker.process.kill_at = worker.process.steps + step.count

    def _do_freeze(self, step: Step) -> None:
        if (worker := self._worker(step)) is not None and not worker.process.frozen:
            worker.freeze(step.seconds)

    def _do_expel(self, step: Step) -> None:
        if (worker := self._worker(step)) is not None:
            self._world.broker.expel(worker.client, step.seconds)

    def _do_commit_fault(self, step: Step) -> None:
        if (worker := self._worker(step)) is not None:
            worker.client.commit_faults.append(CommitFault(applied=step.kind == "lost"))

    def _do_forget_commits(self, _step: Step) -> None:
        """The group has been empty for longer than the broker keeps its offsets."""
        for worker in list(self._fleet.running):
            worker.process.kill()
            self._world.broker.leave(worker.client)
        self._world.broker.commits.clear()
        lost = any(held.first for held in self._world.broker.partitions.values())
        self._watching.watermarks_known = self._watching.watermarks_known and not lost

    # The end.

    async def _heal(self) -> None:
        """End all trouble, and let the database finish what it has begun."""
        world, database = self._world, self._database
        world.server.down = world.server.blocked = world.dead_letters.down = False
        world.bulk_faults.clear()
        world.lookup_faults = 0
        self._chances.latency = 0
        for worker in self._fleet.running:
            worker.process.thaw()
            worker.process.kill_at = None
            worker.client.commit_faults.clear()
        database.snapshot_end()
        database.commit_all()
        if database.drifted:
            database.snapshot_begin()
            database.snapshot_end()
        self._note("all trouble is over")
        await self._until("not every record has got its verdict and its commit", self._at_rest)
        await asyncio.sleep(_LATE_SECONDS)

    def _at_rest(self) -> bool:
        return (
            bool(self._fleet.running)
            and not self._world.broker.rebalancing
            and not any(worker.stopping or worker.pipeline.ledger.open_records for worker in self._fleet.running)
            and not any(map(self._world.broker.has_more, self._world.broker.partitions))
        )

    async def _until(self, complaint: str, condition: Callable[[], bool]) -> None:
        seconds = 0.0
        while not condition():
            self._stop_at_a_violation()
            if seconds > PATIENCE_SECONDS:
                raise Violation("progress", f"{complaint} within {PATIENCE_SECONDS:g} s after all trouble was over")
            await asyncio.sleep(_POLL_SECONDS)
            seconds += _POLL_SECONDS

    async def _judge(self) -> None:
        world, database = self._world, self._database
        invariants.index_equals_database(world, database)
        invariants.ids_are_unique(world, database)
        resting = list(self._fleet.running)
        await self._fleet_ends()
        invariants.every_record_has_one_verdict(resting, self._fleet.everybody)
        invariants.what_was_written_counts_as_written(world, database, self._fleet.everybody)
        self.outcome.verdicts = sum((one.verdicts for one in self._fleet.everybody), Counter())
        invariants.dead_letters_are_whole(world)
        invariants.refused_changes_can_come_again(world, database)
        invariants.rejected_for_a_reason(world, self._reasons())

    def _reasons(self) -> set[str]:
        """For what this story's changes may be put aside."""
        reasons = {one.what for one in self._story.steps}
        named = {"garbage": {"invalid_json"}, "poison": {"document_refused"}}
        found = {reason for what, names in named.items() if what in reasons for reason in names}
        if "poison" in reasons and self._story.surroundings.schema.toast:
            found.add("unchanged_value_lost")  # the value was in what was refused
        return found

    async def _fleet_ends(self) -> None:
        self._fleet.wanted = 0
        for worker in self._fleet.running:
            worker.stop()
        await self._until("a worker that was stopped has not ended", lambda: not self._fleet.running)
        self._stop_at_a_violation()

    async def _replay(self) -> None:
        """Let a new worker read the whole topic, when real deletes would be forgotten."""
        world = self._world
        await asyncio.sleep(world.server.gc_deletes + 1)
        self._note("the whole topic again")
        world.broker.commits.clear()
        self._watching.watermarks_known = not any(held.first for held in world.broker.partitions.values())
        texts, shown, self._written_again = world.model.texts, world.server.live, []
        # All at once, so that changes join in other ways than before; or one by one, so that each shows what it does.
        one_by_one = self._story.seed % 2 == 1
        self._chances.fetch_seconds = 0.001 if one_by_one else 0.0
        self._fleet.replaying = Surroundings(fetch_max_records=1 if one_by_one else 500)
        self._fleet.wanted = 1
        self._fleet.keep_up()
        await self._until("the replay has not come to its end", self._at_rest)
        await self._fleet_ends()
        self.outcome.replay_writes = len(self._written_again)
        if not any(dict(one.headers)["syncline-reason"] == b"document_refused" for one in world.dead_letters.sent):
            # A refused change may have hidden an older one; read apart from it, that one is indexed after all.
            invariants.replay_changes_nothing(world, texts, shown, self._written_again)
