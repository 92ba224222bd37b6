"""What to ask Elasticsearch, how to read its answer, and how two rankings become one.

    Query  --bodies-->  request bodies  ...  answers  --read_hits-->  rankings  --combine-->  hits

The tenant is part of every clause that finds something. In the kNN clause it must be the clause's own filter: a filter
beside it would only be applied to the nearest documents of all tenants, and could leave none.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

WINDOW: Final = 50
"""Hits taken from each ranking, and the most that a search returns."""
RANK_CONSTANT: Final = 60
"""Damps the difference between the first ranks; the value of the paper and of Elasticsearch's own RRF."""
CANDIDATES: Final = 100
"""Nearest neighbours that each shard considers."""
SNIPPET_CHARACTERS: Final = 150
"""Length of the part of the content that is shown."""
MARK: Final = "\ue000"
UNMARK: Final = "\ue001"
"""Around a highlighted word. From Unicode's private use area, so that no text of a document looks like them."""

_FIELDS: Final = ("title^3", "content")
_SOURCE: Final = ("title", "tags", "published", "url", "sync.version")
_ANALYZED_CHARACTERS: Final = 100_000  # a longer content would otherwise fail the whole shard's answer


class Mode(StrEnum):
    """What makes a document a hit: its words, its meaning, or both, fused."""

    HYBRID = "hybrid"
    WORDS = "words"
    MEANING = "meaning"


@dataclass(frozen=True, slots=True)
class Query:
    """One search inside one tenant. `vector` is needed for, and only for, the modes that compare meaning."""

    tenant: str
    words: str
    mode: Mode = Mode.HYBRID
    vector: tuple[float, ...] | None = None
    window: int = WINDOW

    def __post_init__(self) -> None:
        """Refuse what would search all tenants, or compare nothing.

        Raises:
            ValueError: no tenant, no words, or vector and mode do not fit together.
        """
        if not self.tenant or not self.words:
            raise ValueError("a query needs a tenant and words")
        if (self.vector is None) != (self.mode is Mode.WORDS):
            raise ValueError(f"mode {self.mode} and the vector do not fit together")


