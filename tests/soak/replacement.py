"""One worker after the other is replaced by a new one, in the order in which Kubernetes does it."""

import signal
import time
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.e2e import programs
from tests.soak.fleet import READY_WITHIN_S, Ending, Fleet
from tests.soak.report import Report

_BASE: Final = programs.ROOT / "deploy" / "kustomize" / "base"
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `deploy/kustomize/base` says of an update, and of what the workers do at their end; times in seconds."""

    grace_s: float
    min_ready_s: float
    delivery: dict[str, Any]

    @classmethod
    def read(cls) -> "Manifest":
        spec = yaml.safe_load((_BASE / "deployment.yaml").read_text())["spec"]
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        assert spec["strategy"] == strategy, f"the order of replacement here is that of {strategy}"
        settings = yaml.safe_load((_BASE / "syncline.yaml").read_text())
        pod = spec["template"]["spec"]
        return cls(pod["terminationGracePeriodSeconds"], spec["minReadySeconds"], settings["delivery"])


@dataclass(slots=True)
class Step:
    """One replacement; moments are those of the clock, in seconds."""

    begin: float
    """When the former worker got its SIGTERM."""
    ended: float = 0.0
    ready: float = 0.0
    """When the successor was ready."""
    end: float = 0.0
    open_: int = 0
    """Records that the former had in hand at its end: they are read again."""


class Rollout:
    """Replaces workers. What must not be goes to the report."""

    def __init__(self, fleet: Fleet, manifest: Manifest, report: Report, *, one_name: bool) -> None:
        """`one_name`: the successor takes over its former's name in the group, as in a StatefulSet."""
        self._fleet = fleet
        self._manifest = manifest
        self._report = report
        self._one_name = one_name

    def replace(self, former: int, successor: int) -> Step:
        """Replace a worker, and return when its successor has been ready for as long as the manifest wants it.

        A Deployment with `maxSurge: 0` begins a pod as soon as it has asked another one to end: pods that are ending
        count no more. A StatefulSet first waits for the end, for there are no two pods of one name.
        """
        ending = self._fleet.about_to_end(former, "replaced")
        step = Step(time.time())
        self._report.log(f"worker {former} is asked to end")
        self._fleet.workers[former].signal(signal.SIGTERM)
        if not self._one_name:
            self._fleet.start(successor, wait=False)
        self._wait_for_end(former, ending, step)
        if self._one_name:
            self._fleet.start(successor, wait=False)
        self._fleet.workers[successor].wait_ready(READY_WITHIN_S)
        step.ready = time.time()
        self._report.log(f"  worker {successor} is ready after {step.ready - step.begin:.1f} s")
        time.sleep(self._manifest.min_ready_s)
        step.end = time.time()
        return step

    def _wait_for_end(self, former: int, ending: Ending, step: Step) -> None:
        worker = self._fleet.workers[former]
        while worker.running:
            if time.time() - step.begin > self._manifest.grace_s:
                self._report.violation(worker.told(f"worker {former} outlives its grace of {self._manifest.grace_s} s"))
                worker.kill()
                break
            ending.look()
            time.sleep(_LOOK_S)
        else:
            if code := worker.wait(1):
                self._report.violation(worker.told(f"worker {former} ended with {code}"))
            else:
                ending.in_peace()
        step.ended = time.time()
        step.open_ = ending.life.consumed - ending.life.resolved
        self._report.log(
            f"  worker {former} has ended after {step.ended - step.begin:.1f} s, {step.open_} records open"
        )
