"""One item's response to what happens next: the responses are those that Elasticsearch 9.5 gave."""

import orjson
import pytest

from tests.builders import change, deletion, place
from worker.errors import HaltReason, RejectReason, RetryReason
from worker.records import DocumentWrite, ItemResponse, Verdict
from worker.stages.bulk import Again, Done, Refused, Stop, item_bytes, judge, split, worst
from worker.stages.documents import document, hard, tombstone

DOCUMENT = document(change(7), {"title": "T"}, None, "m", None)
TOMBSTONE = tombstone(deletion(7), place(), 0)
HARD = hard(TOMBSTONE)
BOTH = pytest.mark.parametrize("write", [DOCUMENT, TOMBSTONE, HARD], ids=["document", "tombstone", "delete"])


@pytest.mark.parametrize(("status", "meaning"), [(200, "updated"), (201, "created")])
def test_what_was_written_is_indexed_or_deleted(status: int, meaning: str) -> None:
    assert judge(DOCUMENT, ItemResponse(status)) == Done(Verdict.INDEXED), meaning
    assert judge(TOMBSTONE, ItemResponse(status)) == Done(Verdict.DELETED), meaning


@pytest.mark.parametrize("write", [DOCUMENT, TOMBSTONE])
def test_what_an_ingest_pipeline_drops_is_not_indexed(write: DocumentWrite) -> None:
    """The answer is 200 and `noop`."""
    stop = judge(write, ItemResponse(200, dropped=True))
    assert isinstance(stop, Stop)
    assert stop.reason is HaltReason.TARGET_MISCONFIGURED
    assert "index.final_pipeline" in stop.message


def test_a_real_delete_of_what_is_not_there_is_deleted() -> None:
    """The item says 404 and `not_found`, without an error, and the server remembers the version."""
    assert judge(HARD, ItemResponse(404)) == Done(Verdict.DELETED)
    assert judge(HARD, ItemResponse(200)) == Done(Verdict.DELETED)


@pytest.mark.parametrize("write", [DOCUMENT, TOMBSTONE])
def test_no_other_write_ends_well_with_404(write: DocumentWrite) -> None:
    assert judge(write, ItemResponse(404)) == Stop(HaltReason.TARGET_MISSING, ": ")


@BOTH
def test_a_version_that_is_equal_or_older_is_superseded(write: DocumentWrite) -> None:
    response = ItemResponse(
        409,
        "version_conflict_engine_exception",
        "[acme/1]: version conflict, current version [7] is higher or equal to the one provided [7]",
    )
    assert judge(write, response) == Done(Verdict.SUPERSEDED)
    itself = Done(Verdict.DELETED if write.tombstone else Verdict.INDEXED)
    for version in (6, 7, 8):
        sent_before = judge(write._replace(version=version), response, in_doubt=True)
        assert sent_before == (itself if version == 7 else Done(Verdict.SUPERSEDED))
    assert judge(write, response._replace(reason="conflict"), in_doubt=True) == Done(Verdict.SUPERSEDED)


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "reason", "expected"),
    [
        pytest.param(
            404,
            "index_not_found_exception",
            "no such index [articles-write] and [require_alias] request flag is [true] and [articles-write] is not an "
            "alias",
            HaltReason.TARGET_MISSING,
            id="alias missing",
        ),
        pytest.param(
            400,
            "routing_missing_exception",
            "routing is required for [articles-v000001]/[acme/1]",
            HaltReason.TARGET_MISCONFIGURED,
            id="routing missing",
        ),
        pytest.param(
            400,
            "illegal_argument_exception",
            "no write index is defined for alias [articles-write]. The write index may be explicitly disabled",
            HaltReason.TARGET_MISCONFIGURED,
            id="no write index",
        ),
        pytest.param(
            400,
            "illegal_argument_exception",
            "Alias [articles-write] has index routing associated with it [x], and was provided with routing value [y]",
            HaltReason.TARGET_MISCONFIGURED,
            id="alias with routing",
        ),
        pytest.param(400, "index_closed_exception", "closed", HaltReason.TARGET_MISCONFIGURED, id="closed"),
        pytest.param(
            403,
            "cluster_block_exception",
            "index [articles-v000001] blocked by: [FORBIDDEN/8/index write (api)];",
            HaltReason.WRITE_BLOCKED,
            id="write block",
        ),
        pytest.param(
            403,
            "cluster_block_exception",
            "index [articles-v000001] blocked by: [FORBIDDEN/5/index read-only (api)];",
            HaltReason.WRITE_BLOCKED,
            id="read-only",
        ),
        pytest.param(403, "security_exception", "action is unauthorized", HaltReason.FORBIDDEN, id="privilege missing"),
        pytest.param(401, "security_exception", "unable to authenticate", HaltReason.UNAUTHENTICATED, id="credentials"),
        pytest.param(
            429,
            "cluster_block_exception",
            "index [articles-v000001] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, "
            "index has read-only-allow-delete block];",
            HaltReason.DISK_FLOOD_STAGE,
            id="flood stage",
        ),
    ],
)
def test_a_fault_of_the_target_stops_everything(
    write: DocumentWrite, status: int, kind: str, reason: str, expected: HaltReason
) -> None:
    assert judge(write, ItemResponse(status, kind, reason)) == Stop(expected, f"{kind}: {reason}")


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (429, "es_rejected_execution_exception", RetryReason.REJECTED),
        (429, "circuit_breaking_exception", RetryReason.REJECTED),
        (500, "translog_exception", RetryReason.SERVER_ERROR),
        (503, "unavailable_shards_exception", RetryReason.SERVER_ERROR),
        (503, "cluster_block_exception", RetryReason.SERVER_ERROR),
        (504, "", RetryReason.SERVER_ERROR),
    ],
)
def test_what_may_succeed_later_is_sent_again(
    write: DocumentWrite, status: int, kind: str, expected: RetryReason
) -> None:
    assert judge(write, ItemResponse(status, kind, "busy")) == Again(expected, f"{kind}: busy")


