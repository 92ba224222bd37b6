"""Commands on the index: create it, search it."""

import argparse
import asyncio
from typing import TYPE_CHECKING

from worker.cli.interrupting import ends_at_once
from worker.cli.parsing import FAILED, OK, command, settings_of
from worker.cli.printing import say

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_apply(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline apply`."""
    text = "create what is missing of the index and its aliases"
    more = (
        "Adds fields of 'sync' that an index of an earlier version lacks, and updates the index's templates. "
        "Changes no document and no field that exists, so it may be run again at any time. Where a mapping, an "
        "alias or a fixed setting is not as defined, it says so, does nothing else than add fields of 'sync', and "
        "exits with 1; what is tuned on a live index (refresh_interval, number_of_replicas ...) stays, and is told. "
        "Fields of the sources that the definition lacks are told."
    )
    declared = command(commands, "apply", text, _apply, *parents, more=more)
    declared.add_argument("--dry-run", action="store_true", help="only say what would be done")


def add_search(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline search`."""
    more = "Never finds a document of another tenant."
    declared = command(commands, "search", "search the documents of one tenant", _search, *parents, more=more)
    declared.add_argument("words", nargs="+", metavar="WORD", help="what to look for")
    declared.add_argument("--tenant", required=True, help="whose documents to search")
    declared.add_argument(
        "--mode",
        choices=("hybrid", "words", "meaning"),
        default="hybrid",
        help="rank by the words, by meaning (loads the model), or by both (default: %(default)s)",
    )
    declared.add_argument("--size", type=int, default=10, metavar="N", help="show at most N (default: %(default)s)")
    declared.add_argument("--json", action="store_true", help="print JSON, for programs")


def _apply(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker.app.index import apply_index
    from worker.control.apply import render

    report = asyncio.run(apply_index(settings, dry_run=options.dry_run))
    say(render(report))
    return OK if report.ok else FAILED


def _search(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from rich.console import Console

    from worker.app.index import search_index
    from worker.control.search import as_json, show
    from worker.stages.search import Mode

    words = " ".join(options.words)
    with ends_at_once():
        hits = asyncio.run(search_index(settings, words, options.tenant, Mode(options.mode), options.size))
    if options.json:
        say(as_json(hits))
    else:
        console = Console()
        with console.capture() as shown:
            show(console, hits, options.tenant)
        say(shown.get(), end="")
    return OK
