"""Elasticsearch, or the way to it, fails while one worker runs through it all. Nothing is lost, nothing regresses."""

import time
from typing import Any

import pytest

from tests.e2e.process import Scrape, until
from tests.faults import model
from tests.faults.conftest import NewStage
from tests.faults.stage import TENANTS, Change, Stage
from tests.servers.proxy import Way

pytestmark = pytest.mark.needs_jvm

BULK = b"/_bulk"
ELASTICSEARCH = "X-Elastic-Product: Elasticsearch\r\n"


def http(status: str, body: str, *, more: str = "", kind: str = "application/json", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\nConnection: close\r\n{more}\r\n"
    return (head + body).encode()


def retries(scrape: Scrape, *reasons: str) -> float:
    return sum(scrape.total("syncline_retries_total", reason=reason) for reason in reasons)


def check_it_backs_off(stage: Stage, *reasons: str) -> None:
    """Tries go on, none of them in a tight loop; nothing is given up, and the probes tell what is so."""
    start = retries(stage.scrape(), *reasons)
    stage.until(lambda now: retries(now, *reasons) >= start + 3, f"retries because of {reasons}")
    since, tries = time.monotonic(), retries(stage.scrape(), *reasons)
    time.sleep(1)
    # The waits are drawn from 0 to half a second, for a lookup and for two bulk requests at a time.
    assert retries(stage.scrape(), *reasons) - tries < 30 * (time.monotonic() - since)
    assert stage.worker.is_live(), "a restart would mend nothing"
    assert not stage.worker.is_ready()
    stage.until(lambda now: now.total("syncline_lag_records") > 0, "a lag")


def test_a_breaker_that_refuses_whole_requests_is_waited_for(healthy: Stage) -> None:
    committed = healthy.committed()
    healthy.of_cluster(network__breaker__inflight_requests__limit="1kb")
    try:
        healthy.send_rows(range(100, 150))
        check_it_backs_off(healthy, "rejected")
        assert healthy.committed() == committed
    finally:
        healthy.of_cluster(network__breaker__inflight_requests__limit=None)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_a_gateway_that_has_no_server_behind_it_is_waited_for(healthy: Stage, status: str) -> None:
    healthy.elasticsearch.answer(http(status, "<html>later</html>", kind="text/html"))
    healthy.send_rows(range(160, 170), status)
    check_it_backs_off(healthy, "server_error")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http("200 OK", "<html>Down for maintenance</html>", kind="text/html"), id="a page"),
        pytest.param(http("200 OK", '{"errors":true,"items":[],"docs":[]}', more=ELASTICSEARCH), id="too few items"),
        pytest.param(http("200 OK", '{"errors":false}', more=ELASTICSEARCH), id="no items"),
        pytest.param(http("200 OK", '{"errors":tr', more=ELASTICSEARCH), id="not JSON"),
        pytest.param(http("200 OK", '{"errors":true,', more=ELASTICSEARCH, length=500), id="cut off"),
    ],
)
@pytest.mark.parametrize("about", [BULK, b"/_mget"])
def test_an_answer_that_nobody_can_read_is_no_answer(healthy: Stage, answer: bytes, about: bytes) -> None:
    before = healthy.scrape()
    healthy.elasticsearch.answer(answer, about=about)
    healthy.send_rows(range(180, 190), f"{len(answer)} {about.decode()}")
    told = ("unreadable_response", "connection")
    healthy.until(lambda now: retries(now, *told) >= retries(before, *told) + 2, "retries")
    assert healthy.worker.is_live()


@pytest.mark.parametrize(
    ("way", "after"),
    [
        pytest.param(Way.UP, 0, id="before the request"),
        pytest.param(Way.UP, 20_000, id="in the request"),
        pytest.param(Way.DOWN, 0, id="before the answer"),
        pytest.param(Way.DOWN, 100, id="in the answer"),
    ],
)
def test_a_reset_at_any_moment_of_a_bulk_request_costs_a_repetition(healthy: Stage, way: Way, after: int) -> None:
    before = healthy.scrape()
    healthy.elasticsearch.cut(way, after, about=BULK)
    # One row: of several, the worker may have some in the request that is cut, and the others in the one after.
    healthy.send(Change(200, f"{way} {after}", content="x" * 50_000))
    healthy.quiesce()
    now = healthy.scrape()
    assert retries(now, "connection", "unreadable_response") > retries(before, "connection", "unreadable_response")
    # Sent twice, and once each counted: what the first request had done already is a conflict, or the same again.
    assert now.total("syncline_bulk_bytes_total") - before.total("syncline_bulk_bytes_total") > 2 * 50_000
    assert now.resolved - before.resolved == 1


def test_a_request_that_arrives_after_a_newer_one_changes_nothing(healthy: Stage) -> None:
    healthy.elasticsearch.hold(Way.UP, about=BULK, once=True)
    healthy.send(Change(220, "first"))
    healthy.until(lambda now: retries(now, "timeout") > 0, "a timeout")
    healthy.send(Change(220, "second"))
    healthy.quiesce()
    # The first request is still on its way: now it arrives.
    before = conflicts(healthy)
    healthy.elasticsearch.heal()
    until(lambda: conflicts(healthy) > before, "the late request was not refused")
    healthy.check()


def conflicts(stage: Stage) -> int:
    """Writes that Elasticsearch has refused because of their version, since the index was made."""
    indexing = stage.call("GET", f"/{stage.physical}/_stats/indexing")["_all"]["primaries"]["indexing"]
    return int(indexing["index_failed_due_to_version_conflict"])


