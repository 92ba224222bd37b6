"""Real texts with a real distribution of lengths: the documentation strings of Python's standard library."""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from worker.demo.corpus import read_corpus

_STRIDE: Final = 1789
"""Prime, so that any part of the list has texts of all tenants."""


class Text(NamedTuple):
    tenant: str
    title: str
    content: str
    tags: tuple[str, ...]
    url: str


@cache
def corpus() -> Sequence[Text]:
    """Some 4,900 texts with different titles, mixed over the tenants; the same for the same Python."""
    documents = read_corpus()
    return [
        Text(one.tenant, one.title, one.content, one.tags, one.url)
        for one in (documents[number * _STRIDE % len(documents)] for number in range(len(documents)))
    ]


def text(number: int) -> Text:
    """The corpus again and again, from the second time on with the number in the title: so no text comes twice."""
    texts = corpus()
    lap, place = divmod(number, len(texts))
    found = texts[place]
    return found if not lap else found._replace(title=f"{found.title} {lap}")


def lengths(count: int) -> dict[str, float]:
    """Characters of the first `count` texts: mean and percentiles."""
    found = sorted(len(one.title) + 1 + len(one.content) for one in map(text, range(count)))
    middle, high = found[len(found) // 2], found[int(0.95 * len(found))]
    return {"mean": sum(found) / len(found), "p50": middle, "p95": high, "max": found[-1]}
