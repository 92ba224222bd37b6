"""The runbook's commands, as somebody copies them: from the text and from its blocks."""

import re
from typing import Final

from tests.repo.promql import DEPLOY

TEXT: Final = (DEPLOY / "README.md").read_text(encoding="utf-8")
PROGRAMS: Final = ("syncline", "curl", "kubectl", "kafka-consumer-groups.sh", "kafka-topics.sh", "jq", "promtool")
_FENCED: Final = re.compile(r"^( *)```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINE: Final = re.compile(r"^.+<<(\w+)\n(?:.*\n)*?\1$|^.+$", re.MULTILINE)
_INLINE: Final = re.compile(r"`([^`]+)`")


def commands(text: str = TEXT) -> list[str]:
    """Return every command once, in the order of the text and on one line, but for what a here-document gives it.

    A program's bare name is no command.
    """
    found: list[str] = []
    for part, is_block in _parts(text):
        if is_block:
            found += [one[0].strip() if one[1] else " ".join(one[0].split()) for one in _in_block(part)]
        else:
            found += [" ".join(line.split()) for line in _INLINE.findall(part)]
    return list(dict.fromkeys(one for one in found if one.partition(" ")[0] in PROGRAMS and " " in one))


def _in_block(block: str) -> list[tuple[str, str]]:
    """Each command, and the mark of its here-document, if there is one."""
    return [(match[0], match[1]) for match in _LINE.finditer(block.replace("\\\n", " "))]


def variables() -> set[str]:
    """Return the shell variables that the text tells to set."""
    return {name for part, is_block in _parts(TEXT) if is_block for name in _exported(part)}


def _exported(block: str) -> list[str]:
    lines = [line.partition("  #")[0] for line in block.splitlines() if line.startswith("export ")]
    return [name for line in lines for name in re.findall(r"(\w+)=", line)]


def _parts(text: str) -> list[tuple[str, bool]]:
    """Text and blocks in their order, and which of them are blocks."""
    parts, at = [], 0
    for block in _FENCED.finditer(text):
        parts += [(text[at : block.start()], False), (block[2], True)]
        at = block.end()
    return [*parts, (text[at:], False)]


def behind_kubectl(command: str) -> str:
    """What a command does in a pod: what stands behind `--` of kubectl; any other command is itself."""
    found = re.match(r"kubectl (?:exec|debug) .*? -- (.*)", command)
    return found[1] if found else command


def cell(command: str) -> str:
    """A command in a cell of a table: of a here-document its first line."""
    return command.partition("\n")[0].replace("|", "\\|")
