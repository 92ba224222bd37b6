"""Stands for `kubectl rollout`: asks for other settings, more workers or new ones, by files that a supervisor reads.

    python -m tests.soak.rollout FOLDER status

`FOLDER/syncline.yaml` is the ConfigMap: it is edited, and `apply` makes it the next revision. `deployment.py` does what
is asked for.
"""

import argparse
import dataclasses
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

SETTINGS: Final = "syncline.yaml"
MOST_WORKERS: Final = 4


@dataclass(frozen=True, slots=True)
class Desired:
    """What is asked for: `restarts` only ever rises, and each rise is a rolling restart."""

    revision: int = 0
    restarts: int = 0
    replicas: int = 0

    @property
    def generation(self) -> tuple[int, int]:
        """What a worker was started with; another one is out of date."""
        return self.revision, self.restarts


class Files:
    """The files by which the two sides talk."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / SETTINGS
        self.revisions = folder / "revisions"
        self._desired = folder / ".desired.json"
        self._state = folder / ".state.json"

    def revision(self, number: int) -> Path:
        return self.revisions / f"{number}.yaml"

    @property
    def desired(self) -> Desired:
        return Desired(**json.loads(self._desired.read_text())) if self._desired.exists() else Desired()

    @property
    def state(self) -> list[dict[str, Any]]:
        """What the supervisor saw last, a worker each."""
        state: list[dict[str, Any]] = json.loads(self._state.read_text()) if self._state.exists() else []
        return state

    def ask(self, desired: Desired) -> None:
        _write(self._desired, dataclasses.asdict(desired))

    def tell(self, state: list[dict[str, Any]]) -> None:
        _write(self._state, state)

    def apply(self) -> int:
        """Make the settings as they are now the next revision, and ask for it; return its number."""
        self.revisions.mkdir(exist_ok=True)
        number = 1 + max(self.numbers(), default=0)
        self.revision(number).write_text(self.settings.read_text())
        self.ask(dataclasses.replace(self.desired, revision=number))
        return number

    def undo(self, number: int | None) -> int:
        """Ask for a former revision, by default the one before, and put it into the settings; return its number."""
        number = number or max((one for one in self.numbers() if one < self.desired.revision), default=0)
        if not self.revision(number).exists():
            raise SystemExit(f"there is no revision {number or 'before this one'}: see `rollout history`")
        self.settings.write_text(self.revision(number).read_text())
        self.ask(dataclasses.replace(self.desired, revision=number))
        return number

    def numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self.revisions.glob("*.yaml"))


def _write(path: Path, content: object) -> None:
    """So that a reader finds all of it or what was there before."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="rollout", description="Change the workers of this cluster.")
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="the workers, as `kubectl get pods` shows them")
    commands.add_parser("history", help="the revisions of the settings")
    commands.add_parser("apply", help="make syncline.yaml, as it is now, the next revision, and roll the workers")
    commands.add_parser("restart", help="start all workers anew, one after the other")
    undo = commands.add_parser("undo", help="back to the revision before, or to another one")
    undo.add_argument("revision", type=int, nargs="?")
    scale = commands.add_parser("scale", help="change the number of workers")
    scale.add_argument("workers", type=int, choices=range(MOST_WORKERS + 1))
    given = parser.parse_args()
    print(done(given, Files(given.folder)))  # noqa: T201
    return 0


def done(given: argparse.Namespace, files: Files) -> str:
    """Do it; return what to print."""
    desired = files.desired
    match given.command:
        case "apply":
            return f"revision {files.apply()} is being rolled out"
        case "undo":
            return f"revision {files.undo(given.revision)} is being rolled out"
        case "restart":
            files.ask(dataclasses.replace(desired, restarts=desired.restarts + 1))
            return "the workers are being restarted, one after the other"
        case "scale":
            files.ask(dataclasses.replace(desired, replicas=given.workers))
            return f"{given.workers} workers are asked for"
        case "history":
            return "\n".join(_told_revision(files, number) for number in files.numbers())
        case _:
            about = f"revision {desired.revision}, {desired.replicas} workers"
            return "\n".join([about, *map(_told_worker, files.state)])


def _told_revision(files: Files, number: int) -> str:
    path = files.revision(number)
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return f"{number:3}  {at:%Y-%m-%d %H:%M:%S} UTC  {path}{'  (in use)' if number == files.desired.revision else ''}"


def _told_worker(worker: dict[str, Any]) -> str:
    seconds = time.time() - worker["since"]
    return (
        f"{worker['name']}  revision {worker['revision']}  {worker['state']:12}  up {seconds:.0f} s  "
        f"{worker['restarts']} restarts  {worker['url']}  {worker['log']}"
    )


if __name__ == "__main__":
    sys.exit(main())
