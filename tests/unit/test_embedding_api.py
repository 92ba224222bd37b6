"""What is said to a server that embeds, and what its answers mean."""

import numpy as np
import orjson
import pytest

from worker.errors import Halt, HaltReason, RetryLater
from worker.settings import EmbeddingSettings
from worker.stages.embedding_api import Form, asked_to_wait, endpoint, fault_of, vectors_of
from worker.stages.vectors import may_stand_for, of_documents


@pytest.mark.parametrize(
    ("url", "form", "expected"),
    [
        ("http://h:8080", Form.TEI, "http://h:8080/embed"),
        ("http://h:8080/", Form.TEI, "http://h:8080/embed"),
        ("http://h/embed", Form.TEI, "http://h/embed"),
        ("http://h/models/a/", Form.TEI, "http://h/models/a/embed"),
        ("https://h", Form.OPENAI, "https://h/v1/embeddings"),
        ("https://h/v1", Form.OPENAI, "https://h/v1/embeddings"),
        ("https://h/v1/", Form.OPENAI, "https://h/v1/embeddings"),
        ("https://h/v1/embeddings", Form.OPENAI, "https://h/v1/embeddings"),
        ("https://h/a/embeddings?api-version=1", Form.OPENAI, "https://h/a/embeddings?api-version=1"),
    ],
)
def test_the_path_is_added_where_it_is_missing(url: str, form: Form, expected: str) -> None:
    assert endpoint(url, form) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], expected: float | None) -> None:
    assert asked_to_wait(headers, now_s=10) == expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "Model is overloaded", "error_type": "Overloaded"}, "Model is overloaded"),
        ({"error": {"message": "Too long", "type": "invalid_request_error"}}, "Too long"),
        ({"object": "error", "message": "Too long", "code": 400}, "Too long"),
        ({"detail": [{"msg": "too long", "input": "the private text"}]}, "too long"),
        ({"detail": "Not Found"}, "Not Found"),
        ({}, "no reason"),
        ([], "no reason"),
    ],
)
def test_the_servers_own_words_are_passed_on_and_texts_are_not(answer: object, said: str) -> None:
    fault = fault_of(400, orjson.dumps(answer), None)
    assert said in str(fault)
    assert "private" not in str(fault)


def test_an_answer_that_is_no_json_is_quoted_briefly() -> None:
    assert "length limit exceeded" in str(fault_of(413, b"length\n limit  exceeded", None))
    assert len(str(fault_of(502, b"<html>" * 10_000, None))) < 400
    assert "no body" in str(fault_of(502, b"", None))
    assert str(fault_of(502, b"\xff\xfe", None))


@pytest.mark.parametrize("number", [1e-40, 1e-30, 1.0, 1e30, 3e38])
def test_vectors_of_any_size_are_brought_to_unit_length(number: float) -> None:
    made = vectors_of(Form.TEI, orjson.dumps([[number, 0.0, number]]), 1)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [[0.5**0.5, 0, 0.5**0.5]], rtol=1e-4)


def test_the_key_is_never_repeated() -> None:
    answer = orjson.dumps({"error": {"message": "Incorrect API key provided: sk-secret"}})
    fault = fault_of(401, answer, None, "sk-secret")
    assert isinstance(fault, Halt)
    assert fault.reason is HaltReason.UNAUTHENTICATED
    assert "sk-secret" not in str(fault)


@pytest.mark.parametrize("before", range(280, 300))
def test_nor_is_a_part_of_the_key(before: int) -> None:
    """As in an indented page: white space counts when the answer is cut, and is gone when it is told."""
    assert "sk-" not in str(fault_of(401, b" " * before + b"sk-secret", None, "sk-secret"))


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_asks_for_something(status: int) -> None:
    fault = fault_of(status, b"", 3.0)
    assert isinstance(fault, RetryLater if status in {408, 409, 424, 425, 429} or status >= 500 else Halt)
    if isinstance(fault, RetryLater):
        assert fault.wait_s == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "http"}, "set embedding.http.url"),
        ({"backend": "http", "http": {"url": "http://h"}, "precision": "bf16"}, "precision is the server's own matter"),
        ({"backend": "http", "http": {"url": "http://h"}, "path": "x"}, "path is the server's own matter"),
        ({"revision": ""}, "at least 1 character"),
        ({"precision": "int8"}, "precision int8 needs backend: openvino"),
        ({"backend": "openvino", "device": "cuda"}, "set device to cpu"),
        ({"http": {"url": "http://user:secret@h"}}, "set api_key_file"),
        ({"http": {"url": "http://h", "ca_file": "x"}}, "https://"),
        ({"http": {"url": "http://h", "model": "x"}}, "model is for form: openai"),
        ({"http": {"url": "http://h", "vectors": "base64"}}, "vectors is for form: openai"),
        ({"http": {"url": "http://h", "form": "openai", "truncate": False}}, "truncate is for form: tei"),
        (
            {"backend": "http", "http": {"url": "http://h", "form": "openai", "model": "x"}},
            "http.model is x, but documents would carry sentence-transformers/all-MiniLM-L6-v2: set embedding.model",
        ),
        ({"http": {"api_key": "a", "api_key_file": "b"}}, "keep one of them"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        EmbeddingSettings.model_validate(settings)
    assert "user:secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "wanted", "may"),
    [
        ("m@1", "m@1", True),
        ("m@1", "m@1#int8", True),
        ("m@1#int8", "m@1#int8", True),
        ("m@1#int8", "m@1", False),
        ("m@2", "m@1#int8", False),
        ("m@1#document", "m@1#document", True),
        ("m@1", "m@1#document", False),
        ("m@1#document", "m@1", False),
        ("m@1#document", "m@1#document#int8", True),
        ("m@1", "m@1#document#int8", False),
        (None, "m@1", False),
    ],
)
def test_exact_vectors_stand_for_quantised_ones(stored: str | None, wanted: str, *, may: bool) -> None:
    assert may_stand_for(stored, wanted) is may


def test_the_backend_and_the_precision_are_no_part_of_a_vectors_origin_but_int8() -> None:
    kinds: list[dict[str, object]] = [
        {},
        {"precision": "bf16"},
        {"backend": "openvino"},
        {"backend": "http", "http": {"url": "http://h"}},
    ]
    assert {EmbeddingSettings.model_validate({"model": "m", "revision": "1", **kind}).identity for kind in kinds} == {
        "m@1"
    }
    quantised = {"model": "m", "backend": "openvino", "precision": "int8"}
    assert EmbeddingSettings.model_validate(quantised).identity == "m#int8"


def test_what_is_told_of_documents_stands_before_the_precision() -> None:
    assert [of_documents(model) for model in ("m@1", "m#int8")] == ["m@1#document", "m#document#int8"]
