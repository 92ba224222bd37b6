import io
import json
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, ObjectApiResponse
from rich.console import Console
from typing_extensions import override

from tests.fakes.searcher import FakeSearcher, StoredDocument
from worker.adapters.elastic_search import ElasticSearcher
from worker.control.search import as_json, printable, search, show
from worker.errors import Halt, OperatorError, RetryLater
from worker.ports import Embedder, Vectors
from worker.stages.search import MARK, UNMARK, Found, Hit, Mode, Query, bodies, combine, fuse, read_hits, routing

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

VISIBLE = {"filter": [{"term": {"tenant": "acme"}}], "must_not": [{"term": {"sync.deleted": True}}]}


class OneVector(Embedder):
    """Every text means the same."""

    model = "one"
    dimensions = 2

    def __init__(self) -> None:
        self.texts: list[str] = []

    @override
    async def start(self) -> None: ...

    @override
    async def embed(self, texts: list[str]) -> Vectors:  # type: ignore[override]
        self.texts += texts
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))

    @override
    async def embed_question(self, words: str) -> Vectors:
        return await self.embed([f"question: {words}"])

    @override
    async def close(self) -> None: ...


def query(mode: Mode = Mode.HYBRID) -> Query:
    return Query("acme", "full queues", mode, None if mode is Mode.WORDS else (1.0, 0.5))


def test_by_words_the_title_weighs_three_times_and_the_tenant_is_a_filter() -> None:
    (body,) = bodies(query(Mode.WORDS))
    assert body["query"] == {
        "bool": {"must": [{"multi_match": {"query": "full queues", "fields": ["title^3", "content"]}}], **VISIBLE}
    }
    assert "knn" not in body


def test_by_meaning_the_tenant_is_inside_the_knn_clause() -> None:
    (body,) = bodies(query(Mode.MEANING))
    assert body["knn"] == {
        "field": "embedding",
        "query_vector": [1.0, 0.5],
        "k": 50,
        "num_candidates": 100,
        "filter": {"bool": VISIBLE},
    }
    assert "query" not in body


def test_a_hybrid_search_asks_both_by_words_first() -> None:
    words, meaning = bodies(query())
    assert "query" in words
    assert "knn" in meaning


@pytest.mark.parametrize("mode", Mode)
def test_neither_vector_nor_content_comes_back(mode: Mode) -> None:
    for body in bodies(query(mode)):
        assert body["_source"] == ["title", "tags", "published", "url", "sync.version"]
        assert body["highlight"]["fields"]["content"]["number_of_fragments"] == 1


@pytest.mark.parametrize(
    ("tenant", "words", "mode", "vector"),
    [
        ("", "w", Mode.WORDS, None),
        ("t", "", Mode.WORDS, None),
        ("t", "w", Mode.WORDS, (1.0,)),
        ("t", "w", Mode.MEANING, None),
        ("t", "w", Mode.HYBRID, None),
    ],
)
def test_a_query_that_would_search_everything_or_compare_nothing_cannot_be_made(
    tenant: str, words: str, mode: Mode, vector: tuple[float, ...] | None
) -> None:
    with pytest.raises(ValueError, match=r"tenant|vector"):
        Query(tenant, words, mode, vector)


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [("acme", "acme"), ("a b", "a b"), ("a,b", None), (" acme", None), ("acme\t", None)],
)
def test_a_tenant_that_a_search_would_read_as_another_routing_is_not_routed(tenant: str, expected: str | None) -> None:
    assert routing(tenant) == expected


def test_an_answer_is_read_with_and_without_highlight() -> None:
    answer = {
        "hits": {
            "hits": [
                {
                    "_id": "a",
                    "_score": 2.5,
                    "_source": {"title": "Full", "tags": ["x"], "published": "2026-01-01", "sync": {"version": 7}},
                    "highlight": {"title": [f"{MARK}Full{UNMARK}"], "content": ["some text"]},
                },
                {"_id": "b", "_score": 1.0, "_source": {"tags": "single"}},
            ]
        }
    }
    first, second = read_hits(answer)
    assert first == Found("a", 2.5, f"{MARK}Full{UNMARK}", "some text", ("x",), "2026-01-01", None, 7)
    assert second == Found("b", 1.0, tags=("single",))


def test_ties_go_by_the_better_best_rank_then_by_id() -> None:
    assert [entry.id for entry in fuse([["b", "x"], ["a", "y"]])] == ["a", "b", "x", "y"]


