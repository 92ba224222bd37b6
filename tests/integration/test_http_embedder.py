"""What a server that embeds may answer, and what the worker makes of it; against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web

from tests.fakes.embedder import vector_of
from tests.servers.certificates import Authority
from tests.servers.embedding import DIMENSIONS, EmbeddingServer, embedding_server, refusal
from tests.servers.processes import free_ports
from worker.adapters.http_embedder import HttpEmbedder
from worker.app.model import check_model
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.embedding import Embedding
from worker.runtime.model_calls import Result
from worker.runtime.retrying import Retrying
from worker.settings import DeliverySettings, EmbeddingSettings
from worker.stages.findings import Level

FORMS = ("tei", "openai")


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as started:
        yield started


def unstarted(server: EmbeddingServer, form: str = "tei", *, revision: str | None = None, **more: Any) -> HttpEmbedder:  # noqa: ANN401
    http = {"url": server.url, "form": form, **more}
    content = {"model": "m", "revision": revision, "backend": "http", "http": http}
    return HttpEmbedder(EmbeddingSettings.model_validate(content))


@pytest.fixture
async def started(server: EmbeddingServer) -> AsyncIterator[Callable[..., Any]]:
    opened: list[HttpEmbedder] = []

    async def start(form: str = "tei", **more: Any) -> HttpEmbedder:  # noqa: ANN401
        opened.append(unstarted(server, form, **more))
        await opened[-1].start()
        server.requests.clear()
        return opened[-1]

    yield start
    for one in opened:
        await one.close()


async def refused(one: HttpEmbedder) -> str:
    with pytest.raises(OperatorError) as caught:
        await one.start()
    await one.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
async def test_vectors_are_in_order_and_of_unit_length(started: Callable[..., Any], form: str) -> None:
    one = await started(form)
    texts = [f"text {number}" for number in range(20)]
    vectors = await one.embed(texts)
    assert one.dimensions == DIMENSIONS
    np.testing.assert_allclose(vectors, [vector_of(text) for text in texts], atol=1e-6)


async def test_more_texts_than_a_request_may_hold_are_several_requests(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started(max_batch=8)
    assert (await one.embed([str(number) for number in range(20)])).shape == (20, DIMENSIONS)
    assert [len(texts) for texts in server.requests] == [8, 8, 4]


async def test_requests_that_are_answered_with_vectors_of_another_length_are_no_failure_of_their_texts(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    """As when the servers behind one address are replaced, one by one, by such with another model."""
    one = await started(max_batch=2)
    server.answers = lambda texts: web.json_response([[1.0] * (DIMENSIONS + 2 - len(texts))] * len(texts))
    with pytest.raises(RetryLater, match="shape") as caught:
        await one.embed(["a", "b", "c"])
    assert caught.value.reason is RetryReason.UNREADABLE_RESPONSE


async def test_what_is_asked_for_is_what_the_settings_say(server: EmbeddingServer, started: Callable[..., Any]) -> None:
    await started("tei", truncate=False)
    assert server.bodies[-1] == {"inputs": ["warm up", "and another text"], "truncate": False, "normalize": True}
    await started("openai", model="theirs", dimensions=8, vectors="base64")
    assert server.bodies[-1] == {
        "model": "theirs",
        "input": ["warm up", "and another text"],
        "encoding_format": "base64",
        "dimensions": 8,
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, HaltReason.EMBEDDER_FAILED),
        (413, HaltReason.EMBEDDER_FAILED),
        (422, HaltReason.EMBEDDER_FAILED),
        (424, RetryReason.SERVER_ERROR),
        (403, HaltReason.FORBIDDEN),
        (404, HaltReason.MISCONFIGURED),
        (307, HaltReason.MISCONFIGURED),
        (429, RetryReason.REJECTED),
        (500, RetryReason.SERVER_ERROR),
        (503, RetryReason.SERVER_ERROR),
    ],
)
async def test_each_status_asks_for_its_reaction(
    server: EmbeddingServer, started: Callable[..., Any], status: int, expected: HaltReason | RetryReason
) -> None:
    one = await started()
    server.answers = lambda _: refusal(status, "the words of the server", Location="http://127.0.0.1:1/embed")
    with pytest.raises((Halt, RetryLater), match="the words of the server") as caught:
        await one.embed(["text"])
    fault = caught.value
    assert isinstance(fault, (Halt, RetryLater))
    assert fault.reason is expected


async def test_a_server_that_asks_for_time_is_heard(server: EmbeddingServer, started: Callable[..., Any]) -> None:
    one = await started("openai")
    server.answers = lambda _: refusal(429, "slow down", **{"Retry-After": "7"})
    with pytest.raises(RetryLater) as caught:
        await one.embed(["text"])
    assert caught.value.wait_s == 7


async def test_a_quota_that_is_used_up_is_no_passing_fault(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started("openai")
    said = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    server.answers = lambda _: web.json_response(said, status=429)
    with pytest.raises(Halt) as caught:
        await one.embed(["text"])
    assert caught.value.reason is HaltReason.EMBEDDER_UNAVAILABLE


WRONG: dict[str, Callable[[Any], Any]] = {
    "a vector less": lambda content: content[:-1],
    "a vector more": lambda content: [*content, content[0]],
    "other dimensions": lambda content: [one[:-1] for one in content],
    "one of other dimensions": lambda content: [content[0][:-1], *content[1:]],
    "null for a number": lambda content: [[None, *content[0][1:]], *content[1:]],
    "a zero vector": lambda content: [[0.0] * DIMENSIONS, *content[1:]],
    "text for a number": lambda content: [["x"] * DIMENSIONS, *content[1:]],
    "empty vectors": lambda content: [[] for _ in content],
    "nested too deep": lambda content: [[one] for one in content],
    "an object": lambda content: {"embeddings": content},
    "nothing": lambda _: None,
}
OF_THE_MODEL = {"null for a number", "a zero vector"}
"""The rest is no answer at all, or one to another question: the next may be."""


@pytest.mark.parametrize("wrong", WRONG)
async def test_vectors_that_cannot_be_stored_are_not_taken(
    server: EmbeddingServer, started: Callable[..., Any], wrong: str
) -> None:
    one = await started()
    server.change = WRONG[wrong]
    with pytest.raises((Halt, RetryLater)) as caught:
        await one.embed(["text", "other"])
    expected = HaltReason.EMBEDDER_FAILED if wrong in OF_THE_MODEL else RetryReason.UNREADABLE_RESPONSE
    assert caught.value.reason is expected  # type: ignore[attr-defined]


WRONG_DATA: dict[str, Callable[[Any], Any]] = {
    "an index twice": lambda content: {"data": [{**one, "index": 0} for one in content["data"]]},
    "an index too high": lambda content: {"data": [{**one, "index": one["index"] + 1} for one in content["data"]]},
    "no data": lambda _: {"object": "list"},
    "base64 that is none": lambda content: {"data": [{**one, "embedding": "?!"} for one in content["data"]]},
    "base64 of half a number": lambda content: {"data": [{**one, "embedding": "AAA="} for one in content["data"]]},
}


SAID = {
    "an index twice": "`index` is 0, 0, and not each number from 0 once",
    "an index too high": "`index` is (1, 2|2, 1), and not each number from 0 once",
}


@pytest.mark.parametrize("wrong", WRONG_DATA)
async def test_data_that_does_not_tell_whose_vectors_they_are_is_not_taken(
    server: EmbeddingServer, started: Callable[..., Any], wrong: str
) -> None:
    one = await started("openai")
    server.change = WRONG_DATA[wrong]
    with pytest.raises(RetryLater, match=SAID.get(wrong, "embedding")) as caught:
        await one.embed(["text", "other"])
    assert caught.value.reason is RetryReason.UNREADABLE_RESPONSE


async def test_a_server_that_does_not_tell_whose_vectors_are_whose_is_told_at_the_start_and_by_check(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    server.change = WRONG_DATA["an index twice"]
    said = (
        "gives no vectors (the embedding server: the embeddings' `index` is 0, 0, and not each number from 0 once: "
        "whose are they?): set embedding.http.max_batch to 1, or use a server that numbers its embeddings"
    )
    assert said in await refused(unstarted(server, "openai"))
    http = {"url": server.url, "form": "openai"}
    content = EmbeddingSettings.model_validate({"model": "m", "backend": "http", "http": http})
    (found,), _ = await check_model(content)
    assert f"{found.sentence}: {found.fix}".endswith(said)
    one = await started("openai", max_batch=1)
    np.testing.assert_allclose(await one.embed(["a", "b"]), [vector_of(text) for text in "ab"], atol=1e-6)


async def test_a_server_that_names_no_places_means_its_order(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started("openai")
    server.change = lambda content: {
        "data": [{"embedding": data["embedding"]} for data in sorted(content["data"], key=lambda data: data["index"])]
    }
    np.testing.assert_allclose(await one.embed(["a", "b", "c"]), [vector_of(text) for text in "abc"], atol=1e-6)


UNREADABLE = {"an HTML page": "<html>back in a moment</html>", "nothing": "", "half a JSON": "[[1.0,2.", "null": "null"}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_an_answer_that_is_no_list_of_vectors_may_be_asked_for_again(
    server: EmbeddingServer, started: Callable[..., Any], body: str
) -> None:
    """As from a proxy, while the server behind it is replaced."""
    one = await started()
    answers = iter([web.Response(text=body), None])
    server.answers = lambda _: next(answers)
    with pytest.raises(RetryLater) as caught:
        await one.embed(["text"])
    assert caught.value.reason is RetryReason.UNREADABLE_RESPONSE
    assert (await one.embed(["text"])).shape == (1, DIMENSIONS)


async def test_an_answer_that_breaks_off_may_be_asked_for_again(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started()
    server.cut_off = True
    with pytest.raises(RetryLater) as caught:
        await one.embed(["text"])
    assert caught.value.reason in {RetryReason.UNREADABLE_RESPONSE, RetryReason.CONNECTION}


async def test_a_server_that_is_too_slow_may_be_asked_again(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started(request_timeout=0.5)
    never = asyncio.Event()

    async def wait(_: list[str]) -> None:
        await never.wait()

    server.before = wait
    with pytest.raises(RetryLater) as caught:
        await one.embed(["text"])
    assert caught.value.reason is RetryReason.TIMEOUT
    never.set()


async def test_a_new_key_in_the_file_is_found_when_the_old_one_is_refused(
    server: EmbeddingServer, started: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-old\n")
    server.key = "sk-old"
    one = await started("openai", api_key_file=str(file))
    server.key = "sk-new"
    with pytest.raises(Halt) as caught:
        await one.embed(["text"])
    assert caught.value.reason is HaltReason.UNAUTHENTICATED
    assert "sk-old" not in str(caught.value), "some servers repeat the key"
    file.write_text("sk-new\n")
    with pytest.raises(RetryLater) as again:
        await one.embed(["text"])
    assert again.value.reason is RetryReason.NEW_CREDENTIALS
    await one.embed(["text"])


async def test_what_is_at_the_other_end_of_a_redirect_gets_no_key(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started()
    async with embedding_server() as elsewhere:
        server.answers = lambda _: web.Response(status=308, headers={"Location": f"{elsewhere.url}/embed"})
        with pytest.raises(Halt):
            await one.embed(["text"])
        assert not elsewhere.requests


async def test_mistakes_are_told_at_the_start(server: EmbeddingServer, tmp_path: Path) -> None:
    nowhere = EmbeddingServer(url=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "check embedding.http.url" in await refused(unstarted(nowhere))
    for host in ("a..b", "a" * 64):
        assert "embedding.http.url" in await refused(unstarted(EmbeddingServer(url=f"http://{host}:8080")))
    server.key = "sk-right"
    assert "embedding.http.api_key_file" in await refused(unstarted(server))
    assert "api_key" in await refused(unstarted(server, api_key="sk-wrong"))
    server.key = None
    assert "embedding.http.max_batch" in await refused(unstarted(server, max_batch=64))
    server.info = {"model_sha": "abc"}
    assert "embedding.revision" in await refused(unstarted(server, revision="def"))
    server.answers = lambda _: web.Response(status=404)
    assert "embedding.http.form" in await refused(unstarted(server))
    server.answers = lambda _: web.Response(text="<html>Welcome</html>")
    assert "not JSON" in (said := await refused(unstarted(server)))
    assert "check embedding.http.url and embedding.http.form" in said
    missing = tmp_path / "missing"
    assert "api_key_file" in await refused(unstarted(server, api_key_file=str(missing)))


async def test_a_server_without_info_is_taken_as_it_is(server: EmbeddingServer, started: Callable[..., Any]) -> None:
    server.info = None
    assert (await started(revision="abc")).model == "m@abc"


@pytest.mark.parametrize(
    ("form", "told", "warned"),
    [
        ("tei", {"model_id": "m"}, False),
        ("tei", {"model_id": "others/model"}, True),
        ("tei", {"model_id": "/data"}, True),
        ("tei", {"model_id": None}, False),
        ("tei", {}, False),
        ("tei", None, False),
        ("openai", {"model_id": "others/model"}, False),
    ],
)
async def test_a_server_that_says_it_runs_another_model_is_taken_with_a_warning(
    server: EmbeddingServer,
    started: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    form: str,
    told: dict[str, object] | None,
    warned: bool,  # noqa: FBT001 - a case
) -> None:
    server.info = told
    one = await started(form)
    assert one.model == "m"
    logged = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "other_model"]
    content = {"model": "m", "backend": "http", "http": {"url": server.url, "form": form}}
    findings, _ = await check_model(EmbeddingSettings.model_validate(content))
    assert [finding.level for finding in findings] == [Level.OK, *[Level.WARNING] * warned]
    assert len(logged) == warned
    for text in [*logged, *(finding.sentence for finding in findings[1:])]:
        assert str((told or {})["model_id"]) in text


async def test_a_certificate_is_believed_only_if_its_authority_is_trusted(tmp_path: Path) -> None:
    trusted = Authority(tmp_path / "trusted")
    stranger = Authority(tmp_path / "stranger")
    async with embedding_server(tls=trusted.issue("server").server_context()) as server:
        one = unstarted(server, ca_file=str(trusted.file))
        await one.start()
        await one.close()
        assert "certificate" in await refused(unstarted(server, ca_file=str(stranger.file)))
        assert "ca_file" in await refused(unstarted(server, ca_file=str(tmp_path / "missing.pem")))


async def test_texts_go_over_the_wire_as_they_are(server: EmbeddingServer, started: Callable[..., Any]) -> None:
    one = await started()
    texts = ["Größe 😀 日本語", 'quotes " and \\ and \n', "\x00\x1f"]
    await one.embed(texts)
    assert server.requests == [texts]
    assert orjson.dumps(server.bodies[-1]["inputs"]) == orjson.dumps(texts)


def sending(one: HttpEmbedder) -> Callable[[Sequence[str]], Awaitable[list[Result]]]:
    """Embed as the pipeline does, only more impatiently."""
    metrics = Metrics()
    delivery = DeliverySettings(retry_initial=0.001, retry_max=0.01, halt_probe_interval=0.01)
    embedding, retrying = Embedding(one, metrics, Clock()), Retrying(delivery, metrics)
    return lambda texts: retrying.call("embed", embedding.request(texts))


@pytest.mark.parametrize("status", [413, 422, 424, 500])
async def test_one_text_that_the_server_cannot_bear_costs_no_other(
    server: EmbeddingServer, started: Callable[..., Any], status: int
) -> None:
    one = await started()
    server.answers = lambda texts: refusal(status, "no") if "bad" in texts else None
    found = await sending(one)([*map(str, range(20)), "bad"])
    assert [isinstance(result, Rejection) for result in found] == [False] * 20 + [True]
    vectors = np.stack([result for result in found if not isinstance(result, Rejection)])
    np.testing.assert_allclose(vectors, np.stack([vector_of(str(number)) for number in range(20)]), atol=1e-6)


async def test_what_is_overloaded_or_gone_for_a_while_costs_nothing_but_time(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started(max_batch=4)
    statuses = iter([429, 503] * 20)

    def fail(_: list[str]) -> web.Response | None:
        status = next(statuses, None)
        return None if status is None else refusal(status, "not now", **{"Retry-After": "0.01"})

    server.answers = fail
    found = await sending(one)(["a", "b"])
    assert not any(isinstance(result, Rejection) for result in found)


async def test_requests_of_one_call_that_were_answered_are_not_sent_again(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    """With a limit on requests a minute that is below those of one call, it would never be done."""
    one = await started(max_batch=2)

    def limited(_: list[str]) -> web.Response | None:
        return refusal(429, "slow down", "Overloaded") if len(server.requests) % 3 == 0 else None

    server.answers = limited
    texts = [str(number) for number in range(10)]
    found = await asyncio.wait_for(sending(one)(texts), 5)
    np.testing.assert_allclose(np.stack(found), [vector_of(text) for text in texts], atol=1e-6)  # type: ignore[arg-type]
    assert len(server.requests) == 5 + 2


@pytest.mark.parametrize("status", [424, 500])
async def test_a_model_that_breaks_once_costs_no_row(
    server: EmbeddingServer, started: Callable[..., Any], status: int
) -> None:
    """As for want of memory, which a plain text does not need."""
    one = await started()
    answers = iter([refusal(status, "CUDA out of memory", "Backend")])
    server.answers = lambda _: next(answers, None)
    assert not any(isinstance(result, Rejection) for result in await sending(one)(["a"]))


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("texts", [["a"], ["a", "b"]])
async def test_answers_that_cannot_be_read_for_a_while_cost_no_row(
    server: EmbeddingServer, started: Callable[..., Any], body: str, texts: list[str]
) -> None:
    one = await started()
    bad = iter(range(5))
    server.answers = lambda _: None if next(bad, None) is None else web.Response(text=body)
    assert not any(isinstance(result, Rejection) for result in await sending(one)(texts))


async def test_a_server_whose_answers_can_never_be_read_halts_and_costs_no_row(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started()
    server.answers = lambda _: web.Response(text="<html>Welcome</html>")
    batch = Embedding(one, Metrics(), Clock()).request(["a", "b"])
    for _ in range(8):
        with pytest.raises(RetryLater):
            await batch()
    for _ in range(3):
        with pytest.raises(Halt, match="not JSON") as caught:
            await batch()
        assert caught.value.reason is HaltReason.EMBEDDER_UNAVAILABLE
    server.answers = lambda _: None
    assert not any(isinstance(result, Rejection) for result in await batch())


async def test_one_text_whose_answer_can_never_be_read_costs_no_other(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started()
    server.answers = lambda texts: web.Response(text="[[NaN]]") if "bad" in texts else None
    found = await sending(one)(["a", "bad", "b"])
    assert [isinstance(result, Rejection) for result in found] == [False, True, False]


async def test_requests_at_a_time_are_as_many_as_the_settings_say(
    server: EmbeddingServer, started: Callable[..., Any]
) -> None:
    one = await started(concurrency=3)
    assert one.concurrency == 3

    async def wait(_: list[str]) -> None:
        await asyncio.sleep(0.02)

    server.before, server.most_in_flight = wait, 0
    send = sending(one)
    await asyncio.gather(*(send([str(number)]) for number in range(12)))
    assert server.most_in_flight == 3


async def test_check_asks_the_server(server: EmbeddingServer) -> None:
    content = {"model": "m", "backend": "http", "http": {"url": server.url}}
    server.info = {"model_id": "m"}
    (found,), dimensions = await check_model(EmbeddingSettings.model_validate(content))
    assert dimensions == DIMENSIONS
    assert found.sentence == f"m at {server.url}/embed; vectors of {DIMENSIONS} dimensions"
    server.answers = lambda _: refusal(401, "no")
    (refusing,), dimensions = await check_model(EmbeddingSettings.model_validate(content))
    assert dimensions is None
    assert "give a key" in f"{refusing.sentence} {refusing.fix}"


@pytest.mark.parametrize("number", [0.0, None])
async def test_vectors_that_mean_nothing_are_told_at_the_start_and_by_check(
    server: EmbeddingServer, number: float | None
) -> None:
    server.answers = lambda texts: web.json_response([[number] * DIMENSIONS for _ in texts])
    assert "not finite, or zero" in await refused(unstarted(server))
    content = {"model": "m", "backend": "http", "http": {"url": server.url}}
    (found,), dimensions = await check_model(EmbeddingSettings.model_validate(content))
    assert (found.level, dimensions) == (Level.FAILURE, None)
    assert "not finite, or zero" in found.sentence


@pytest.mark.parametrize("key", ["sk-right\n", " sk-right\r\n", "\ufeffsk-right"])
async def test_what_a_variable_has_around_its_key_is_no_part_of_it(server: EmbeddingServer, key: str) -> None:
    server.key = "sk-right"
    one = unstarted(server, api_key=key)
    await one.start()
    await one.close()
    assert "embedding.http.api_key: it holds a control character" in await refused(unstarted(server, api_key="a\rb"))
