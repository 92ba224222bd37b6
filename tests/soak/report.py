"""What a long proof did and found: a log while it runs, a table at its end, and an exit code."""

import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHOWN = 50


class Report:
    """Thread-safe. Everything goes to standard output and into `folder`: `log.txt` at once, `report.md` at the end."""

    def __init__(self, title: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.violations: list[str] = []
        self._title = title
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._figures: dict[str, str] = {}
        self._log = folder / "log.txt"
        self._left_out = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def log(self, what: str) -> None:
        """Say what was done now."""
        line = f"{self.elapsed:8.1f} s  {what}"
        with self._lock:
            print(line, flush=True)  # noqa: T201
            with self._log.open("a") as log:
                log.write(f"{line}\n")

    def violation(self, what: str) -> None:
        """Say what must not be: the proof has failed, and goes on to show what else."""
        with self._lock:
            if len(self.violations) >= _SHOWN:
                self._left_out += 1
                return
            self.violations.append(f"{self.elapsed:.1f} s: {what}")
        self.log(f"VIOLATION {what}")

    def figure(self, name: str, value: object) -> None:
        """Add a row to the table."""
        with self._lock:
            self._figures[name] = f"{value:,}" if isinstance(value, int) else str(value)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Write the report when the block ends, however it ends; what ends it early is a violation."""
        try:
            yield
        except BaseException as error:
            self.violation(f"ended by {type(error).__name__}: {error}")
            raise
        finally:
            self.figure("took", f"{self.elapsed:.0f} s")
            text = self._text()
            (self.folder / "report.md").write_text(text)
            print(text, flush=True)  # noqa: T201

    @property
    def exit_code(self) -> int:
        return 1 if self.violations else 0

    def _text(self) -> str:
        result = "FAILED" if self.violations else "passed"
        lines = [f"# {self._title}: {result}", "", f"{platform.machine()}, Python {platform.python_version()}", ""]
        lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in self._figures.items()), ""]
        if self.violations:
            lines += ["## Violations", "", *(f"- {one}" for one in self.violations)]
            lines += [f"- and {self._left_out} more"] if self._left_out else []
            lines.append("")
        return "\n".join(lines)
