"""What the runbook tells a person to type and to look at is there. On servers: `integration/test_runbook.py`."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.repo import runbook
from tests.repo.promql import DEPLOY, alerts, mistakes
from worker.cli import build_parser
from worker.errors import HaltReason
from worker.settings import Settings
from worker.settings.known import group_of

COMMANDS = runbook.commands()
OURS = sorted({one for one in map(runbook.behind_kubectl, COMMANDS) if one.startswith("syncline ")})
SETTINGS = sorted(
    {
        (group, key)
        for group, key in re.findall(r"`([a-z]+)\.([a-z_]+)\b", runbook.TEXT)
        if group in Settings.model_fields
    }
)
LINKS = sorted(set(re.findall(r"\]\(([^)\s]+)\)", runbook.TEXT)))
FIRST_PAGE = runbook.TEXT.partition("\n## ")[0]


@pytest.mark.parametrize("command", OURS)
def test_a_command_is_one_that_there_is(command: str) -> None:
    build_parser().parse_args(shlex.split(command.partition(" > ")[0])[1:])


@pytest.mark.parametrize(("group", "key"), SETTINGS)
def test_a_setting_is_one_that_there_is(group: str, key: str) -> None:
    found = group_of(Settings.model_fields[group].annotation)
    assert found is not None
    assert key in found.model_fields


def test_there_are_commands_and_settings_to_look_at() -> None:
    assert len(OURS) > 10
    assert len(COMMANDS) > 40
    assert len(SETTINGS) > 10


def test_metrics_are_such_that_there_are() -> None:
    assert mistakes(runbook.TEXT) == []


def test_alerts_are_such_that_there_are() -> None:
    assert set(re.findall(r"\bSyncline[A-Z]\w+", runbook.TEXT)) == {alert.name for alert in alerts()}


@cache
def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("link", [one for one in LINKS if "://" not in one])
def test_a_link_leads_somewhere(link: str) -> None:
    name, _, anchor = link.partition("#")
    page = DEPLOY / name if name else DEPLOY / "README.md"
    assert page.exists()
    if anchor:
        assert anchor in anchors(page)


@pytest.mark.parametrize(
    "anchor", sorted([*{one.name.lower() for one in alerts()}, *(f"halt-{reason}" for reason in HaltReason)])
)
def test_the_first_page_leads_to_every_entry_in_one_step(anchor: str) -> None:
    assert f"](#{anchor})" in FIRST_PAGE


def test_every_variable_of_a_command_is_told_at_the_beginning() -> None:
    used = {name for command in COMMANDS for name in re.findall(r"\$([A-Z_]+)", command)}
    assert used - runbook.variables() <= {"EMBEDDER"}, "see 'Your shell'"
    assert used >= {"ES", "KAFKA", "GROUP", "ALIAS", "PROMETHEUS", "TOPIC"}


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.startswith("kubectl ")])
def test_kubectl_is_told_the_namespace_and_names_of_the_manifests(command: str) -> None:
    words = shlex.split(command.partition(" | ")[0])
    assert words[words.index("--namespace") + 1] == "syncline"
    for word in words:
        kind, slash, name = word.partition("/")
        if slash and kind in {"deployment", "job"}:
            assert name in kubernetes_names()
    if "secret" in words:
        assert words[words.index("secret") + 1] in (DEPLOY / "kustomize/base/deployment.yaml").read_text()


@cache
def kubernetes_names() -> set[str]:
    files = (DEPLOY / "kustomize").rglob("*.yaml")
    bodies = [body for path in files for body in yaml.safe_load_all(path.read_text(encoding="utf-8")) if body]
    return {body["metadata"]["name"] for body in bodies if "name" in body.get("metadata", {})}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\bdeploy/[\w/.-]+\w", runbook.TEXT))))
def test_a_file_that_is_named_is_there(path: str) -> None:
    assert (DEPLOY.parent / path).exists()


def test_the_table_of_what_was_executed_has_every_command_and_no_other() -> None:
    page = (DEPLOY.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
    table = page.partition("<!-- executed:begin -->")[2]
    rows = re.findall(r"^\| `(.*)` \| [^|]+ \|$", table, re.MULTILINE)
    assert rows == [runbook.cell(command) for command in COMMANDS], "run make runbook"
