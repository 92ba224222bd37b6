"""The command that removes old tombstones."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from worker.cli.parsing import FAILED, OK, command, number, settings_of
from worker.cli.printing import say

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_purge(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline purge`."""
    more = (
        "Deleted rows leave marks that keep older changes out; this removes those older than "
        "delivery.tombstone_retention. Safe beside running workers, and to run again: a row that is there again "
        "is never removed. Exits with 1 if some could not be removed."
    )
    declared = command(commands, "purge", "remove the marks of rows deleted long ago", _purge, *parents, more=more)
    declared.add_argument("--dry-run", action="store_true", help="only count them")
    declared.add_argument(
        "--batch",
        type=number(1, 10_000),  # what a search returns at most
        default=1000,
        metavar="N",
        help="at a time (default: %(default)s)",
    )
    declared.add_argument("--json", action="store_true", help="print JSON, for programs")


def _purge(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker.app.purge import purge_index
    from worker.control.purge import as_json, render

    purged = asyncio.run(purge_index(settings, size=options.batch, dry_run=options.dry_run))
    say(as_json(purged) if options.json else render(purged, settings.index.writer_alias))
    return OK if purged.ok else FAILED
