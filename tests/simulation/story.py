"""A story: what the surroundings are like, and a list of steps, each complete in itself.

All of it is drawn from a seed before anything runs, so that any part of the list is a story too: that is what makes a
failing one shrink. What is drawn while it runs (how long a request takes) comes from streams named after their use.
"""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import orjson

from tests.simulation.database import Identity, Schema

TENANTS: Final = ("acme", "globex", "initech")
TITLES: Final = ("queues", "soup", "running", "")
ROWS: Final = 6


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the table, the servers and the workers are like."""

    schema: Schema = Schema(Identity.FULL)
    workers: int = 1
    shards: int = 1
    gc_deletes: float = 60.0
    latency: int = 0
    """0: all at once; 1: milliseconds; 2: now and then as long as a client waits."""
    fetch_max_records: int = 500
    lookup_documents: int = 500
    embed_texts: int = 32
    bulk_documents: int = 1000
    bulk_concurrency: int = 2
    in_flight_records: int = 1000
    max_bytes: int = 1 << 26


@dataclass(frozen=True, slots=True)
class Step:
    """Wait `turns` of the event loop and `pause` virtual seconds, then do `what` with what stands beside it."""

    what: str
    pause: float = 0.0
    turns: int = 0
    row: int = 0
    tenant: int = 0
    to: int = 0
    title: int = 0
    txn: int | None = None
    worker: int = 0
    count: int = 0
    seconds: float = 0.0
    kind: str = ""

    def tell(self) -> str:
        """Return the step as a line of the story."""
        words = [f"{name} {value}" for name, value in _given(self).items() if name not in {"what", "pause", "turns"}]
        wait = f"after {self.pause:g} s: " if self.pause else f"after {self.turns} turns: " if self.turns else ""
        return f"{wait}{self.what.replace('_', ' ')} {', '.join(words)}".rstrip()


@dataclass(frozen=True, slots=True)
class Story:
    """`seed` also seeds what is drawn while it runs."""

    seed: int
    surroundings: Surroundings
    steps: tuple[Step, ...]

    def as_json(self) -> str:
        """Return the story as a line that `from_json` reads."""
        return orjson.dumps(
            {
                "seed": self.seed,
                "surroundings": _given(self.surroundings) | {"schema": _given(self.surroundings.schema)},
                "steps": [_given(one) for one in self.steps],
            }
        ).decode()

    @staticmethod
    def from_json(text: str | bytes) -> "Story":
        """Read a story."""
        told = orjson.loads(text)
        schema = told["surroundings"].pop("schema")
        identity = Identity(schema.pop("identity", Identity.FULL))
        return Story(
            told["seed"],
            Surroundings(Schema(identity, **schema), **told["surroundings"]),
            tuple(Step(**one) for one in told["steps"]),
        )

    def tell(self) -> str:
        """Return the story for a person: one line a step."""
        given = {"table": self.surroundings.schema.identity.value}
        given |= _given(self.surroundings.schema) | _given(self.surroundings)
        where = ", ".join(f"{name} {value}" for name, value in given.items() if name not in {"schema", "identity"})
        return "\n".join([f"  ({where})", *(f"  {one.tell()}" for one in self.steps)])


def _given(what: "Step | Schema | Surroundings") -> dict[str, Any]:
    """What differs from the default."""
    values = ((one, getattr(what, one.name)) for one in fields(what))
    return {one.name: value for one, value in values if one.name in {"identity", "what"} or value != one.default}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Workloads that the worker does not survive yet: each is allowed by the test that shows it, and by no seed.

    docs/reliability.md tells each of them.
    """

    toast_with_key_changes: bool = False
    toast_with_rejections: bool = False
    snapshots_with_transactions: bool = False
    global_ids_with_moves: bool = False
    tenant_outside_key: bool = False


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
        global_ids=identity is Identity.FULL and chance.random() < 0.3,
        toast=identity is not Identity.FULL and chance.random() < 0.5,
        partitions=chance.choice((1, 2, 3)),
    )
    small = chance.random() < 0.5
    return Surroundings(
        schema=schema,
        workers=chance.choice((1, 1, 2, 3)),
        shards=chance.choice((1, 2, 3)),
        gc_deletes=chance.choice((2.0, 60.0)),
        latency=chance.choice((0, 1, 1, 2)),
        fetch_max_records=chance.choice((3, 10, 500)),
        lookup_documents=chance.choice((1, 3)) if small else 500,
        embed_texts=chance.choice((1, 2)) if small else 32,
        bulk_documents=chance.choice((1, 3)) if small else 1000,
        bulk_concurrency=chance.choice((1, 2, 3)),
        in_flight_records=chance.choice((4, 20, 1000)),
        max_bytes=chance.choice((1000, 3000, 1 << 26)),
    )


