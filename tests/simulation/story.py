"""A story: what the surroundings are like, and a list of steps, each complete in itself.

All of it is there before anything runs (`drawing` draws it from a seed), so that any part of the list is a story too:
that is what makes a failing one shrink. What is drawn while it runs (how long a request takes) comes from streams named
after their use.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import orjson

from tests.simulation.database import Identity, Schema

TENANTS: Final = ("acme", "globex", "initech")
TITLES: Final = ("queues", "soup", "running", "")
ROWS: Final = 6


_FULL: Final = Schema(Identity.FULL)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the table, the servers and the workers are like."""

    schema: Schema = _FULL
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
