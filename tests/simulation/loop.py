"""An event loop without a clock, without I/O and without chance: everything happens in the same order at every run.

Time jumps to the next timer when nothing is ready. Tasks belong to a `Process`, which can be killed or frozen at any
of their awaits, as a kernel does it with SIGKILL and SIGSTOP.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, Final

from typing_extensions import override

MOST_STEPS: Final = 2_000_000
"""Awaits after which a run counts as one that spins without getting anywhere."""


class Spinning(Exception):  # noqa: N818 - a state, found from outside
    """Something runs without end and time does not pass, or nothing can ever happen again."""


class Process:
    """The tasks of one worker: all that were created by it or on its behalf."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.steps = 0
        """Awaits that were passed so far."""
        self.kill_at: int | None = None
        """The process is killed when it reaches this step."""
        self.on_kill: Callable[[], object] = lambda: None
        self.frozen = False
        self.thawed_at = 0.0
        self._tasks: list[_Task] = []
        self._thaw: list[asyncio.Future[None]] = []

    def start(self, main: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run the main task of the process."""
        context = Context()
        context.run(CURRENT.set, self)
        return asyncio.get_running_loop().create_task(main, context=context)

    def add(self, task: "_Task") -> None:
        self._tasks.append(task)

    def kill(self) -> None:
        """End it: nothing that it still does has an effect, because everything outside refuses the dead."""
        if self.dead:
            return
        self.dead = True
        self.thaw()
        self.on_kill()
        for task in self._tasks:
            task.cancel()

    def freeze(self) -> None:
        """Let no task of it take another step until `thaw`; time goes on."""
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        self.thawed_at = asyncio.get_running_loop().time()
        waiting, self._thaw = self._thaw, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def wait_for_thaw(self) -> "asyncio.Future[None]":
        future = asyncio.get_running_loop().create_future()
        self._thaw.append(future)
        # What a coroutine yields to its task when it awaits a future.
        future._asyncio_future_blocking = True
        return future


CURRENT: Final[ContextVar[Process]] = ContextVar("CURRENT")
"""The process that runs; unset for what is outside of every process: brokers, servers, the story."""


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine of a process, watched at each of its awaits."""

    __slots__ = ("_coroutine", "_held", "_process")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], process: Process) -> None:
        self._coroutine = coroutine
        self._process = process
        self._held: BaseException | None = None

    @override
    def send(self, value: Any) -> Any:
        process = self._process
        if process.frozen:
            return process.wait_for_thaw()
        process.steps += 1
        if process.steps == process.kill_at:
            process.kill()
            return self._coroutine.throw(asyncio.CancelledError())
        if self._held is not None:
            held, self._held = self._held, None
            return self._coroutine.throw(held)
        return self._coroutine.send(value)

    @override
    def throw(self, *error: Any) -> Any:
        if self._process.frozen:
            self._held = error[0]
            return self._process.wait_for_thaw()
        return self._coroutine.throw(*error)

    @override
    def close(self) -> None:
        self._coroutine.close()

    @override
    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("only a task runs this")


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address in memory: a TaskGroup cancels in set order."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        number: int,
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._number = number  # first: the base class puts the task into a set
        super().__init__(coroutine, loop=loop, context=context)

    @override
    def __hash__(self) -> int:
        return self._number


class _NoSelector:
    """In place of waiting for sockets, which there are none of, time passes."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        self._turns += 1
        if timeout is None:
            raise Spinning("nothing is ready and no timer is set: whatever is awaited never happens")
        if self._turns > MOST_STEPS:
            raise Spinning(f"{MOST_STEPS} turns of the event loop and no end in sight")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        return


class SimulatedLoop(asyncio.BaseEventLoop):
    """Virtual time that starts at 1000 seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9
        self._numbers = itertools.count()
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # the protocol of factories is newer

    @override
    def time(self) -> float:
        return self.now

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> _Task:
        process = CURRENT.get(None) if context is None else context.get(CURRENT)
        if process is None:
            return _Task(coroutine, next(self._numbers), loop, context)
        task = _Task(_Stepped(coroutine, process), next(self._numbers), loop, context)
        process.add(task)
        return task

    def _process_events(self, _events: list[object]) -> None:
        return

    def _write_to_self(self) -> None:
        return


def run(main: Coroutine[Any, Any, Any], on_error: Callable[[BaseException | None, str], object]) -> None:
    """Run to the end; what nobody awaits and fails is told to `on_error`."""
    loop = SimulatedLoop()
    loop.set_exception_handler(lambda _loop, context: on_error(context.get("exception"), context["message"]))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main)
    finally:
        _end(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end(loop: SimulatedLoop) -> None:
    remaining = sorted((task for task in asyncio.all_tasks(loop) if isinstance(task, _Task)), key=hash)
    for task in remaining:
        task.cancel()
    if remaining:
        loop.run_until_complete(asyncio.gather(*remaining, return_exceptions=True))
