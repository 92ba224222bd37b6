"""Bulk requests: documents to byte-bounded bodies, and each item's response to what happens next.

The table in `judge` was checked against real responses of Elasticsearch 9.5; they stand in tests/unit/test_bulk.py.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from worker.errors import HaltReason, RejectReason, RetryReason
from worker.records import DocumentWrite, ItemResponse, Verdict


@dataclass(frozen=True, slots=True)
class Done:
    """The item needs nothing more."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Again:
    """The item may succeed later, with the same bytes."""

    reason: RetryReason
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """This document can never be stored."""

    reason: RejectReason
    message: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The fault is not the document's: nothing can be written until it is mended."""

    reason: HaltReason
    message: str


Judgement = Done | Again | Refused | Stop

# Made once: nearly every item ends with one of these.
_INDEXED: Final = Done(Verdict.INDEXED)
_DELETED: Final = Done(Verdict.DELETED)
_SUPERSEDED: Final = Done(Verdict.SUPERSEDED)

_DROPPED: Final = Stop(
    HaltReason.TARGET_MISCONFIGURED,
    "Elasticsearch has stored nothing: an ingest pipeline of the index (index.default_pipeline or "
    "index.final_pipeline) drops documents. Set both to _none",
)

_STORED_VERSION: Final = re.compile(r"current version \[(\d+)\]")
_TARGET_FAULTS: Final = frozenset({"routing_missing_exception", "index_closed_exception"})
_TARGET_PHRASES: Final = ("no write index is defined", "has index routing associated", "not an alias")


def item_bytes(write: DocumentWrite, target: str) -> bytes:
    """Return the lines of one bulk item, two or for a real delete one; `target` is the write alias."""
    action = {
        "delete" if write.hard else "index": {
            "_index": target,
            "_id": write.place.document_id,
            "routing": write.place.tenant,
            "version": write.version,
            "version_type": write.version_type,
        }
    }
    line = orjson.dumps(action)
    return b"%b\n" % line if write.hard else b"%b\n%b\n" % (line, write.body)


def split(sizes: Sequence[int], max_bytes: int, max_count: int) -> Iterator[range]:
    """Yield consecutive index ranges, each within both bounds; one item that is larger alone goes alone."""
    if len(sizes) <= max_count and sum(sizes) <= max_bytes:  # as nearly always
        if sizes:
            yield range(len(sizes))
        return
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (total + size > max_bytes or index - start >= max_count):
            yield range(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))


def judge(  # noqa: C901, PLR0912 - a table reads best as one
    write: DocumentWrite, response: ItemResponse, *, in_doubt: bool = False
) -> Judgement:
    """Return what one item's response means.

    An item is `in_doubt` if it was sent before and nobody knows what became of it. Then it may conflict with itself.
    """
    status, kind, reason = response.status, response.error_type, response.reason
    message = f"{kind}: {reason}"
    match status:
        case 409 if not (in_doubt and _stored_version(reason) == write.version):
            return _SUPERSEDED
        case 200 if response.dropped:
            return _DROPPED
        case 200 | 201 | 409:
            return _DELETED if write.tombstone else _INDEXED
        case 401:
            return Stop(HaltReason.UNAUTHENTICATED, message)
        case 403:
            blocked = kind == "cluster_block_exception"
            return Stop(HaltReason.WRITE_BLOCKED if blocked else HaltReason.FORBIDDEN, message)
        case 404 if write.hard and not kind:  # there was nothing to delete; its version is remembered all the same
            return _DELETED
        case 404:
            return Stop(HaltReason.TARGET_MISSING, message)
        case 429 if kind == "cluster_block_exception":
            return Stop(HaltReason.DISK_FLOOD_STAGE, message)
        case 429:
            return Again(RetryReason.REJECTED, message)
        case 400 if kind in _TARGET_FAULTS or _blames_the_target(kind, reason):
            return Stop(HaltReason.TARGET_MISCONFIGURED, message)
        case 413:
            return Refused(RejectReason.DOCUMENT_TOO_LARGE, message)
        case _ if status >= 500:  # noqa: PLR2004 - HTTP's own boundary
            return Again(RetryReason.SERVER_ERROR, message)
        case _:
            return Refused(RejectReason.DOCUMENT_REFUSED, message)


def _stored_version(reason: str) -> int | None:
    """The version that a conflict tells of; None where its words are others than today's."""
    found = _STORED_VERSION.search(reason)
    return None if found is None else int(found[1])


def _blames_the_target(kind: str, reason: str) -> bool:
    # Only of this kind: the reason of a parsing fault quotes the document, whose text must not stop the worker.
    return kind == "illegal_argument_exception" and any(phrase in reason for phrase in _TARGET_PHRASES)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of a unit from those of its writes: its document's fate comes before its tombstones'."""
    if len(verdicts) == 1:
        return verdicts[0]
    return min(verdicts, key=_ORDER.index)


_ORDER: Final = (Verdict.DEAD_LETTERED, Verdict.INDEXED, Verdict.DELETED, Verdict.SUPERSEDED, Verdict.SKIPPED)
