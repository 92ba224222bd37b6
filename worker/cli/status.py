"""The command that says how everything is now."""

import argparse
import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.cli.parsing import FAILED, MISTAKE, OK, command, number, settings_of
from worker.cli.printing import say

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_status(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline status`."""
    more = (
        "Looks twice, some seconds apart, at what waits in Kafka and what the group does of it; asks the worker at "
        "server.host and server.port, or those given, how it is, and Elasticsearch what it holds. Only reads: joins "
        "no consumer group, commits and writes nothing. Exits with 1 if something is wrong (no member, a halt, "
        "nothing done of what waits, changes lost), with 2 if a server or a given worker is not there."
    )
    declared = command(commands, "status", "say how it is now: lag, workers, index", _status, *parents, more=more)
    declared.add_argument(
        "--worker",
        type=_url,
        action="append",
        default=[],
        metavar="URL",
        help="ask this worker instead, such as http://10.0.0.7:9109; may be given again",
    )
    declared.add_argument(
        "--interval",
        type=number(1, 600),
        default=5,
        metavar="SECONDS",
        help="time between the two looks (default: %(default)s)",
    )
    declared.add_argument("--json", action="store_true", help="print JSON, for programs")


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:
        good = False
    if not good:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL of a worker: give one such as http://10.0.0.7:9109")
    return text


def _status(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker.app.status import status_of
    from worker.control.status_report import as_json, render

    status = asyncio.run(status_of(settings, options.worker, options.interval))
    say(as_json(status) if options.json else render(status, settings.kafka.group_id))
    if status.missing:
        return MISTAKE
    return OK if status.ok else FAILED