@dataclass(frozen=True, slots=True)
class Found:
    """One document of a ranking, as Elasticsearch returned it. Words found stand between `MARK` and `UNMARK`."""

    id: str
    score: float
    title: str = ""
    snippet: str = ""
    tags: tuple[str, ...] = ()
    published: str | None = None
    url: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: the document, its final score, and its rank by words and by meaning (from 1; None: not found)."""

    found: Found
    score: float
    by_words: int | None
    by_meaning: int | None


class Fused(NamedTuple):
    """One entry of a fused ranking."""

    id: str
    score: float


def routing(tenant: str) -> str | None:
    """Return what to route a search for this tenant with; None where it must ask every shard.

    A write takes its routing as it is, but a search reads it as a list, split at commas and trimmed: `a,b` would ask
    the shards of `a` and of `b`, and not the one where the documents of `a,b` are.
    """
    as_written = "," not in tenant and tenant[:1] > " " and tenant[-1:] > " "
    return tenant if as_written else None


def bodies(query: Query) -> list[dict[str, Any]]:
    """Return one search body a ranking: by words, by meaning, or both in this order."""
    found = []
    if query.mode is not Mode.MEANING:
        found.append(_body(query) | {"query": _by_words(query)})
    if query.vector is not None:
        found.append(_body(query) | {"knn": _by_meaning(query, query.vector)})
    return found


def _by_words(query: Query) -> dict[str, Any]:
    return {"bool": {"must": [_match(query)], **_visible(query.tenant)}}


def _by_meaning(query: Query, vector: tuple[float, ...]) -> dict[str, Any]:
    return {
        "field": "embedding",
        "query_vector": list(vector),
        "k": query.window,
        "num_candidates": max(CANDIDATES, query.window),
        "filter": {"bool": _visible(query.tenant)},
    }


def _visible(tenant: str) -> dict[str, Any]:
    # Filter context: not scored, and cached by the server. The alias hides tombstones too, but not every alias may.
    return {"filter": [{"term": {"tenant": tenant}}], "must_not": [{"term": {"sync.deleted": True}}]}


def _match(query: Query) -> dict[str, Any]:
    return {"multi_match": {"query": query.words, "fields": list(_FIELDS)}}


def _body(query: Query) -> dict[str, Any]:
    return {
        "size": query.window,
        "track_total_hits": False,
        "_source": list(_SOURCE),
        "highlight": {
            "pre_tags": [MARK],
            "post_tags": [UNMARK],
            "max_analyzed_offset": _ANALYZED_CHARACTERS,
            # Named, because a kNN clause has no words of its own to highlight.
            "highlight_query": _match(query),
            "fields": {
                "title": {"number_of_fragments": 0},
                "content": {
                    "number_of_fragments": 1,
                    "fragment_size": SNIPPET_CHARACTERS,
                    "no_match_size": SNIPPET_CHARACTERS,
                },
            },
        },
    }


def read_hits(answer: Mapping[str, Any]) -> list[Found]:
    """Return the ranking of one search response, best first."""
    return [_found(hit) for hit in answer["hits"]["hits"]]


def _found(hit: Mapping[str, Any]) -> Found:
    source = hit.get("_source", {})
    highlight = hit.get("highlight", {})
    tags, sync = source.get("tags") or (), source.get("sync")
    return Found(
        id=hit["_id"],
        score=hit["_score"],
        title="".join(highlight.get("title", ())) or str(source.get("title") or ""),
        snippet=" ".join(highlight.get("content", ())),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, (list, tuple)) else (str(tags),),
        published=_date(source.get("published")),
        url=source.get("url"),
        version=sync.get("version") if isinstance(sync, Mapping) else None,
    )


def _date(value: object) -> str | None:
    """Return a date as text: a field of type `date` takes milliseconds since 1970 as well, and several."""
    match value:
        case None | []:
            return None
        case [first, *_]:
            return _date(first)
        case int() | float():
            try:
                return datetime.fromtimestamp(value / 1000, UTC).isoformat()
            except (ValueError, OverflowError, OSError):
                return str(value)
        case _:
            return str(value)


def fuse(rankings: Sequence[Sequence[str]], k: int = RANK_CONSTANT, window: int = WINDOW) -> list[Fused]:
    """Fuse rankings of document ids by reciprocal rank: each rank r, counted from 1, gives 1 / (k + r).

    Only the first `window` of each ranking count, and no more than `window` come back. The order of the rankings is
    of no consequence. Equal scores are ordered by the better best rank, then by id.
    """
    ranks: dict[str, list[int]] = {}
    for ranking in rankings:
        # A dictionary, because a document that comes twice in one ranking has its first rank.
        for rank, document in enumerate(dict.fromkeys(ranking[:window]), start=1):
            ranks.setdefault(document, []).append(rank)
    fused = [Fused(document, math.fsum(1 / (k + rank) for rank in found)) for document, found in ranks.items()]
    fused.sort(key=lambda entry: (-entry.score, sorted(ranks[entry.id]), entry.id))
    return fused[:window]


def combine(mode: Mode, rankings: Sequence[Sequence[Found]], size: int) -> list[Hit]:
    """Turn the rankings that `bodies` asked for, in its order, into at most `size` hits, best first."""
    places = [{found.id: rank for rank, found in enumerate(ranking, start=1)} for ranking in rankings]
    if mode is not Mode.HYBRID:
        (ranking,), (ranks,) = rankings, places
        by_words = mode is Mode.WORDS
        return [
            Hit(found, found.score, ranks[found.id] if by_words else None, None if by_words else ranks[found.id])
            for found in ranking[:size]
        ]
    words, meaning = places
    # The first ranking wins: both carry the same document, and the same highlight.
    documents = {found.id: found for ranking in reversed(rankings) for found in ranking}
    fused = fuse([[found.id for found in ranking] for ranking in rankings])
    return [Hit(documents[id_], score, words.get(id_), meaning.get(id_)) for id_, score in fused[:size]]
