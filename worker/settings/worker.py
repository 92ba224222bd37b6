"""How the worker itself behaves: batches, delivery, its HTTP server and its log."""

import ipaddress
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field, field_validator

from worker.settings.types import Bytes, Group, Seconds

_MIB = 1024 * 1024
CLOSING_SECONDS: Final = 45.0
"""How long a stop may take once the drain is over: the call of the model in progress (10 s), the last commits, leaving
the group, closing connections, the end of an interpreter full of libraries. Each has a limit of its own or was
measured; a request to Elasticsearch is cut off."""


class BatchSettings(Group):
    """How much may be in flight, and how much goes into one step. None of these is waited for: a stage that becomes
    free takes what is there.
    """

    max_in_flight: Bytes = Field(default=Bytes(64 * _MIB), ge=_MIB)
    """Memory that records between fetch and verdict may take, as estimated from their size (twice their bytes and 4 KiB
    each); above it fetching pauses, below half of it it resumes."""
    lookup_documents: int = Field(default=500, ge=1, le=10_000)
    """Rows that are looked up at once; fewer where their whole documents are needed, and large."""
    embed_texts: int = Field(default=32, ge=1, le=4096)
    """Texts in one call of the model. On a CPU more gains nothing and delays the first of them."""
    bulk_bytes: Bytes = Field(default=Bytes(5 * _MIB), ge=1024, le=100 * _MIB)
    """Bytes in one bulk request; a larger single document still goes alone."""
    bulk_documents: int = Field(default=1000, ge=1, le=100_000)
    """Documents in one bulk request."""
    bulk_concurrency: int = Field(default=2, ge=1, le=64)
    """Bulk requests at a time, at most: the number falls by half while Elasticsearch is overloaded, and grows back."""
    bulk_vectors: Literal["auto", "base64", "floats"] = "auto"
    """How vectors are written. `base64` is less than half the bytes; Elasticsearch takes it from 9.3 on. `auto` asks
    the server for its version at the start, and writes floats where it is older or does not tell: to be told, the
    worker's credentials need the cluster privilege `monitor`."""


class Deletes(StrEnum):
    """What a deleted row leaves behind."""

    TOMBSTONE = "tombstone"
    HARD = "hard"


class DeliverySettings(Group):
    """Commits, retries and the end of the process."""

    commit_interval: Seconds = Field(default=1.0, gt=0)
    """Seconds between commits; what is committed late is read again after a crash, and changes nothing."""
    drain_timeout: Seconds = Field(default=20.0, gt=0)
    """Seconds to finish what is in flight at a stop or a rebalance; the pod's grace period must be 45 s longer, or as
    much more as one call of the model takes beyond 10 s."""
    retry_initial: Seconds = Field(default=0.2, gt=0)
    """Upper bound of the first wait after a failed request; doubled each time, drawn at random below the bound."""
    retry_max: Seconds = Field(default=30.0, gt=0)
    """Upper bound of any wait between two tries."""
    halt_probe_interval: Seconds = Field(default=30.0, gt=0)
    """Seconds, at most, between two tries while the worker is halted: so long after the fault is mended it goes on."""
    rejections_in_a_row: int = Field(default=100, ge=0)
    """Records of one source rejected in a row, after which the fault is taken to be the source's or the settings', and
    the worker halts; 0 never halts for this. A snapshot with a bad column is told from bad rows after so many."""
    rejection_window: int = Field(default=200, ge=1, le=100_000)
    """How many of a source's last records `rejection_share` is taken of; a few rejected ones among the first records
    of a day are no trend."""
    rejection_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the window which, if more than it is rejected, halts the worker; 1 never halts for this."""
    progress_limit: Seconds = Field(default=300.0, gt=0)
    """Seconds with work to do and none of it resolved after which `/livez` fails."""
    deletes: Deletes = Deletes.TOMBSTONE
    """`tombstone`: a deleted row leaves a mark that no reader sees and that keeps every older change out, until
    `syncline purge`. `hard`: the document is deleted in earnest, and Elasticsearch forgets its version after the
    index's `gc_deletes` (60 s unless changed): from then on any older change that comes again (a replay, a late worker)
    shows the deleted row again, to its former tenant too. Only where nothing is replayed and marks cannot be kept."""
    tombstone_retention: Seconds = Field(default=7 * 86_400.0, gt=0)
    """Seconds that the mark of a deleted row is kept at least; `syncline purge` removes older ones, and of dead letters
    that are older only those are replayed whose row is still there. Set it above the retention of the topics."""

    @property
    def longest_stop(self) -> float:
        """Seconds between a SIGTERM and the end of the process, at most: what a grace period must cover."""
        return self.drain_timeout + CLOSING_SECONDS


class ServerSettings(Group):
    """The HTTP server of `/metrics`, `/startupz`, `/livez` and `/readyz`."""

    host: str = "127.0.0.1"
    """Address to listen on; in a pod `0.0.0.0`, since probes and Prometheus come from outside."""
    port: int = Field(default=9109, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and logs it."""

    @field_validator("host")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value != "localhost":
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ValueError(f"{value!r} is not an IP address; use 127.0.0.1, 0.0.0.0 or ::") from None
        return value


class LogFormat(StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    JSON = "json"
    HUMAN = "human"


class LogSettings(Group):
    """What is logged, and how. Logs go to standard error."""

    format: LogFormat = LogFormat.AUTO
    """`json` for machines, `human` for people, `auto`: human on a terminal and JSON otherwise."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""


def delivery_mistakes(delivery: DeliverySettings, rebalance_timeout: float) -> Iterator[str]:
    """Yield a drain that would outlast the rebalance, and waits that are upside down."""
    if delivery.drain_timeout >= rebalance_timeout:
        yield (
            f"delivery.drain_timeout ({delivery.drain_timeout:g} s) must be below kafka.rebalance_timeout "
            f"({rebalance_timeout:g} s), or a worker that drains is thrown out of its group"
        )
    if delivery.retry_initial > delivery.retry_max:
        yield "delivery.retry_initial must not exceed delivery.retry_max"