def test_a_fused_hit_says_by_what_it_was_found() -> None:
    words, meaning = [Found("a", 9.0), Found("b", 8.0)], [Found("b", 0.9), Found("c", 0.8)]
    hits = combine(Mode.HYBRID, [words, meaning], 10)
    assert [(hit.found.id, hit.by_words, hit.by_meaning) for hit in hits] == [
        ("b", 2, 1),
        ("a", 1, None),
        ("c", None, 2),
    ]
    assert hits[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert combine(Mode.HYBRID, [words, meaning], 1) == hits[:1]


@pytest.mark.parametrize(("mode", "by_words", "by_meaning"), [(Mode.WORDS, 1, None), (Mode.MEANING, None, 1)])
def test_a_hit_of_one_ranking_keeps_the_servers_score(mode: Mode, by_words: int | None, by_meaning: int | None) -> None:
    assert combine(mode, [[Found("a", 9.0)]], 10) == [Hit(Found("a", 9.0), 9.0, by_words, by_meaning)]


async def test_words_are_embedded_in_the_form_of_the_documents_texts() -> None:
    """As a terminal gives them that writes an umlaut as two characters, or a page from which they were copied."""
    embedder = OneVector()
    await search(FakeSearcher(), embedder, "Gro\u0308\u00dfe \n der\u200b Warteschlange", "acme")
    assert embedder.texts == ["question: Gr\u00f6\u00dfe der Warteschlange"]


async def test_only_modes_that_compare_meaning_embed_the_words() -> None:
    searcher, embedder = FakeSearcher(), OneVector()
    await search(searcher, None, "queues", "acme", Mode.WORDS)
    await search(searcher, embedder, "full queues", "acme", Mode.HYBRID)
    assert embedder.texts == ["question: full queues"]
    assert [asked.vector for asked in searcher.queries] == [None, (1.0, 0.0)]


async def test_size_is_the_most_that_comes_back() -> None:
    documents = [StoredDocument(f"d{number}", "acme", "queue", vector=(1, 0)) for number in range(9)]
    assert len(await search(FakeSearcher(documents), OneVector(), "queue", "acme", size=4)) == 4


@pytest.mark.parametrize(
    ("words", "tenant", "size", "says"),
    [
        (" ", "acme", 5, "no words"),
        ("\u200b", "acme", 5, "no words"),
        ("w", "", 5, "--tenant"),
        ("w", "acme", 0, "1 to 50"),
        ("w", "acme", 51, "1 to 50"),
        ("caf\udce9", "acme", 5, "not UTF-8 text"),
        ("w", "caf\udce9", 5, "not UTF-8 text"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_in_one_sentence(
    words: str, tenant: str, size: int, says: str
) -> None:
    with pytest.raises(OperatorError, match=says):
        await search(FakeSearcher(), None, words, tenant, Mode.WORDS, size)


def shown(hits: list[Hit], *, terminal: bool = False, width: int = 80) -> str:
    colours: Literal["standard", "auto"] = "standard" if terminal else "auto"
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=colours)
    show(console, hits, "acme")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def hit(title: str = "Title", snippet: str = "Text", **fields: object) -> Hit:
    return Hit(Found("id-1", 1.0, title, snippet, **fields), 0.0328, 1, 3)  # type: ignore[arg-type]


def test_plain_output_has_everything_within_80_columns() -> None:
    snippet = f"Put an item. If the {MARK}queue{UNMARK} is {MARK}full{UNMARK},\nwait " + "until a slot is free " * 6
    text = shown([hit("asyncio.Queue.put" * 9, snippet, tags=("method",) * 20, published="2026-01-02T03:04:05Z")])
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "0.0328" in text
    assert "If the **queue** is **full**, wait" in text
    assert "words #1, meaning #3 | 2026-01-02 | method" in text


def test_a_terminal_gets_colours_instead_of_marks() -> None:
    text = shown([hit(snippet=f"is {MARK}full{UNMARK} now")], terminal=True)
    assert "\x1b[" in text
    assert "**" not in text
    assert MARK not in text


def test_nothing_found_is_said_with_the_tenant() -> None:
    assert shown([]) == "nothing found for tenant acme (names of tenants are exact, case included)\n"


EVIL = "a\x1b]0;owned\x07b\x9b2Jc\u202edc\x00\rz\x7f\u2028y[bold red]"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_document_cannot_drive_the_terminal(*, terminal: bool) -> None:
    quiet = shown([hit("-", "-", tags=("-",), published="-")], terminal=terminal)
    text = shown([hit(EVIL, f"{EVIL} {MARK}{EVIL}{UNMARK}", tags=(EVIL,), published="\x1b[2J")], terminal=terminal)
    assert not set("\x00\x07\r\x7f\x9b\u202e\u2028") & set(text)
    assert "]0;owned" in text  # shown as text, its escape gone
    assert "[bold red]" in text  # and not read as rich's own markup
    if not terminal:
        assert "\x1b" not in text + quiet


def test_joiners_and_other_scripts_stay() -> None:
    for text in ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "👩\u200d💻", "naïve 東京"):
        assert printable(text) == text


def test_json_keeps_the_data_and_escapes_what_drives_a_terminal() -> None:
    text = as_json([hit(EVIL, f"is {MARK}full{UNMARK}", tags=("x",), version=7)])
    assert not set("\x00\x07\r\x1b\x7f\x9b\u202e\u2028") & set(text)
    (found,) = json.loads(text)
    assert found["title"] == EVIL
    assert found["snippet"] == "is **full**"
    assert (found["rank_by_words"], found["rank_by_meaning"], found["version"]) == (1, 3, 7)


@pytest.mark.parametrize(
    ("published", "told"),
    [
        ("2026-11-22T20:00:00Z", "2026-11-22T20:00:00Z"),
        (1_795_298_512_584, "2026-11-21T22:01:52.584000+00:00"),
        (["2026-11-22", "2026-11-23"], "2026-11-22"),
        (10**30, str(10**30)),
        ({"year": 2026}, "{'year': 2026}"),
        ([], None),
        (None, None),
    ],
)
def test_a_date_of_any_form_is_shown(published: object, told: str | None) -> None:
    """A field of type `date` takes milliseconds since 1970, and several dates."""
    source = {"title": "Queues", "published": published, "tags": 7, "sync": [{"version": 1}]}
    answer = {"hits": {"hits": [{"_id": "a", "_score": 1.0, "_source": source}]}}
    (found,) = read_hits(answer)
    assert (found.published, found.tags, found.version) == (told, ("7",), None)
    assert (told or "")[:10] in shown(combine(Mode.WORDS, [[found]], 1))


def test_json_of_nothing_is_an_empty_list() -> None:
    assert json.loads(as_json([])) == []


class OneAnswer:
    """Stands in for the client: remembers what it was asked, and gives every search the same answer."""

    def __init__(self, answer: dict[str, object], answers: int | None = None) -> None:
        self.searches: list[Any] = []
        self._answer, self._answers = answer, answers

    async def msearch(self, searches: list[Any]) -> ObjectApiResponse[dict[str, object]]:
        self.searches += searches
        count = len(searches) // 2 if self._answers is None else self._answers
        node = NodeConfig("http", "localhost", 9200)
        meta = ApiResponseMeta(200, "1.1", HttpHeaders(), 0.0, node)
        return ObjectApiResponse({"responses": [self._answer] * count}, meta)


NOTHING: dict[str, object] = {"status": 200, "_shards": {"failed": 0}, "hits": {"hits": []}}


def searcher(client: OneAnswer) -> ElasticSearcher:
    return ElasticSearcher(cast("AsyncElasticsearch", client), "articles")


@pytest.mark.parametrize(
    ("tenant", "header"),
    [("acme", {"index": "articles", "routing": "acme"}), ("acme,globex", {"index": "articles"})],
)
async def test_both_searches_of_a_hybrid_one_go_in_one_request_each_with_its_routing(
    tenant: str, header: dict[str, str]
) -> None:
    client = OneAnswer(NOTHING)
    assert await searcher(client).search(Query(tenant, "w", Mode.HYBRID, (1.0,))) == [[], []]
    assert client.searches[0::2] == [header, header]
    assert client.searches[1::2] == bodies(Query(tenant, "w", Mode.HYBRID, (1.0,)))


@pytest.mark.parametrize(
    ("answer", "family"),
    [
        (NOTHING | {"_shards": {"failed": 1}}, RetryLater),
        (NOTHING | {"timed_out": True}, RetryLater),
        ({"status": 429, "error": {"type": "es_rejected_execution_exception"}}, RetryLater),
        ({"status": 503, "error": {"type": "unavailable"}}, RetryLater),
        ({"status": 403, "error": {"type": "security_exception"}}, Halt),
        ({"status": 404, "error": {"type": "index_not_found_exception"}}, OperatorError),
        ({"status": 400, "error": {"type": "x", "root_cause": [{"type": "y", "reason": "z"}]}}, OperatorError),
    ],
)
async def test_a_failed_search_of_several_raises_as_if_asked_alone(
    answer: dict[str, object], family: type[Exception]
) -> None:
    with pytest.raises(family):
        await searcher(OneAnswer(answer)).search(Query("acme", "w", Mode.WORDS))


async def test_fewer_answers_than_searches_are_no_result() -> None:
    with pytest.raises(RetryLater):
        await searcher(OneAnswer(NOTHING, answers=1)).search(Query("acme", "w", Mode.HYBRID, (1.0,)))
