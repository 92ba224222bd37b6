"""Draws stories from seeds: a change here gives every seed another one, so what failed is kept as a story."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.simulation.database import Identity, Schema
from tests.simulation.story import ROWS, TENANTS, TITLES, Step, Story, Surroundings


@dataclass(frozen=True, slots=True)
class Allowed:
    """Workloads that the worker does not survive yet: each is allowed by the test that shows it, and by no seed.

    docs/reliability.md tells each of them.
    """

    toast_with_all_key_changes: bool = False
    toast_with_rejections: bool = False
    toast_with_more_partitions: bool = False
    unseen_moves_with_more_partitions: bool = False
    snapshots_with_more_partitions: bool = False
    drifts_with_late_writes: bool = False


NOTHING_MORE: Final = Allowed()


def draw(seed: int, allowed: Allowed = NOTHING_MORE) -> Story:
    """Return the story of a seed."""
    chance = random.Random(f"story {seed}")
    surroundings = _surroundings(chance)
    steps = tuple(_steps(chance, surroundings.schema, allowed))
    return Story(seed, surroundings, steps)


def _surroundings(chance: random.Random) -> Surroundings:
    identity = chance.choice(tuple(Identity))
    schema = Schema(
        identity=identity,
        global_ids=identity is not Identity.TENANT_IN_KEY and chance.random() < 0.6,
        toast=identity is not Identity.FULL and chance.random() < 0.5,
        partitions=chance.choice((1, 2, 3)),
    )
    if identity is Identity.TENANT_IN_KEY and schema.toast and chance.random() < 0.6:
        # Only there may keys change while values are left out.
        schema = replace(schema, partitions=1)
    # Key changes that leave values out: their halves meet trouble where they come apart.
    apart = identity is Identity.TENANT_IN_KEY and schema.toast and schema.partitions == 1
    small = chance.random() < (0.8 if apart else 0.5)
    # A deletion that waits for its new key takes room; where there is next to none, the new key is not read meanwhile.
    least = 1000 if schema.toast and schema.partitions == 1 else 0
    return Surroundings(
        schema=schema,
        workers=chance.choice((1, 1, 2, 3)),
        shards=chance.choice((1, 2, 3)),
        gc_deletes=chance.choice((2.0, 60.0)),
        latency=chance.choice((0, 1, 1, 2)),
        fetch_max_records=chance.choice((1, 3, 3) if apart else (3, 10, 500)),
        lookup_documents=chance.choice((1, 3)) if small else 500,
        embed_texts=chance.choice((1, 2)) if small else 32,
        bulk_documents=chance.choice((1, 3)) if small else 1000,
        bulk_concurrency=chance.choice((1, 2, 3)),
        in_flight_records=max(least, chance.choice((4, 20, 1000))),
        max_bytes=chance.choice((1000, 3000, 1 << 26)),
    )


def _steps(chance: random.Random, schema: Schema, allowed: Allowed) -> list[Step]:
    workload = _Workload(chance, schema, allowed)
    statements = workload.makers()
    late = allowed.drifts_with_late_writes or not workload.drifts
    troubles = chance.choice((0.1, 0.3, 0.5))
    count = chance.choice((20, 35, 50))
    hurry = chance.choice((0.3, 0.7, 0.95))
    pauses = chance.choice(((0.05, 0.5), (0.5, 2.0), (1.0, 8.0)))
    steps = []
    for _ in range(count):
        make = _TROUBLES if chance.random() < troubles else statements
        step = chance.choices([one for _, one in make], [weight for weight, _ in make])[0](chance)
        if not late and (step.what in {"freeze", "expel"} or step.kind == "late"):
            continue
        if chance.random() < hurry:
            steps.append(replace(step, turns=chance.choice((0, 0, 1, 5, 20))))
        else:
            steps.append(replace(step, pause=chance.choice(pauses)))
    return steps


Maker = Callable[[random.Random], Step]


def _on_row(what: str, **more: Callable[[random.Random], Any]) -> Maker:
    """Many statements go to one row: what is written often meets itself."""

    def make(chance: random.Random) -> Step:
        row = 0 if chance.random() < 0.4 else chance.randrange(ROWS)
        tenant = 0 if chance.random() < 0.5 else chance.randrange(len(TENANTS))
        return Step(what, row=row, tenant=tenant, **{name: one(chance) for name, one in more.items()})

    return make


class _Workload:
    """What this story's database does: not all in every story, for some of it must not meet the rest."""

    def __init__(self, chance: random.Random, schema: Schema, allowed: Allowed) -> None:
        told = schema.identity is Identity.TENANT_IN_KEY and schema.partitions == 1
        key_changes = not schema.toast or told or allowed.toast_with_all_key_changes
        self._snapshots = chance.random() < 0.5
        self._moves = schema.identity is not Identity.TENANT_IN_KEY or key_changes
        self._rekeys = key_changes
        # Where values are left out, a key change is of interest only right behind another change.
        self._often_rekeyed = 8 if schema.toast else 3
        # A snapshot leaves out what an event has mentioned meanwhile, even one that leaves the drifted value out.
        self._drifts = self._snapshots and not schema.toast
        # Only a row whose former place no event tells is looked for.
        self._strays = self._drifts and schema.identity is Identity.DEFAULT
        self._rejections = not schema.toast or allowed.toast_with_rejections
        # A tombstone of a document's own id can hide that one's dead letter: what leads there is rare.
        self._often_refused = 3 if schema.global_ids else 1
        # Without the records that were deleted and without a commit, a watermark is too low to mend what has drifted.
        self._retention = not self._snapshots
        # A partition that was added has no watermark yet: it is too low to mend what has drifted.
        self._partitions = (
            not self._drifts
            and (not self._snapshots or allowed.snapshots_with_more_partitions)
            and (not schema.toast or allowed.toast_with_more_partitions)
            and (schema.identity is not Identity.DEFAULT or allowed.unseen_moves_with_more_partitions)
        )

    @property
    def drifts(self) -> bool:
        """Whether rows change without an event, for snapshots to mend."""
        return self._drifts

    def makers(self) -> list[tuple[int, Maker]]:
        """Return what may happen, each with its weight."""
        on_row, txn = _on_row, _txn
        always = [
            (10, on_row("upsert", title=_title, txn=txn)),
            (2, on_row("retitle", title=_title, txn=txn)),
            (4, on_row("touch", txn=txn)),
            (4, on_row("delete", txn=txn)),
            (4, lambda chance: Step("commit", txn=chance.randrange(2))),
            (2, lambda chance: Step("restart_connector", count=chance.randint(1, 12))),
            (1, on_row("garbage")),
            (1, on_row("marker")),
        ]
        return always + [
            maker
            for wanted, *makers in (
                (self._rejections, (self._often_refused, on_row("poison"))),
                (self._retention, (1, lambda _: Step("retention"))),
                (self._moves, (6, on_row("move", to=lambda chance: chance.randrange(len(TENANTS)), txn=txn))),
                (
                    self._rekeys,
                    (self._often_rekeyed, on_row("rekey", to=lambda chance: chance.randrange(ROWS + 2), txn=txn)),
                ),
                (self._snapshots, (3, lambda _: Step("snapshot_begin")), (4, lambda _: Step("snapshot_end"))),
                (self._drifts, (2, on_row("drift"))),
                (
                    self._strays,
                    (2, on_row("drift_away", to=lambda chance: chance.randrange(len(TENANTS)))),
                ),
                (self._partitions, (1, lambda _: Step("add_partition"))),
            )
            if wanted
            for maker in makers
        ]


