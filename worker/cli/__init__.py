"""The command line: arguments in, exit code out. Everything heavy is imported by the command that needs it.

Exit codes: 0 done; 1 the worker stopped because of a fault, or what was looked at is not as it should be; 2 a mistake
in the arguments or the settings, or a server that is not there at the start; 130 (143 by SIGTERM) stopped at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from worker import __version__
from worker.cli.check import add_check
from worker.cli.config import add_config
from worker.cli.dead_letters import add_dead_letters
from worker.cli.index import add_apply, add_search
from worker.cli.interrupting import say_interrupted
from worker.cli.parsing import ABORTED, FAILED, MISTAKE, usage
from worker.cli.printing import UnwritableError, say, take_any_character
from worker.cli.purge import add_purge
from worker.cli.status import add_status
from worker.cli.worker import add_demo, add_run
from worker.errors import Halt, OperatorError

_DESCRIPTION: Final = """\
Keep an Elasticsearch index in step with a database: change events from Kafka,
embedded and upserted, tenant by tenant."""
_START: Final = """\
where to start:
  syncline demo                 see it work, with nothing but this machine
  syncline apply --dry-run      what it would create in your Elasticsearch
  syncline check                what would break, before it does
  syncline run                  keep the index in step
  syncline status               how it is now

Settings are read from --config FILE, else from the file that SYNCLINE_CONFIG
names, else from syncline.yaml in this folder. A variable wins over the file:
SYNCLINE_KAFKA__GROUP_ID=blue sets group_id of the group kafka.
`syncline config schema` prints every setting with its reason.

exit codes:
    0  done
    1  stopped by a fault, or what was looked at is not as it should be
    2  a mistake in the arguments or settings, or a server that is not there
  130  interrupted: Ctrl-C while it starts, a second one while it runs
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    _heed_sigterm()
    take_any_character()
    try:
        code = _run_command(arguments)
        say("", end="")  # what argparse has printed is still in the buffer
    except UnwritableError as error:
        print(f"syncline: {error}", file=sys.stderr)
        return FAILED
    return code


def _heed_sigterm() -> None:
    """As process 1 of a container, end at SIGTERM as everywhere else.

    The kernel passes on to that process only the signals that it handles: a command, or a worker that loads its model,
    would be there until the grace period is over. `run` handles it in its own way once there is something to finish.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def _run_command(arguments: Sequence[str] | None) -> int:
    try:
        options = build_parser().parse_args(arguments)
    except SystemExit as end:  # --help, --version, or arguments that make no sense
        return end.code if isinstance(end.code, int) else MISTAKE
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except OperatorError as error:
        print(f"syncline: {error}", file=sys.stderr)
        return MISTAKE
    except Halt as error:
        print(f"syncline: stopped ({error.reason}): {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        say_interrupted()
        return ABORTED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="syncline",
        description=_DESCRIPTION,
        epilog=_START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"syncline {__version__}")
    parser.set_defaults(command=lambda _: usage(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: $SYNCLINE_CONFIG, else syncline.yaml)"
    )
    add_run(commands, configured)
    add_check(commands, configured)
    add_status(commands, configured)
    add_apply(commands, configured)
    add_search(commands, configured)
    add_dead_letters(commands, configured)
    add_purge(commands, configured)
    add_config(commands, configured)
    add_demo(commands)
    return parser
