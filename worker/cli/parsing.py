"""What all commands share: exit codes, how a command is declared, and the settings that it reads."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from worker.settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name

OK: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
ABORTED: Final = 130


def usage(parser: argparse.ArgumentParser) -> int:
    """Answer a command line that stops before a command."""
    parser.print_help(sys.stderr)
    return MISTAKE


def command(
    commands: "Commands",
    name: str,
    text: str,
    function: Callable[[argparse.Namespace], int],
    *parents: argparse.ArgumentParser,
    more: str = "",
) -> argparse.ArgumentParser:
    """Declare one command: its name, its one line of help, and the function that serves it."""
    description = f"{text[0].upper()}{text[1:]}. {more}".strip()
    parser = commands.add_parser(name, help=text, description=description, parents=parents, allow_abbrev=False)
    parser.set_defaults(command=function)
    return parser


def number(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number in these limits."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is out of range: give a number from {least} to {most}")
        return int(text)

    return parse


def settings_of(options: argparse.Namespace) -> "Settings":
    """Read the settings that the command line names.

    Raises:
        OperatorError: a mistake in them.
    """
    from worker.settings import load_settings

    return load_settings(options.config)
