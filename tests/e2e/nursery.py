"""A process that has loaded the heavy libraries and forks workers off itself: each starts within a second.

A worker that is killed twenty times cannot load torch twenty times. What the child runs is the command line's own
`main`, in a process and a process group of its own. `python -m tests.e2e.nursery MODULE...` imports the modules, then
reads one JSON request a line, `{"arguments": [...], "log": "...", "before": [...]}`, and answers with the child's
process id. `before` names a function, `module:function`, and its arguments: it is called in the child first. The exit
code is written beside the log.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Never

from tests.e2e.programs import environment
from worker.cli import main

_ALL: Final = ("sentence_transformers", "worker.app.worker")


class Nursery:
    def __init__(self, log: Path, *modules: str) -> None:
        """`modules` are loaded before any child is born; by default what a worker with a real model needs."""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.nursery", *(modules or _ALL)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment(), "TOKENIZERS_PARALLELISM": "false"},
            )

    def fork(self, arguments: Sequence[str], log: Path, before: Sequence[str] = ()) -> int:
        """Start a child that runs `syncline` with these arguments; its process id, which is also its group's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"arguments": list(arguments), "log": str(log), "before": list(before)}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def exit_code_file(log: Path) -> Path:
    """Where a child leaves its exit code; one that is killed leaves none."""
    return log.with_name(f"{log.name}.code")


def serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    # Nobody waits for the children; the kernel collects them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run(request["arguments"], Path(request["log"]), request["before"])
        # A group of its own before anybody can ask for it.
        os.setpgid(child, child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def run(arguments: Sequence[str], log: Path, before: Sequence[str]) -> Never:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, out)):
        os.dup2(descriptor, number)
    if before:
        module, _, function = before[0].partition(":")
        getattr(importlib.import_module(module), function)(*before[1:])
    code = main(arguments)
    exit_code_file(log).write_text(str(code))
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1:])
