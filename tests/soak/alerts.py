"""Waits for the alerts of a real Prometheus, and reports what came and what did not."""

import argparse
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, TypeVar

from tests.e2e.process import until
from tests.servers.prometheus.server import Prometheus
from tests.soak.report import Report

Watched = TypeVar("Watched")

FASTER: Final = 30
"""An hour of the alert rules takes two minutes."""
FIRES_WITHIN_S: Final = 120
CLEARS_WITHIN_S: Final = 180


class Alerts:
    """What does not come in time is a violation, and the proof goes on."""

    def __init__(self, prometheus: Prometheus, report: Report) -> None:
        self._prometheus = prometheus
        self._report = report

    def fires(self, alerts: Collection[str], within_s: float = FIRES_WITHIN_S) -> None:
        """Wait until these alerts fire, be it one after the other."""
        self._wait(alerts, "fires", lambda alert: alert in self._prometheus.firing(), within_s)

    def clears(self, alerts: Collection[str], within_s: float = CLEARS_WITHIN_S) -> None:
        """Wait until these alerts fire no more."""
        self._wait(alerts, "is over", lambda alert: alert not in self._prometheus.firing(), within_s)

    def _wait(self, alerts: Collection[str], what: str, is_so: Callable[[str], bool], within_s: float) -> None:
        started = time.monotonic()
        for alert in alerts:
            self.until(alert, what, partial(is_so, alert), within_s, started)

    def until(
        self, who: str, what: str, is_so: Callable[[], bool], within_s: float, started: float | None = None
    ) -> None:
        """Wait until it is so; what is not is a violation."""
        began = time.monotonic() if started is None else started
        try:
            until(is_so, "", within_s, every_s=0.5)
        except AssertionError:
            self._report.violation(f"{who}: not so that it {what} within {within_s:g} s")
            return
        self._report.figure(f"{who} {what} after", f"{time.monotonic() - began:.0f} s")
        self._report.log(f"{who} {what}")


def chosen(steps: Sequence[Callable[[Watched], None]]) -> list[Callable[[Watched], None]]:
    """The steps that the command line names, in their order; by default all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(step.__name__ for step in steps))
    names = parser.parse_args().steps
    if unknown := set(names) - {step.__name__ for step in steps}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    return [step for step in steps if not names or step.__name__ in names]