def _steps(chance: random.Random, schema: Schema, allowed: Allowed) -> list[Step]:
    statements = _statements(chance, schema, allowed)
    troubles = chance.choice((0.1, 0.3, 0.5))
    count = chance.choice((20, 35, 50))
    hurry = chance.choice((0.3, 0.7, 0.95))
    pauses = chance.choice(((0.05, 0.5), (0.5, 2.0), (1.0, 8.0)))
    steps = []
    for _ in range(count):
        make = _TROUBLES if chance.random() < troubles else statements
        step = chance.choices([one for _, one in make], [weight for weight, _ in make])[0](chance)
        if chance.random() < hurry:
            steps.append(replace(step, turns=chance.choice((0, 0, 1, 5, 20))))
        else:
            steps.append(replace(step, pause=chance.choice(pauses)))
    return steps


Maker = Callable[[random.Random], Step]


def _on_row(what: str, *, settled: bool, **more: Callable[[random.Random], Any]) -> Maker:
    """Many statements go to one row: what is written often meets itself. `settled` rows never change their tenant."""

    def make(chance: random.Random) -> Step:
        row = 0 if chance.random() < 0.4 else chance.randrange(ROWS)
        tenant = 0 if chance.random() < 0.5 else chance.randrange(len(TENANTS))
        if settled:
            tenant = row % len(TENANTS)
        return Step(what, row=row, tenant=tenant, **{name: one(chance) for name, one in more.items()})

    return make


def _statements(chance: random.Random, schema: Schema, allowed: Allowed) -> Sequence[tuple[int, Maker]]:
    """What this story's database does: not all of it in every story, or no story could leave out what it cannot have."""
    snapshots = chance.random() < 0.5
    key_changes = not schema.toast or allowed.toast_with_key_changes
    tells_tenant = schema.identity is not Identity.DEFAULT or allowed.tenant_outside_key
    tenants_change = tells_tenant and (not schema.global_ids or allowed.global_ids_with_moves)
    moves = tenants_change and (schema.identity is not Identity.TENANT_IN_KEY or key_changes)
    transactions = not snapshots or allowed.snapshots_with_transactions
    on_row = functools.partial(_on_row, settled=not tenants_change)

    def txn(one: random.Random) -> int | None:
        return one.choice((None, None, 0, 1)) if transactions else None

    def to(one: random.Random) -> int:
        return one.randrange(len(TENANTS))

    def title(one: random.Random) -> int:
        return one.randrange(-1, len(TITLES))

    makers: list[tuple[int, Maker]] = [
        (10, on_row("upsert", title=title, txn=txn)),
        (2, on_row("retitle", title=title, txn=txn)),
        (4, on_row("touch", txn=txn)),
        (4, on_row("delete", txn=txn)),
        (2, lambda one: Step("restart_connector", count=one.randint(1, 12))),
        (1, on_row("garbage")),
        (1, on_row("marker")),
    ]
    if not schema.toast or allowed.toast_with_rejections:
        makers.append((1, on_row("poison")))
    if not snapshots:
        # Without the records that were deleted and without a commit, a watermark is too low to mend what drifted.
        makers.append((1, lambda _: Step("retention")))
    if moves:
        makers.append((6, on_row("move", to=to, txn=txn)))
    if key_changes and tenants_change:
        makers.append((3, on_row("rekey", to=lambda one: one.randrange(ROWS + 2), txn=txn)))
    if transactions:
        makers.append((4, lambda one: Step("commit", txn=one.randrange(2))))
    if snapshots:
        makers += [(3, lambda _: Step("snapshot_begin")), (4, lambda _: Step("snapshot_end"))]
    if snapshots and not schema.toast:
        # A snapshot leaves out what an event has mentioned meanwhile, even one that leaves the drifted value out.
        makers.append((2, on_row("drift")))
    return makers


def _seconds(*choices: float) -> Callable[[random.Random], float]:
    return lambda chance: chance.choice(choices)


def _on_worker(what: str, **more: Callable[[random.Random], Any]) -> Maker:
    return lambda chance: Step(
        what, worker=chance.randrange(3), **{name: one(chance) for name, one in more.items()}
    )


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
    (1, lambda chance: Step("forget_commits")),
)
