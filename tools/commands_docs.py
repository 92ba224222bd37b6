"""The commands and their options in `docs/commands.md` from the command line: `python -m tools.commands_docs`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.marked import replaced, row
from worker.cli import build_parser

PAGE: Final = Path(__file__).parent.parent / "docs" / "commands.md"
_HEAD: Final = "| | |\n|---|---|"


def page(text: str) -> str:
    """Return the page with the present commands between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    return replaced(text, "commands", "\n".join(_sections("syncline", build_parser())).strip())


def _sections(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001 - no public way
    if inner:
        for command, below in inner[0].choices.items():
            yield from _sections(f"{name} {command}", below)
        return
    options = [one for one in parser._actions if one.dest != "help"]  # noqa: SLF001
    yield f"### {name}\n"
    yield f"{parser.description}\n"
    if options:
        yield _HEAD
        yield from (row(_flags(one), _told(one)) for one in options)
        yield ""


def _flags(option: argparse.Action) -> str:
    value = option.metavar or (f"{{{','.join(option.choices)}}}" if option.choices else option.dest.upper())
    if not option.option_strings:
        return f"`{value}`"
    takes = "" if option.nargs == 0 else f" {value}"
    return f"`{', '.join(option.option_strings)}{takes}`"


def _told(option: argparse.Action) -> str:
    return (option.help or "") % {"default": option.default}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
