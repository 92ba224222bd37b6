"""The page of commands is that of the command line, and says of every one what it needs."""

import re

import pytest

from tools.commands_docs import PAGE, page
from worker.cli import build_parser


def test_the_page_is_as_the_command_line_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run make docs"


def test_every_command_has_its_privileges() -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = set(re.findall(r"^### syncline ([\w-]+)", text, re.MULTILINE))
    assert {"run", "status", "dead-letters"} <= commands
    table = text.partition("## What each needs")[2].partition("\n## ")[0]
    assert {one for one in commands if f"| `{one}" not in table} == set()


def test_the_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, build_parser().format_help().splitlines())) <= 80
