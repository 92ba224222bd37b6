"""A searcher in memory: crude stemming, cosine over all vectors, and the same promises as the real one."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from worker.ports import Searcher
from worker.stages.search import MARK, UNMARK, Found, Mode, Query

_WORD = re.compile(r"\w+")
_ENDINGS = re.compile(r"(ing|ed|s)$")


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What the index holds; a tombstone has no tenant, no text and no vector."""

    id: str
    tenant: str | None
    title: str = ""
    content: str = ""
    tags: tuple[str, ...] = ()
    vector: tuple[float, ...] | None = None
    version: int = 1
    deleted: bool = False


class FakeSearcher(Searcher):
    def __init__(self, documents: Sequence[StoredDocument] = ()) -> None:
        self.documents = list(documents)
        self.queries: list[Query] = []
        self.closed = False

    @override
    async def search(self, query: Query) -> Sequence[Sequence[Found]]:
        self.queries.append(query)
        theirs = [document for document in self.documents if document.tenant == query.tenant and not document.deleted]
        rankings = []
        if query.mode is not Mode.MEANING:
            rankings.append(_ranking(query, [(document, _by_words(document, query.words)) for document in theirs]))
        if query.vector is not None:
            rankings.append(_ranking(query, [(document, _cosine(document, query.vector)) for document in theirs]))
        return rankings

    @override
    async def close(self) -> None:
        self.closed = True


def _ranking(query: Query, scored: Sequence[tuple[StoredDocument, float]]) -> list[Found]:
    best = sorted((pair for pair in scored if pair[1] > 0), key=lambda pair: (-pair[1], pair[0].id))
    stems = _stems(query.words)
    return [
        Found(
            id=document.id,
            score=score,
            title=_highlighted(document.title, stems),
            snippet=_highlighted(document.content, stems)[:150],
            tags=document.tags,
            version=document.version,
        )
        for document, score in best[: query.window]
    ]


def _by_words(document: StoredDocument, words: str) -> float:
    asked = set(_stems(words))
    return 3 * len(asked & set(_stems(document.title))) + len(asked & set(_stems(document.content)))


def _cosine(document: StoredDocument, vector: Sequence[float]) -> float:
    if document.vector is None:
        return 0.0
    product = sum(one * other for one, other in zip(document.vector, vector, strict=True))
    return (1 + product / (math.hypot(*document.vector) * math.hypot(*vector))) / 2


def _stems(text: str) -> list[str]:
    return [_ENDINGS.sub("", word.lower()) for word in _WORD.findall(text)]


def _highlighted(text: str, stems: Sequence[str]) -> str:
    return _WORD.sub(lambda word: f"{MARK}{word[0]}{UNMARK}" if set(_stems(word[0])) & set(stems) else word[0], text)
