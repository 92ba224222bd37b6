"""An incident to practise on, or to try the runbook with: real servers, two workers, a steady load, and then a fault.

    python -m tests.soak.incident NAME

What the fault is stays unsaid: the one who is on call gets what is there in a real cluster, and deploy/README.md. It
ends with Enter, SIGTERM, or the time limit, and says then whether the incident is solved.
"""

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from tests.e2e.process import until
from tests.e2e.programs import ROOT
from tests.soak import disk, verdict
from tests.soak.briefing import briefing
from tests.soak.rig import FORMER_INDEX, Rig, rig
from tests.soak.surroundings import a_seed, real_servers
from tests.soak.verdict import Finding
from tests.threads import beside

_DISK: Final = 1 << 30
_CALM_S: Final = 30
_PAGED_WITHIN_S: Final = 240


@dataclass(frozen=True, slots=True)
class Incident:
    """`prepare` is part of the cluster's past; `plant` begins the trouble."""

    plant: Callable[[Rig], None]
    prepare: Callable[[Rig], None] = lambda _: None
    disk_bytes: int | None = None


def expire_key(built: Rig) -> None:
    """The key that the workers have comes to its end."""
    (key,) = built.call("GET", "/_security/api_key?name=syncline-worker")["api_keys"]
    built.call("PUT", f"/_security/api_key/{key['id']}", {"expiration": "15s"})


def former_index_is_large(built: Rig) -> None:
    """Nobody has removed the index of before the rebuild."""
    disk.keep_small(built.elasticsearch, FORMER_INDEX)
    disk.fill(built.elasticsearch, FORMER_INDEX, 80, seed=1)


def fill_disk(built: Rig) -> None:
    """Somebody else's index grows past the flood-stage watermark."""
    index = "weblogs-000017"
    built.call("PUT", f"/{index}", {"mappings": {"enabled": False}})
    disk.keep_small(built.elasticsearch, index)
    disk.fill(built.elasticsearch, index, 96, seed=2)


def deploy_poison(built: Rig) -> None:
    """A release takes the date from a column that is for people's eyes."""
    settings = built.deployment.files.settings
    before = settings.read_text()
    after = before.replace("published: published", "published: byline")
    if after == before:
        raise RuntimeError("the settings have no such line")
    settings.write_text(after)
    built.deployment.files.apply()


INCIDENTS: Final = {
    "expired-key": Incident(expire_key),
    "full-disk": Incident(fill_disk, former_index_is_large, _DISK),
    "poison-deploy": Incident(deploy_poison),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(INCIDENTS))
    parser.add_argument("--minutes", type=float, default=60, help="time limit, counted from the page")
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    incident = INCIDENTS[given.name]
    folder = ROOT / "build" / "incidents" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir(parents=True)
    hidden = folder / ".servers"
    hidden.mkdir()
    say("servers, index and workers are starting; this takes two minutes")
    with (
        real_servers(hidden) as servers,
        rig(servers, folder, disk_bytes=incident.disk_bytes, seed=a_seed(given.seed)) as built,
    ):
        incident.prepare(built)
        until(lambda: built.deployment.ready, "the workers are not ready", 240, every_s=1)
        with beside(built.load.run, "load"):
            settings_before = built.deployment.files.settings.read_text()
            time.sleep(_CALM_S)
            if firing := built.prometheus.firing():
                raise RuntimeError(f"nothing is wrong yet, and there fire {sorted(firing)}")
            incident.plant(built)
            until(lambda: bool(built.prometheus.firing()), "no alert has fired", _PAGED_WITHIN_S, every_s=1)
            paged = time.monotonic()
            text = briefing(built)
            (folder / "BRIEFING.txt").write_text(text)
            say(text)
            wait_for_the_end(60 * given.minutes)
            took, left = (time.monotonic() - paged) / 60, verdict.ALERTS_WITHIN_S / 60
            say(f"the end, {took:.1f} minutes after the page; alerts get {left:g} more to clear")
            findings = verdict.while_loaded(built)
        findings += verdict.at_rest(built)
        tell(findings, list(verdict.left_behind(built, settings_before)), folder)
    return 0 if all(finding.ok for finding in findings) else 1


def wait_for_the_end(seconds: float) -> None:
    """Wait for Enter, SIGTERM, Ctrl-C or the limit."""
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        asked.append(number)

    former = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    deadline = time.monotonic() + seconds
    inputs = [sys.stdin] if sys.stdin is not None and sys.stdin.isatty() else []
    try:
        while not asked and time.monotonic() < deadline:
            with suppress(InterruptedError):
                if select.select(inputs, [], [], 1)[0]:
                    sys.stdin.readline()
                    return
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def tell(findings: list[Finding], left: list[str], folder: Path) -> None:
    """Say whether it is solved."""
    lines = [f"{'ok  ' if one.ok else 'FAIL'}  {one.what}{f' ({one.told})' if one.told else ''}" for one in findings]
    lines += [f"note  {one}" for one in left]
    lines.append("SOLVED" if all(one.ok for one in findings) else "NOT SOLVED")
    (folder / "verdict.txt").write_text("\n".join([*lines, ""]))
    say("\n".join(lines))


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
