"""What the embedder's benchmark embeds: real texts, and those at the edges."""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Final, NamedTuple

from tests.benchmarks.ways import Model
from tests.e2e import programs
from worker.adapters.openvino_conversion import calibration_texts
from worker.demo.corpus import pick, read_corpus
from worker.demo.model import embedding_settings

_LONG_CHARACTERS: Final = 100_000
_OTHER_DIMENSIONS: Final = 96
_SOME: Final = frozenset({"fp32", "openvino fp32", "openvino int8"})


class Case(NamedTuple):
    """Texts for a model, and which ways embed them."""

    name: str
    model: Model
    texts: list[str]
    ways: tuple[str, ...]


_corpus: Final = cache(read_corpus)


def documentation(count: int) -> list[str]:
    """Documentation strings of Python's standard library: most of them short, with a long tail."""
    return [f"{document.title}. {document.content}" for document in pick(_corpus(), count)]


def cases(count: int, ways: tuple[str, ...]) -> Iterator[Case]:
    """Yield the real texts for all ways; then what is unusual, for some of them."""
    default = embedding_settings()
    some = tuple(way for way in ways if way in _SOME)
    yield Case("documentation", default, documentation(count), ways)
    yield Case("some 25 languages", default, calibration_texts(None)[: count // 4], some)
    yield Case("a word each", default, _words(count), some)
    yield Case("100,000 characters each", default, _long(max(2, count // 100)), some)
    other = {"model": "other", "path": str(programs.tiny_model(_OTHER_DIMENSIONS))}
    yield Case(f"another model, {_OTHER_DIMENSIONS} dimensions", other, documentation(count), some[:1])


def _words(count: int) -> list[str]:
    texts = documentation(len(_corpus()))
    words = (word.lower() for text in texts for word in text.split() if word.isalpha() and len(word) < 6)
    return list(islice(dict.fromkeys(words), count))


def _long(count: int) -> list[str]:
    texts = documentation(len(_corpus()))
    whole = "\n".join(texts * (1 + count * _LONG_CHARACTERS // sum(map(len, texts))))
    return [whole[at * _LONG_CHARACTERS : (at + 1) * _LONG_CHARACTERS] for at in range(count)]
