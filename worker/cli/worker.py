"""Commands that run the worker: in earnest, and as a demonstration."""

import argparse
import asyncio
import logging
from typing import TYPE_CHECKING

from worker.cli.interrupting import ends_at_once
from worker.cli.parsing import ABORTED, OK, command, settings_of

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_run(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline run`."""
    more = (
        "Starts only if Elasticsearch, Kafka, the topics, the write alias and the model are as the settings say. The "
        "first SIGTERM or Ctrl-C finishes and commits what is in flight, a second one aborts. Metrics and probes are "
        "served as the group 'server' says: /metrics, /startupz, /livez, /readyz."
    )
    command(commands, "run", "keep the index in step, until it is told to stop", _run, *parents, more=more)


def add_demo(commands: "Commands") -> None:
    """Declare `syncline demo`."""
    more = (
        "Starts servers of its own, creates the index, streams a change feed of real text through the worker, compares "
        "table and index, and searches. Reads no settings, and leaves nothing behind."
    )
    declared = command(commands, "demo", "show the whole path on this machine", _demo, more=more)
    declared.add_argument("--events", type=int, default=2000, metavar="N", help="change events (default: %(default)s)")
    declared.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C")


def _run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker import logs
    from worker.app.worker import run_worker
    from worker.runtime.daemon import AbortedError

    logs.configure(settings.log)
    log = logging.getLogger(__name__)

    def tell() -> None:
        log.warning("interrupted while starting, before anything was consumed", extra={"action": "interrupted"})

    try:
        with ends_at_once(tell):
            asyncio.run(run_worker(settings))
    except AbortedError:
        return ABORTED
    return OK


def _demo(options: argparse.Namespace) -> int:
    from worker.demo.main import run_demo

    return run_demo(events=options.events, keep=options.keep)
