"""`syncline status`, what is around the index: Elasticsearch's health, its disks, and how long the API key is good."""

from collections.abc import Iterator
from typing import Final

from worker.control.explaining import explained
from worker.ports import ApiKey, ClusterInspector
from worker.settings import Settings
from worker.stages.cluster_view import ClusterView
from worker.stages.findings import Finding, failure, note, ok, warning
from worker.stages.progress import age

_FILLING: Final = 0.85
"""Share of a disk above which Elasticsearch puts no new shards there; the alert SynclineDiskFilling has it too."""
_READ_ONLY: Final = 0.95
"""Elasticsearch's default, as the one above; of a disk over 2 TB it lets all but 100 GB be used. Others may be set.
Whether it takes writes, the line on the write block tells.
"""
_EXPIRES_SOON_DAYS: Final = 7
"""As the alert SynclineApiKeyExpires."""
_DAY_MS: Final = 86_400_000


async def cluster_status(
    inspector: ClusterInspector, settings: Settings, now_ms: int
) -> tuple[ClusterView | None, list[Finding]]:
    """Return how the cluster is, None if the credential may not see it, with what is to be said of it and of the key.

    Raises:
        OperatorError: Elasticsearch cannot be asked; caused by `RetryLater` where it is not there at all.
    """
    with explained(settings.elasticsearch):
        view = await inspector.cluster()
        key = await inspector.api_key()
    findings = list(_cluster_findings(view, wanted=settings.metrics.cluster))
    return view, findings + ([] if key is None else [_key_finding(key, now_ms)])


def _cluster_findings(view: ClusterView | None, *, wanted: bool) -> Iterator[Finding]:
    if view is None:
        if wanted:
            yield note("cluster", "not shown to this credential, which lacks the cluster privilege monitor")
        return
    if view.status == "red":
        yield failure(
            "cluster", "red: a part of some index can neither be searched nor written to", _entry("ClusterRed")
        )
    else:
        yield ok("cluster", view.status)
    if view.disks:
        yield _disk_finding(*max(view.disks.items(), key=lambda one: one[1]))


def _disk_finding(node: str, used: float) -> Finding:
    sentence = f"that of {node}, the fullest, is {used:.0%} full"
    if used <= _FILLING:
        return ok("disk", sentence)
    if used < _READ_ONLY:
        told = f"{sentence}: at {_READ_ONLY:.0%} the worker halts, over 2 TB when 100 GB are left"
    else:
        told = f"{sentence}: Elasticsearch takes no writes there, unless it has over 2 TB and 100 GB of them are left"
    return warning("disk", told, _entry("DiskFilling"))


def _key_finding(key: ApiKey, now_ms: int) -> Finding:
    if key.expires_ms is None:
        return ok("API key", f"{key.name} does not expire")
    left = key.expires_ms - now_ms
    if left <= 0:
        return failure("API key", f"{key.name} has expired", _entry("ApiKeyExpires"))
    sentence = f"{key.name} expires in {age(left)}"
    if left > _EXPIRES_SOON_DAYS * _DAY_MS:
        return ok("API key", sentence)
    return warning("API key", f"{sentence}: then the worker halts", _entry("ApiKeyExpires"))


def _entry(alert: str) -> str:
    return f"see 'Syncline{alert}' in deploy/README.md"
