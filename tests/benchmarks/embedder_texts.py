"""What the embedder's benchmark embeds: real texts, and those at the edges."""

import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.ways import Model
from tests.e2e.make_tiny_model import make
from worker.adapters.openvino_conversion import calibration_texts
from worker.demo.corpus import pick, read_corpus
from worker.demo.model import embedding_settings

_LONG_CHARACTERS: Final = 100_000
_OTHER_DIMENSIONS: Final = 96


class Case(NamedTuple):
    """Texts for a model, and which ways embed them."""

    name: str
    model: Model
    texts: list[str]
    ways: tuple[str, ...]


def documentation(count: int) -> list[str]:
    """Documentation strings of Python's standard library: most of them short, with a long tail."""
    return [f"{document.title}. {document.content}" for document in pick(read_corpus(), count)]


def cases(count: int, ways: tuple[str, ...]) -> list[Case]:
    """The real texts for all ways; then what is unusual, for some of them."""
    default, some = (
        embedding_settings(),
        tuple(way for way in ways if way in {"fp32", "openvino fp32", "openvino int8"}),
    )
    return [
        Case("documentation", default, documentation(count), ways),
        Case("some 25 languages", default, calibration_texts(None)[: count // 4], some),
        Case("a word each", default, _words(count), some),
        Case("100,000 characters each", default, _long(max(2, count // 100)), some),
        Case(f"another model, {_OTHER_DIMENSIONS} dimensions", _other_model(), documentation(count), some[:1]),
    ]


def _words(count: int) -> list[str]:
    words = (word.lower() for text in documentation(10**6) for word in text.split() if word.isalpha() and len(word) < 6)
    return list(islice(dict.fromkeys(words), count))


def _long(count: int) -> list[str]:
    texts = documentation(10**6)
    whole = "\n".join(texts * (1 + count * _LONG_CHARACTERS // sum(map(len, texts))))
    return [whole[at * _LONG_CHARACTERS : (at + 1) * _LONG_CHARACTERS] for at in range(count)]


def _other_model() -> Mapping[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="syncline-other-model-"))
    make(folder, _OTHER_DIMENSIONS)
    return {"model": "other", "path": str(folder)}
