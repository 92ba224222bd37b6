"""The command line: arguments in, exit code out. Everything heavy is imported by the command that needs it.

Exit codes: 0 done; 1 the worker stopped because of a fault, or a check failed; 2 a mistake in the arguments or the
settings, or a server that is not there at the start; 130 stopped at once by a second signal.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker import __version__
from worker.errors import Halt, OperatorError

if TYPE_CHECKING:
    from worker.settings import Settings

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name

OK: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
ABORTED: Final = 130

_DESCRIPTION: Final = """\
Keep an Elasticsearch index in step with a database: change events from Kafka,
embedded and upserted, tenant by tenant."""
_START: Final = """\
where to start:
  syncline demo                 see it work, with nothing but this machine
  syncline apply --dry-run      what it would create in your Elasticsearch
  syncline run                  keep the index in step

Settings are read from --config FILE, else from the file that SYNCLINE_CONFIG
names, else from syncline.yaml in this folder. A variable wins over the file:
SYNCLINE_KAFKA__GROUP_ID=blue sets group_id of the group kafka.
`syncline config schema` prints every setting with its reason.

exit codes:
    0  done
    1  stopped by a fault, or a check failed
    2  a mistake in the arguments or settings, or a server that is not there
  130  aborted by a second Ctrl-C or SIGTERM
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    try:
        code = _run_command(arguments)
        # Here and not at the end of the interpreter: a reader that has gone is then noticed where it can be handled.
        sys.stdout.flush()
    except BrokenPipeError:  # `syncline config show | head -1`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def _run_command(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
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
        return ABORTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="syncline",
        description=_DESCRIPTION,
        epilog=_START,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"syncline {__version__}")
    parser.set_defaults(command=lambda _: _usage(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: $SYNCLINE_CONFIG, else syncline.yaml)"
    )
    _add_run(commands, configured)
    _add_apply(commands, configured)
    _add_search(commands, configured)
    _add_config(commands, configured)
    _add_demo(commands)
    return parser


def _usage(parser: argparse.ArgumentParser) -> int:
    """Answer a command line that stops before a command."""
    parser.print_help(sys.stderr)
    return MISTAKE


def _command(
    commands: "_Commands",
    name: str,
    text: str,
    function: Callable[[argparse.Namespace], int],
    *parents: argparse.ArgumentParser,
    more: str = "",
) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}. {more}".strip()
    command = commands.add_parser(name, help=text, description=description, parents=parents, allow_abbrev=False)
    command.set_defaults(command=function)
    return command


def _add_run(commands: "_Commands", *parents: argparse.ArgumentParser) -> None:
    more = (
        "Starts only if Elasticsearch, Kafka, the topics, the write alias and the model are as the settings say. The "
        "first SIGTERM or Ctrl-C finishes and commits what is in flight, a second one aborts. Metrics and probes are "
        "served as the group 'server' says: /metrics, /livez, /readyz."
    )
    _command(commands, "run", "keep the index in step, until it is told to stop", _run, *parents, more=more)


def _add_apply(commands: "_Commands", *parents: argparse.ArgumentParser) -> None:
    text = "create what is missing of the index and its aliases"
    more = (
        "Changes nothing that exists, so it may be run again at any time; where something exists that is not as "
        "defined, it says so, does nothing and exits with 1."
    )
    command = _command(commands, "apply", text, _apply, *parents, more=more)
    command.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_search(commands: "_Commands", *parents: argparse.ArgumentParser) -> None:
    more = "Never finds a document of another tenant."
    command = _command(commands, "search", "search the documents of one tenant", _search, *parents, more=more)
    command.add_argument("words", nargs="+", metavar="WORD", help="what to look for")
    command.add_argument("--tenant", required=True, help="whose documents to search")
    command.add_argument(
        "--mode",
        choices=("hybrid", "words", "meaning"),
        default="hybrid",
        help="rank by the words, by meaning (loads the model), or by both (default: %(default)s)",
    )
    command.add_argument("--size", type=int, default=10, metavar="N", help="show at most N (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _add_config(commands: "_Commands", *parents: argparse.ArgumentParser) -> None:
    text = "show the settings in effect, or the schema of all"
    group = commands.add_parser("config", help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    group.set_defaults(command=lambda _: _usage(group))
    actions = group.add_subparsers(title="commands", metavar="COMMAND")
    more = "File, environment and defaults together. Files that hold secrets are not read."
    text = "print the settings in effect as YAML, secrets masked"
    _command(actions, "show", text, _config_show, *parents, more=more)
    more = "Editors check and complete a settings file with it."
    text = "print the JSON schema of the settings, each with its reason"
    schema = _command(actions, "schema", text, _config_schema, more=more)
    schema.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of standard output")


def _add_demo(commands: "_Commands") -> None:
    more = (
        "Starts servers of its own, creates the index, streams a change feed of real text through the worker, compares "
        "table and index, and searches. Reads no settings, and leaves nothing behind."
    )
    command = _command(commands, "demo", "show the whole path on this machine", _demo, more=more)
    command.add_argument("--events", type=int, default=2000, metavar="N", help="change events (default: %(default)s)")
    command.add_argument("--keep", action="store_true", help="stay up afterwards, until Ctrl-C")


def _settings(options: argparse.Namespace) -> "Settings":
    from worker.settings import load_settings  # noqa: PLC0415

    return load_settings(options.config)


def _run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from worker import logs  # noqa: PLC0415
    from worker.app import run_worker  # noqa: PLC0415
    from worker.runtime.daemon import AbortedError  # noqa: PLC0415

    logs.configure(settings.log)
    try:
        asyncio.run(run_worker(settings))
    except AbortedError:
        return ABORTED
    return OK


def _apply(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from worker.app import apply_index  # noqa: PLC0415
    from worker.control.apply import render  # noqa: PLC0415

    report = asyncio.run(apply_index(settings, dry_run=options.dry_run))
    print(render(report))
    return OK if report.ok else FAILED


def _search(options: argparse.Namespace) -> int:
    settings = _settings(options)
    from rich.console import Console  # noqa: PLC0415

    from worker.app import search_index  # noqa: PLC0415
    from worker.control.search import as_json, show  # noqa: PLC0415
    from worker.stages.search import Mode  # noqa: PLC0415

    words = " ".join(options.words)
    hits = asyncio.run(search_index(settings, words, options.tenant, Mode(options.mode), options.size))
    if options.json:
        print(as_json(hits))
    else:
        show(Console(), hits, options.tenant)
    return OK


def _config_show(options: argparse.Namespace) -> int:
    from worker.settings.showing import show  # noqa: PLC0415

    print(show(_settings(options)), end="")
    return OK


def _config_schema(options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415

    from worker.settings.showing import schema  # noqa: PLC0415

    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if options.output is None:
        print(text, end="")
        return OK
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"--output: cannot write {options.output}: {error.strerror}") from error
    return OK


def _demo(options: argparse.Namespace) -> int:
    from worker.demo.main import run_demo  # noqa: PLC0415

    return run_demo(events=options.events, keep=options.keep)
