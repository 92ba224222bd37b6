"""Commands on records that were put aside."""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING

from worker.cli.interrupting import ends_at_once
from worker.cli.parsing import ABORTED, FAILED, OK, command, number, settings_of, usage
from worker.cli.printing import discard_output, say
from worker.errors import RejectReason

if TYPE_CHECKING:
    from worker.cli.parsing import Commands
    from worker.control.dead_letters import Filters
    from worker.control.replay import Replayed


def add_dead_letters(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline dead-letters`."""
    text = "look into the records that were put aside, and try them again"
    group = commands.add_parser(
        "dead-letters", help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    group.set_defaults(command=lambda _: usage(group))
    actions = group.add_subparsers(title="commands", metavar="COMMAND")
    more = "Counts by reason, then the last ones. Reads the topic and changes nothing."
    listing = command(actions, "list", "count the dead letters, and show the last", _list, *parents, more=more)
    _add_filters(listing)
    listing.add_argument(
        "--limit",
        type=number(0, 10_000),  # bounds the memory it takes
        default=20,
        metavar="N",
        help="show the N put aside last (default: %(default)s)",
    )
    showing = command(actions, "show", "show everything of one", _show, *parents)
    showing.add_argument("position", metavar="POSITION", help="PARTITION:OFFSET in the dead-letter topic, as listed")
    more = (
        "Each goes through the worker's own pipeline with the settings as they are now, at the version it had: it "
        "never overwrites a newer document nor shows a deleted row again, and may run beside the worker. What it "
        "cannot be sure of it refuses, and says so. The topic stays as it is: what was replayed is 'superseded' the "
        "next time. Exits with 1 if any is rejected again; that is not written to the topic a second time."
    )
    replaying = command(actions, "replay", "try dead letters again", _replay, *parents, more=more)
    replaying.add_argument("--dry-run", action="store_true", help="only say what would be done; loads no model")
    _add_filters(replaying)
    for declared in (listing, showing, replaying):
        declared.add_argument("--json", action="store_true", help="print JSON, for programs")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", type=_reason, metavar="CODE", help="only this reason, such as field_invalid")
    parser.add_argument("--tenant", metavar="NAME", help="only this tenant's, as far as it is known")
    parser.add_argument("--source", metavar="NAME", help="only this source's")
    parser.add_argument(
        "--since", metavar="TIME", help="only put aside since then: 2h, 7d, 2026-01-31 or 2026-01-31T12:00 (UTC)"
    )


def _reason(text: str) -> str:
    if text not in set(RejectReason):
        from worker.settings.known import nearest

        known = nearest(text, [str(one) for one in RejectReason])
        raise argparse.ArgumentTypeError(f"no record is put aside as {text!r}{known}")
    return text


def _filters(options: argparse.Namespace) -> "Filters":
    from worker.control.dead_letters import Filters, since

    since_ms = None if options.since is None else since(options.since, time.time_ns() // 1_000_000)
    return Filters(options.reason, options.tenant, options.source, since_ms)


def _list(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from rich.console import Console

    from worker.app.dead_letters import list_dead_letters, topic_of
    from worker.control.dead_letters import listing_json, show_listing

    listing = asyncio.run(list_dead_letters(settings, _filters(options), options.limit))
    if options.json:
        say(listing_json(listing))
    else:
        console = Console(highlight=False)
        with console.capture() as shown:
            show_listing(console, listing, topic_of(settings))
        say(shown.get(), end="")
    return OK


def _show(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker.app.dead_letters import read_dead_letter
    from worker.control.dead_letters import letter_json, position, show_letter

    letter = asyncio.run(read_dead_letter(settings, *position(options.position)))
    say(letter_json(letter) if options.json else show_letter(letter))
    return OK


def _replay(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    from worker import logs
    from worker.app.dead_letters import replay_dead_letters
    from worker.control import replay_report
    from worker.control.replay import Outcome
    from worker.runtime.daemon import AbortedError
    from worker.settings.worker import LogSettings

    logs.configure(LogSettings(format=settings.log.format, level="warning"))

    unwritable: list[OSError] = []

    def tell(done: "Replayed") -> bool:
        text = replay_report.line_json(done) if options.json else replay_report.line(done, dry_run=options.dry_run)
        try:
            print(text, flush=True)
        except OSError as error:
            unwritable.append(error)
            discard_output()  # of what is in flight the outcomes are still to come
        return not unwritable

    try:
        with ends_at_once():
            counts, stopped = asyncio.run(
                replay_dead_letters(settings, _filters(options), tell, dry_run=options.dry_run)
            )
    except AbortedError:
        return ABORTED
    if unwritable:
        print(f"syncline: {replay_report.unread(counts, unwritable[0], dry_run=options.dry_run)}", file=sys.stderr)
        return FAILED
    told = replay_report.summary_json if options.json else replay_report.summary
    say(told(counts, dry_run=options.dry_run, stopped=stopped))
    return ABORTED if stopped else FAILED if counts[Outcome.REJECTED] else OK
