"""Writes docs/performance.md from what `make bench` found last of each scenario: `python -m tools.performance_docs`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import table

RESULTS: Final = Path("docs/performance.json")
DOCS: Final = Path("docs/performance.md")
_HEAD: Final = """# Performance

Written by `make bench` from `docs/performance.json`: change the benchmarks, never this file.

Each scenario lets everybody do the same in turns, in one run on one machine; so read the ratios, and the absolute
figures only beside the machine. `loop` calls the model and `index` for every event; `stream` encodes batches of 500
and sends them by `async_streaming_bulk`; `quix` is Quix Streams with its Elasticsearch sink. They stand in
`tests/benchmarks/baselines/`, written as their users would write them. All write into indices of the same body, but
for the `sync` fields of ours. At the end of each turn the index is compared with what the tables hold: *wrong
documents* are missing, doubled, ghosts of rows that are gone, stale, in another tenant than their row, or hold
Debezium's placeholder in place of a text. Of several rounds the table has the middle one's figures and the wrong
documents of the worst. Why it is measured so: [decision 23](decisions/0023-benchmarks-side-by-side.md).

"""


def rendered(content: Mapping[str, Any]) -> str:
    """The whole page."""
    scenarios = content["scenarios"].values()
    lines = ["## Machine and versions", ""]
    for one in dict.fromkeys(_machine(scenario) for scenario in scenarios):
        lines += [f"- {one}"]
    return f"{_HEAD}{table.rendered(content)}\n" + "\n".join(lines) + "\n"


def _machine(scenario: Mapping[str, Any]) -> str:
    machine, versions = scenario["machine"], scenario["versions"]
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    hardware = f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gb']} GB, {machine['system']}"
    return f"{hardware}; {named}"


def main() -> None:
    """Write the page, if there was a full run."""
    if not RESULTS.exists():
        print(f"{RESULTS} is not there: `make bench` writes it")
        return
    DOCS.write_text(rendered(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{DOCS} written")


if __name__ == "__main__":
    main()