def _txn(chance: random.Random) -> int | None:
    return chance.choice((None, None, 0, 1))


def _title(chance: random.Random) -> int:
    return chance.randrange(-1, len(TITLES))


def _seconds(*choices: float) -> Callable[[random.Random], float]:
    return lambda chance: chance.choice(choices)


def _on_worker(what: str, **more: Callable[[random.Random], Any]) -> Maker:
    return lambda chance: Step(what, worker=chance.randrange(3), **{name: one(chance) for name, one in more.items()})


_BULK_FAULTS: Final = ("refused", "unavailable", "cut", "lost", "garbled", "late", "items", "items", "half")
_TROUBLES: Final[Sequence[tuple[int, Maker]]] = (
    (6, lambda chance: Step("bulk_fault", kind=chance.choice(_BULK_FAULTS), count=chance.randint(1, 3))),
    (1, lambda chance: Step("lookup_fault", count=chance.randint(1, 3))),
    (5, _on_worker("crash", count=lambda one: one.choice((1, 3, 10, 30, 100, 300)) + one.randrange(10))),
    (3, _on_worker("freeze", seconds=_seconds(0.5, 4, 15, 40))),
    (2, _on_worker("expel", seconds=_seconds(0, 1, 3))),
    (2, lambda _: Step("rebalance")),
    (2, lambda _: Step("join")),
    (2, _on_worker("stop")),
    (2, _on_worker("commit_fault", kind=lambda one: one.choice(("lost", "refused")))),
    (1, lambda chance: Step("server_restart", seconds=chance.choice((0.5, 3, 20)))),
    (1, lambda chance: Step("write_block", seconds=chance.choice((0.5, 3, 20)))),
    (1, lambda chance: Step("dead_letters_fail", seconds=chance.choice((0.5, 3)))),
    (1, lambda _: Step("forget_commits")),
)
