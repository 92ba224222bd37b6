"""Compares the mutants that lived with those that docs/mutation.md justifies.

`python -m tools.mutation_report`, after `mutmut run`. Fails where one lives that the page does not list; says which of
the listed ones live no more. A mutant is named by its function and its changed lines, because mutmut's own numbers
change with every edit of a function.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/mutation.md")
TOTALS = Path("mutants/mutmut-cicd-stats.json")
_NAME = re.compile(
    r"worker\.stages\.(?:decode\.)?(?P<module>\w+)\.x(?:_|ǁ(?P<owner>\w+?)ǁ)(?P<function>\w+)__mutmut_\d+"
)


def main() -> None:
    """Print the totals, then each mutant that is in only one of the two lists."""
    _mutmut("export-cicd-stats")
    totals = json.loads(TOTALS.read_text(encoding="utf-8"))
    print(", ".join(f"{name} {totals[name]}" for name in ("total", "killed", "survived", "timeout", "no_tests")))
    justified = set(listed(PAGE.read_text(encoding="utf-8")))
    living = {description: name for name in _living() for description in [_description(name)]}
    for description in sorted(justified - living.keys()):
        print(f"lives no more, take it out of {PAGE}: {description}")
    unjustified = sorted(living.keys() - justified)
    for description in unjustified:
        print(f"lives, kill it or justify it in {PAGE}: {description}\n    ({living[description]})")
    sys.exit(bool(unjustified))


def listed(page: str) -> Iterator[str]:
    """Yield the mutants of the page: the lines of its plain code blocks."""
    for block in re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()


def described(name: str, diff: str) -> str:
    """Return a mutant's function and its lines after the change, or those that the change took away."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return name
    function = ".".join(part for part in (parts["module"], parts["owner"], parts["function"]) if part)
    _, _, changed = diff.partition("@@")
    added, taken = (
        " ".join(line[1:].strip() for line in changed.splitlines() if line.startswith(sign)) for sign in "+-"
    )
    return f"{function}: {added}" if added else f"{function}: without {taken}"


def _description(name: str) -> str:
    return described(name, _mutmut("show", name))


def _living() -> list[str]:
    """What was not killed and did not run into its time limit."""
    rows = (line.strip().rpartition(": ") for line in _mutmut("results").splitlines())
    return [name for name, _, status in rows if name and status != "timeout"]


def _mutmut(*arguments: str) -> str:
    program = Path(sys.executable).with_name("mutmut")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
