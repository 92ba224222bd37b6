"""What the probes answer. Liveness means progress, not an open port: a stuck client looks alive to everything else."""

from dataclasses import dataclass

from worker.runtime.clock import Clock
from worker.runtime.ledger import Ledger
from worker.runtime.retrying import Retrying
from worker.runtime.target_watch import TargetWatch
from worker.runtime.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether all is well, and if not, why."""

    ok: bool
    reason: str = ""


class Health:
    """Watches one pipeline. `/livez` decides on a restart, `/readyz` on whether a rollout may go on."""

    def __init__(
        self,
        ledger: Ledger,
        retrying: Retrying,
        watchdog: Watchdog,
        target_watch: TargetWatch,
        progress_limit: float,
        clock: Clock,
    ) -> None:
        """`progress_limit` is in seconds."""
        self._ledger = ledger
        self._watchdog = watchdog
        self._target_watch = target_watch
        self._retrying = retrying
        self._limit = progress_limit
        self._clock = clock

    def live(self) -> Answer:
        """Not live: there is work, none was resolved or fetched for too long, and it is no declared backoff or halt.

        Nor are records held back: between two probes of a mass rejection no halt is in force.
        """
        halting = self._retrying.halting
        if halting.halted or halting.held or self._retrying.failing:
            return Answer(ok=True)
        # After a backoff or halt, work has as long to be resolved as after its arrival, and to be fetched.
        marks = (self._retrying.recovered_at, halting.lifted_at)
        well = self._clock.monotonic() - max((mark for mark in marks if mark is not None), default=float("-inf"))
        stalled = min(well, self._clock.monotonic() - self._ledger.last_progress)
        if self._ledger.open_records and stalled > self._limit:
            return Answer(
                ok=False, reason=f"{self._ledger.open_records} records open, none resolved for {stalled:.0f} s"
            )
        if (stuck := min(well, self._watchdog.stuck_seconds)) and stuck > self._limit:
            missing = "records wait in Kafka" if self._ledger.has_assignment else "the group gives no partitions"
            return Answer(ok=False, reason=f"{missing} and nothing was fetched for {stuck:.0f} s")
        return Answer(ok=True)

    def ready(self) -> Answer:
        """Ready: not halted, in the group, and both ends answer, idle or not. The model was loaded at the start."""
        if reasons := self._retrying.halting.reasons:
            told = "; ".join(f"{reason}: {message}" for reason, message in sorted(reasons.items()))
            return Answer(ok=False, reason=f"halted: {told}")
        if not self._ledger.has_assignment:
            return Answer(ok=False, reason="the consumer group is not joined yet")
        if self._watchdog.unreachable:
            return Answer(ok=False, reason="Kafka does not answer")
        if failing := self._retrying.failing:
            return Answer(ok=False, reason=f"backing off: {', '.join(sorted(failing))}")
        if fault := self._target_watch.fault:
            return Answer(ok=False, reason=f"Elasticsearch: {fault}")
        return Answer(ok=True)
