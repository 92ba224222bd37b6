"""The command that says what would break."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from worker.cli.parsing import FAILED, MISTAKE, OK, command, number, settings_of
from worker.cli.printing import say

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_check(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline check`."""
    more = (
        "Reads a few records of every topic and says what would become of them, with a fix for each line that is not "
        "as it should be. Only reads: joins no consumer group, commits and writes nothing. Exits with 1 if something "
        "fails, with 2 if a server is not there; warnings do not fail."
    )
    declared = command(commands, "check", "say what would break, before it does", _check, *parents, more=more)
    declared.add_argument(
        "--records",
        type=number(1, 100_000),  # all of them are held in memory
        default=200,
        metavar="N",
        help="records to read of each topic, some of the oldest and more of the newest (default: %(default)s)",
    )
    declared.add_argument("--json", action="store_true", help="print JSON, for programs")


def _check(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker.app.check import check_settings
    from worker.control.check_report import as_json, render

    report = asyncio.run(check_settings(settings, options.records))
    say(as_json(report) if options.json else render(report))
    if report.missing:
        return MISTAKE
    return OK if report.ok else FAILED