@pytest.mark.parametrize(
    ("status", "kind", "reason", "expected"),
    [
        (
            400,
            "strict_dynamic_mapping_exception",
            "[1:2] mapping set to strict, dynamic introduction of [extra] within [_doc] is not allowed",
            RejectReason.DOCUMENT_REFUSED,
        ),
        (
            400,
            "document_parsing_exception",
            "[1:9] failed to parse: The [dense_vector] field [embedding] has a different number of dimensions [2]",
            RejectReason.DOCUMENT_REFUSED,
        ),
        (
            400,
            "document_parsing_exception",
            "[1:9] failed to parse: The [cosine] similarity does not support vectors with zero magnitude",
            RejectReason.DOCUMENT_REFUSED,
        ),
        (
            400,
            "illegal_argument_exception",
            'Document contains at least one immense term in field="tags"',
            RejectReason.DOCUMENT_REFUSED,
        ),
        (413, "", "too large", RejectReason.DOCUMENT_TOO_LARGE),
        (422, "something_new", "", RejectReason.DOCUMENT_REFUSED),
    ],
)
def test_a_fault_of_the_document_refuses_it_alone(status: int, kind: str, reason: str, expected: RejectReason) -> None:
    assert judge(DOCUMENT, ItemResponse(status, kind, reason)) == Refused(expected, f"{kind}: {reason}")


@pytest.mark.parametrize(
    "text", ["no write index is defined for alias", "has index routing associated", "x is not an alias"]
)
def test_a_document_cannot_stop_the_worker_by_what_is_written_in_it(text: str) -> None:
    """Elasticsearch quotes the value that it could not parse."""
    quoting = f"failed to parse field [published] of type [date]. Preview of field's value: '{text}'"
    assert isinstance(judge(DOCUMENT, ItemResponse(400, "document_parsing_exception", quoting)), Refused)


def test_an_item_is_an_action_line_and_a_body_line() -> None:
    data = item_bytes(DOCUMENT, "articles-write")
    action, body, rest = data.split(b"\n")
    assert orjson.loads(action) == {
        "index": {
            "_index": "articles-write",
            "_id": "acme/articles/1",
            "routing": "acme",
            "version": 7,
            "version_type": "external",
        }
    }
    assert body == DOCUMENT.body
    assert rest == b""


def test_a_real_delete_is_an_action_line_alone() -> None:
    action, rest = item_bytes(HARD, "articles-write").split(b"\n")
    assert orjson.loads(action) == {
        "delete": {
            "_index": "articles-write",
            "_id": "acme/articles/1",
            "routing": "acme",
            "version": 7,
            "version_type": "external",
        }
    }
    assert rest == b""


def test_only_tombstones_become_real_deletes() -> None:
    assert hard(DOCUMENT) is DOCUMENT
    assert (HARD.place, HARD.version, HARD.tombstone) == (TOMBSTONE.place, TOMBSTONE.version, True)


def test_a_line_break_in_a_text_does_not_break_an_item() -> None:
    write = document(change(7, tenant="a\nb"), {"title": "x\ny\u2028z"}, None, "m", None)
    action, body, rest = item_bytes(write, "articles-write").split(b"\n")
    assert orjson.loads(action)["index"]["routing"] == "a\nb"
    assert orjson.loads(body)["title"] == "x\ny\u2028z"
    assert rest == b""


def test_ranges_are_bounded_by_bytes_and_by_count() -> None:
    assert list(split([4, 4, 4, 1, 1, 1, 1], max_bytes=8, max_count=3)) == [range(2), range(2, 5), range(5, 7)]


def test_an_item_that_is_too_large_alone_goes_alone() -> None:
    assert list(split([1, 99, 1, 1], max_bytes=8, max_count=10)) == [range(1), range(1, 2), range(2, 4)]


def test_of_nothing_there_are_no_ranges() -> None:
    assert list(split([], max_bytes=8, max_count=3)) == []


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.INDEXED, Verdict.DELETED], Verdict.INDEXED),
        ([Verdict.SUPERSEDED, Verdict.INDEXED], Verdict.INDEXED),
        ([Verdict.SUPERSEDED, Verdict.DELETED], Verdict.DELETED),
        ([Verdict.DELETED, Verdict.DEAD_LETTERED, Verdict.INDEXED], Verdict.DEAD_LETTERED),
        ([Verdict.SUPERSEDED, Verdict.SUPERSEDED], Verdict.SUPERSEDED),
    ],
)
def test_a_units_verdict_is_its_documents_fate_before_its_tombstones(
    verdicts: list[Verdict], expected: Verdict
) -> None:
    assert worst(verdicts) is expected
    assert worst(verdicts[::-1]) is expected


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_its_rank(verdict: Verdict) -> None:
    assert worst([verdict]) is verdict
