"""Workers are replaced in the order in which Kubernetes does it, and what must not be is told."""

import time
from pathlib import Path
from typing import Any, cast

import pytest

from tests.soak.fleet import Fleet, Life
from tests.soak.replacement import Manifest, Rollout, Step
from tests.soak.report import Report
from worker.settings.worker import DeliverySettings


class Workers:
    """Stands for a fleet and its workers: notes what is asked of them. Time passes where somebody sleeps."""

    def __init__(self, ends_after: float, code: int) -> None:
        self.asked: list[str] = []
        self.now = 1000.0
        self._ends_at = self.now + ends_after
        self._code = code
        self.life = Life(0)
        self.workers = [self] * 6

    def about_to_end(self, number: int, how: str) -> "Workers":
        self.asked.append(f"{number} is {how}")
        return self

    def start(self, number: int, *, wait: bool) -> None:
        self.asked.append(f"start {number}{' and wait' if wait else ''}")

    def signal(self, number: int) -> None:
        self.asked.append(f"signal {number}")

    @property
    def running(self) -> bool:
        if self.now >= self._ends_at and "ended" not in self.asked:
            self.asked.append("ended")
        return self.now < self._ends_at

    def wait(self, _within_s: float) -> int:
        return self._code

    def look(self) -> None:
        self.life.consumed, self.life.verdicts["indexed"] = 7, 5

    def in_peace(self) -> None:
        self.asked.append("counted")

    def wait_ready(self, _within_s: float) -> None:
        self.asked.append("ready")

    def kill(self) -> None:
        self.asked.append("killed")

    def told(self, what: str) -> str:
        return what

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report("Rollout", tmp_path)


def replace(
    monkeypatch: pytest.MonkeyPatch, report: Report, *, ends_after: float = 3, code: int = 0, one_name: bool = False
) -> tuple[Step, list[str]]:
    workers = Workers(ends_after, code)
    monkeypatch.setattr(time, "time", lambda: workers.now)
    monkeypatch.setattr(time, "sleep", workers.sleep)
    manifest = Manifest(grace_s=30, min_ready_s=20, delivery={})
    step = Rollout(cast("Fleet", cast("Any", workers)), manifest, report, one_name=one_name).replace(2, 5)
    return step, workers.asked


def test_a_deployment_begins_the_successor_while_the_former_is_ending(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    step, asked = replace(monkeypatch, report)
    assert asked == ["2 is replaced", "signal 15", "start 5", "ended", "counted", "ready"]
    assert report.violations == []
    assert step.ended - step.begin == pytest.approx(3, abs=0.1)
    assert step.end - step.ready == pytest.approx(20)
    assert step.open_ == 2


def test_where_both_have_one_name_the_successor_begins_when_the_former_has_ended(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    _, asked = replace(monkeypatch, report, one_name=True)
    assert asked == ["2 is replaced", "signal 15", "ended", "counted", "start 5", "ready"]


def test_an_exit_code_that_tells_of_trouble_is_a_violation(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    replace(monkeypatch, report, code=1)
    assert len(report.violations) == 1


def test_whoever_outlives_the_grace_period_is_killed_and_is_a_violation(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    _, asked = replace(monkeypatch, report, ends_after=31)
    assert "killed" in asked
    assert len(report.violations) == 1


def test_the_manifests_say_what_a_rollout_needs_to_know() -> None:
    manifest = Manifest.read()
    assert manifest.grace_s >= DeliverySettings.model_validate(manifest.delivery).longest_stop
    assert manifest.min_ready_s > 0
