"""`syncline search`: ask inside one tenant, fuse what comes back, and show it without letting a document drive the
terminal.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.errors import OperatorError
from worker.ports import Embedder, Searcher
from worker.stages.embedding_text import normalised
from worker.stages.search import MARK, UNMARK, WINDOW, Hit, Mode, Query, combine

_MARKED: Final = re.compile(f"{MARK}([^{MARK}{UNMARK}]*){UNMARK}")
_PLAIN_MARK: Final = "**"
# Joiners shape letters and emoji and move nothing; every other control or format character goes.
_JOINERS: Final = frozenset("\u200c\u200d")
_SPACES: Final = frozenset({"Cc", "Zl", "Zp"})
_UNPRINTABLE: Final = _SPACES | {"Cf", "Co", "Cs"}


async def search(
    searcher: Searcher, embedder: Embedder | None, words: str, tenant: str, mode: Mode = Mode.HYBRID, size: int = 10
) -> list[Hit]:
    """Return at most `size` (1 to 50) hits, best first.

    `embedder` must be started; it may be None in mode `words`, which needs no vector.

    Raises:
        OperatorError: no words, no tenant, a size out of range, or an index that does not fit.
        RetryLater: Elasticsearch does not answer now.
        Halt: Elasticsearch refuses the credentials.
    """
    refuse_odd_question(words, tenant, size)
    vector = None if mode is Mode.WORDS else await _embed(embedder, words)
    return combine(mode, await searcher.search(Query(tenant, words, mode, vector)), size)


def refuse_odd_question(words: str, tenant: str, size: int) -> None:
    """Refuse what needs neither a model nor a server to be refused.

    Raises:
        OperatorError: no words, no tenant, a size out of range, or what is no text.
    """
    if not all(_is_text(given) for given in (words, tenant)):
        raise OperatorError("search: the words or the tenant are not UTF-8 text: check the encoding of the terminal")
    if not normalised(words):
        raise OperatorError("search: there are no words to search for: give some")
    if not tenant:
        raise OperatorError("search: a search needs a tenant: give one with --tenant")
    if not 1 <= size <= WINDOW:
        raise OperatorError(f"search: --size {size} is out of range: give 1 to {WINDOW}")


def _is_text(given: str) -> bool:
    """Whether no byte of the command line was left undecoded: such become lone surrogates, which nobody takes."""
    return not any(unicodedata.category(character) == "Cs" for character in given)


async def _embed(embedder: Embedder | None, words: str) -> tuple[float, ...]:
    if embedder is None:
        raise ValueError("comparing meaning needs an embedder")
    # In the form that documents' texts were given to the model.
    vectors = await embedder.embed_question(normalised(words))
    return tuple(vectors[0].tolist())


def show(console: Console, hits: Sequence[Hit], tenant: str) -> None:
    """Print the hits, within the console's width: title and score, the snippet, then tags, date and ranks.

    Words found are bold on a terminal, and stand between `**` where the output is not one.
    """
    if not hits:
        console.print(Text(f"nothing found for tenant {printable(tenant)} (names of tenants are exact, case included)"))
        return
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=3, justify="right")
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    for number, hit in enumerate(hits, start=1):
        title = _text(hit.found.title or hit.found.id, console, "bold")
        title.no_wrap, title.overflow = True, "ellipsis"
        grid.add_row(f"{number}.", title, f"{hit.score:.4f}")
        if hit.found.snippet:
            grid.add_row("", _text(hit.found.snippet, console))
        grid.add_row("", Text(_details(hit), style="dim", no_wrap=True, overflow="ellipsis"))
    console.print(grid)


def _text(marked: str, console: Console, style: str = "") -> Text:
    text = Text(style=style)
    for piece, found in _pieces(marked):
        if not found:
            text.append(piece)
        elif console.is_terminal:
            text.append(piece, style="bold yellow")
        else:
            text.append(f"{_PLAIN_MARK}{piece}{_PLAIN_MARK}")
    return text


def _details(hit: Hit) -> str:
    ranks = {"words": hit.by_words, "meaning": hit.by_meaning}
    parts = [
        ", ".join(f"{name} #{rank}" for name, rank in ranks.items() if rank is not None),
        (hit.found.published or "")[:10],
        " ".join(hit.found.tags),
    ]
    return printable(" | ".join(part for part in parts if part))


def as_json(hits: Sequence[Hit]) -> str:
    """Return the hits as a JSON array of objects; words found stand between `**` in the snippet.

    Nothing is taken out of the texts: what could drive a terminal is written as an escape.
    """
    text = json.dumps([_plain(hit) for hit in hits], ensure_ascii=False, indent=2)
    return "".join(character if character == "\n" or _prints(character) else _escaped(character) for character in text)


def _plain(hit: Hit) -> dict[str, Any]:
    found = hit.found
    return {
        "id": found.id,
        "score": hit.score,
        "rank_by_words": hit.by_words,
        "rank_by_meaning": hit.by_meaning,
        "title": _MARKED.sub(r"\1", found.title),
        "snippet": _MARKED.sub(rf"{_PLAIN_MARK}\1{_PLAIN_MARK}", found.snippet),
        "tags": list(found.tags),
        "published": found.published,
        "url": found.url,
        "version": found.version,
    }


def printable(text: str) -> str:
    """Return the text as one line without anything that a terminal would obey: control characters, escapes,
    direction overrides.
    """
    kept = "".join(
        character if _prints(character) else " " if unicodedata.category(character) in _SPACES else ""
        for character in text
    )
    return " ".join(kept.split())


def _pieces(marked: str) -> Iterator[tuple[str, bool]]:
    """Split a marked text into printable pieces, each with whether it was found; spaces between them stay single."""
    at = 0
    flat = _MARKED.sub(lambda match: f"{MARK}{printable(match[1])}{UNMARK}", marked)
    for match in _MARKED.finditer(flat):
        yield _spaced(flat[at : match.start()]), False
        yield match[1], True
        at = match.end()
    yield _spaced(flat[at:]), False


def _spaced(text: str) -> str:
    """Return the text printable, but with one space kept at an end that had some: a marked word may stand there."""
    body = printable(text)
    if not body:
        return " " if text else ""
    return " " * text[0].isspace() + body + " " * text[-1].isspace()


def _prints(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _UNPRINTABLE


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"
