"""A process that has loaded the heavy libraries and forks workers off itself: each starts within a second.

A worker that is killed twenty times cannot load torch twenty times. What the child runs is the command line's own
`main`, in a process and a process group of its own. `python -m tests.e2e.nursery` reads one JSON request a line,
`{"arguments": [...], "log": "..."}`, and answers with the child's process id.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from tests.e2e.programs import environment
from worker.cli import main


class Nursery:
    def __init__(self, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment(), "TOKENIZERS_PARALLELISM": "false"},
            )

    def fork(self, arguments: Sequence[str], log: Path) -> int:
        """Start a child that runs `syncline` with these arguments; its process id, which is also its group's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"arguments": list(arguments), "log": str(log)}), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    import sentence_transformers  # noqa: F401, PLC0415 - loaded here, once, for all children

    import worker.app.worker  # noqa: F401, PLC0415

    # Nobody waits for the children; the kernel collects them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run(request["arguments"], request["log"])
        # A group of its own before anybody can ask for it.
        os.setpgid(child, child)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def run(arguments: Sequence[str], log: str) -> Never:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, out, out)):
        os.dup2(descriptor, number)
    os._exit(main(arguments))


if __name__ == "__main__":
    serve()
