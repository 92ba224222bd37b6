"""What the runbook tells a person to type and to look at is there. On servers: `integration/test_runbook.py`."""

import re
import shlex

import pytest

from tests.repo.promql import DEPLOY, mistakes
from worker.cli import build_parser
from worker.settings import Settings
from worker.settings.known import group_of

RUNBOOK = (DEPLOY / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted({" ".join(one.split()) for one in re.findall(r"`(syncline [^`]+)`", RUNBOOK)})
SETTINGS = sorted(
    {(group, key) for group, key in re.findall(r"`([a-z]+)\.([a-z_]+)\b", RUNBOOK) if group in Settings.model_fields}
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_there_is(command: str) -> None:
    build_parser().parse_args(shlex.split(command)[1:])


@pytest.mark.parametrize(("group", "key"), SETTINGS)
def test_a_setting_is_one_that_there_is(group: str, key: str) -> None:
    found = group_of(Settings.model_fields[group].annotation)
    assert found is not None
    assert key in found.model_fields


def test_there_are_commands_and_settings_to_look_at() -> None:
    assert len(COMMANDS) > 5
    assert len(SETTINGS) > 10


def test_metrics_are_such_that_there_are() -> None:
    assert mistakes(RUNBOOK) == []