def test_a_server_that_hangs_costs_no_membership(healthy: Stage) -> None:
    before = healthy.scrape()
    elasticsearch = healthy.servers.process("elasticsearch")
    elasticsearch.pause()
    try:
        healthy.send_rows(range(230, 240))
        healthy.until(lambda now: retries(now, "timeout") > retries(before, "timeout"), "a timeout")
        # Longer than the session timeout: heartbeats go on.
        time.sleep(7)
        assert healthy.worker.is_live()
    finally:
        elasticsearch.resume()
    healthy.quiesce()
    assert healthy.total("syncline_rebalances_total") == before.total("syncline_rebalances_total")


def test_an_index_without_its_primaries_is_waited_for(new_stage: NewStage) -> None:
    stage = new_stage()
    body = definition(stage)
    stage.worker.start()
    nowhere = {"routing.allocation.require._name": "a node that does not exist"}
    stage.call("DELETE", f"/{stage.physical}")
    body["settings"] |= nowhere
    stage.call("PUT", f"/{stage.physical}?wait_for_active_shards=0", body)
    assert stage.call("GET", f"/_cluster/health/{stage.physical}")["status"] == "red"
    stage.send_rows(range(10))
    check_it_backs_off(stage, "server_error", "timeout")
    stage.block(**dict.fromkeys(nowhere))
    stage.quiesce()


def test_documents_that_cannot_be_stored_are_put_aside_and_their_neighbours_written(healthy: Stage) -> None:
    """One request with 200, 201, 409 and 400 in it: an update, a new row, a row that is newer by now, and bad dates."""
    already = len(healthy.dead_letters())
    healthy.send(Change(260, "update me"), Change(261, "overtaken"))
    healthy.settle()
    healthy.elasticsearch.hold(Way.UP, about=BULK)
    before = healthy.scrape()
    sent = healthy.send(
        Change(260, "updated"),
        Change(262, "new"),
        Change(261, "late"),
        Change(263, "bad date", published="tomorrow", spoilt=True),
        Change(264, "bad date", TENANTS[1], published="yesterday", spoilt=True),
    )
    until(lambda: healthy.elasticsearch.holding > 0, "no request is under way")
    overtaking = Change(261, "newer by another hand", version=sent[2].version + 1)
    write_directly(healthy, overtaking)
    healthy.changes.append(overtaking)
    healthy.elasticsearch.heal()
    healthy.quiesce()
    now = healthy.scrape()
    letters = healthy.dead_letters()[already:]
    assert {letter["syncline-reason"] for letter in letters} == {"document_refused"}
    assert all("published" in letter["syncline-message"] for letter in letters)
    verdicts = {
        verdict: count - before.by("syncline_records_total", "verdict").get(verdict, 0)
        for verdict, count in now.by("syncline_records_total", "verdict").items()
    }
    assert verdicts["dead_lettered"] == len(letters) == 2
    assert verdicts["superseded"] == 1
    assert verdicts["indexed"] == 2


def write_directly(stage: Stage, change: Change) -> None:
    """As another worker would."""
    (place,) = change.places
    document: dict[str, Any] = {
        "tenant": change.tenant,
        "title": change.title,
        "content": change.content,
        "embedding": model.vector(change.text).tolist(),
        "sync": {"source": "articles", "version": change.version},
    }
    identity = place[0].replace("/", "%2F")
    versioned = f"routing={place[1]}&version={change.version}&version_type=external"
    stage.call("PUT", f"/{stage.name}-write/_doc/{identity}?{versioned}", document)


def test_the_alias_is_swapped_under_a_request_and_a_replay_fills_the_new_index(healthy: Stage) -> None:
    """What was under way lands in one of the two; the log has all of it, and a second group reads it into the new."""
    second = f"{healthy.name}-v000002"
    healthy.call("PUT", f"/{second}", definition(healthy) | {"aliases": {}})
    first = healthy.physical
    write = f"{healthy.name}-write"
    for round_ in range(6):
        healthy.send_rows(range(300, 340), f"round {round_}")
        old, new = (first, second) if round_ % 2 == 0 else (second, first)
        healthy.call(
            "POST",
            "/_aliases",
            {
                "actions": [
                    {"remove": {"index": old, "alias": write}},
                    {"add": {"index": new, "alias": write, "is_write_index": True}},
                ]
            },
        )
    # Rounds end with the first index behind the alias; what the second took while it stood there is only in there.
    healthy.settle()
    replaying = healthy.add_worker(kafka={"group_id": f"{healthy.name}-replay"})
    replaying.start()
    try:
        until(
            lambda: (
                replaying.scrape().consumed >= len(healthy.changes)
                and replaying.scrape().consumed == replaying.scrape().resolved
            ),
            lambda: replaying.told("the replay is not through"),
        )
    finally:
        replaying.kill()
        healthy.workers.remove(replaying)
    healthy.call("DELETE", f"/{second}")


def definition(stage: Stage) -> dict[str, Any]:
    """The body of the stage's index, for another one."""
    found = stage.call("GET", f"/{stage.physical}")[stage.physical]
    settings = found["settings"]["index"]
    for own in ("uuid", "creation_date", "version", "provided_name"):
        settings.pop(own, None)
    return {"settings": settings, "mappings": found["mappings"], "aliases": found["aliases"]}
