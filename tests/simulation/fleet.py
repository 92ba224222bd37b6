"""As many workers as there should be: what ends is judged and replaced, as a Deployment does it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.invariants import Violation
from tests.simulation.workers import DRAIN_SECONDS, Worker, World
from worker.errors import HaltReason

if TYPE_CHECKING:
    from tests.simulation.story import Surroundings

MOST_WORKERS: Final = 3
RESTART_SECONDS: Final = 3.0
_STOP_SECONDS: Final = DRAIN_SECONDS + 11.0
"""A drain, two commits of at most five seconds each, and a little."""
_HALTS: Final = frozenset({HaltReason.WRITE_BLOCKED.value, HaltReason.DEAD_LETTERS_UNAVAILABLE.value})
"""What the stories give a reason for."""


class Fleet:
    """`wanted` workers."""

    def __init__(
        self, world: World, wanted: int, found: Callable[[Violation], object], note: Callable[[str], object]
    ) -> None:
        self.wanted = wanted
        self.replaying: Surroundings | None = None
        """How much new workers take at a time, where that is not the story's to say."""
        self.running: list[Worker] = []
        self.everybody: list[Worker] = []
        self._world = world
        self._found = found
        self._note = note
        self._restarting = 0

    def keep_up(self) -> None:
        """Start those that are missing."""
        while len(self.running) + self._restarting < self.wanted:
            self._start()

    def _start(self) -> None:
        name = f"w{len(self.everybody) + 1}"
        worker = Worker(name, self._world, self.replaying or self._world.surroundings)
        self.running.append(worker)
        self.everybody.append(worker)
        worker.start()
        worker.task.add_done_callback(lambda _task: self._ended(worker))
        self._note(f"{name} starts")

    def _restart(self) -> None:
        self._restarting -= 1
        self.keep_up()

    def _ended(self, worker: Worker) -> None:
        self.running.remove(worker)
        how = "is killed" if worker.process.dead else "ends"
        self._note(f"{worker.name} {how} after {worker.process.steps} steps, {worker.ended_with!r}")
        self._judge(worker)
        if len(self.running) + self._restarting < self.wanted:
            self._restarting += 1
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _judge(self, worker: Worker) -> None:
        """A worker ends when it is killed or stopped, and halts for a reason; nothing else ends it."""
        if unfounded := worker.halts - _reasons(worker):
            self._found(Violation("unexpected", f"{worker.name} was halted by {', '.join(sorted(unfounded))}"))
        if worker.process.dead:
            return
        cause = worker.ended_with
        if cause is None and worker.stopped_at is not None:
            seconds = asyncio.get_running_loop().time() - max(worker.stopped_at, worker.process.thawed_at)
            if seconds > _STOP_SECONDS:
                self._found(Violation("I9 drain", f"{worker.name} took {seconds:.0f} s to stop"))
        else:
            self._found(Violation("unexpected", f"{worker.name} has ended by itself: {cause!r}"))


def _reasons(worker: Worker) -> frozenset[str]:
    """Retention deletes only what is committed: nobody but a worker that was thrown out may still want to read it."""
    lost = any(client.lost_as_owner for client in worker.clients)
    return _HALTS if lost else _HALTS | {HaltReason.OFFSETS_LOST.value}
