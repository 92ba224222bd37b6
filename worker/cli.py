"""The command line: arguments in, exit code out. Everything heavy is imported by the command that needs it.

Exit codes: 0 done; 1 the worker stopped because of a fault, or a check failed; 2 a mistake in the arguments or the
settings; 130 stopped at once by a second signal.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker import __version__
from worker.errors import Halt, OperatorError

if TYPE_CHECKING:
    from worker.settings import Settings

OK: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
ABORTED: Final = 130

_DESCRIPTION = "Keep an Elasticsearch index in step with a database: change events from Kafka, embedded and upserted."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = _parser().parse_args(arguments)
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
    except BrokenPipeError:  # the reader of our output has gone: `syncline config show | head`
        sys.stderr.close()
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="syncline", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"syncline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings (default: $SYNCLINE_CONFIG, else syncline.yaml); SYNCLINE_... variables win over it",
    )
    _add_run(commands, configured)
    _add_apply(commands, configured)
    _add_search(commands, configured)
    _add_config(commands, configured)
    _add_demo(commands)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    function: Callable[[argparse.Namespace], int],
    *parents: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=parents)
    command.set_defaults(command=function)
    return command


def _add_run(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *parents: argparse.ArgumentParser
) -> None:
    _command(commands, "run", "keep the index in step until a signal says otherwise", _run, *parents)


def _add_apply(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *parents: argparse.ArgumentParser
) -> None:
    text = "create what is missing of the index, its templates and aliases; change nothing that exists"
    command = _command(commands, "apply", text, _apply, *parents)
    command.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _add_search(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *parents: argparse.ArgumentParser
) -> None:
    command = _command(commands, "search", "search inside one tenant", _search, *parents)
    command.add_argument("words", help="what to look for")
    command.add_argument("--tenant", required=True, help="whose documents to search")
    command.add_argument(
        "--mode", choices=("hybrid", "words", "meaning"), default="hybrid", help="how to rank (default: %(default)s)"
    )
    command.add_argument("--size", type=int, default=10, metavar="N", help="how many to show (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_config(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", *parents: argparse.ArgumentParser
) -> None:
    group = commands.add_parser("config", help="show the effective settings, or their schema")
    actions = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(actions, "show", "print the effective settings as YAML, secrets masked", _config_show, *parents)
    schema = _command(actions, "schema", "print the JSON schema of the settings", _config_schema)
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it to a file instead")


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show the whole path on this machine: embedded servers, a change feed of real text, searches"
    command = _command(commands, "demo", text, _demo)
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

    hits = asyncio.run(search_index(settings, options.words, options.tenant, Mode(options.mode), options.size))
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
