"""The text of a document that is embedded, and its hash.

Built from document fields only, never from columns: so it can be built again from a stored document. Its form is
fixed: Unicode NFC (not NFKC, which would make `2` of `²`), no control characters, no invisible ones but the joiners
that some scripts need, one space for every run of white space.
"""

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from worker.stages.html_text import html_text
from worker.stages.rules import EmbedTemplate

_NORMALISATION: Final = "3"
"""Part of every hash: raised when the rules below change, so that no vector of an older text is reused."""

# Control characters that are no white space; lone surrogates, which no UTF-8 can hold.
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
# Unicode's format characters without U+200C and U+200D: soft hyphen, zero-width space, marks of direction, tags.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)
_LONGEST_RUN: Final = 30
"""Combining marks after one letter, as in Unicode's stream-safe text: putting more in order takes quadratic time, and
no reader could tell them apart."""
# What may be a flood of marks: they are neither letters nor digits nor white space.
_LONG_RUN: Final = re.compile(rf"[^\w\s\x00-\x7f]{{{_LONGEST_RUN + 1}}}")


def embedding_text(fields: Mapping[str, object], embed: Iterable[str] | EmbedTemplate) -> str:
    """Return the text of a document: the named fields in their order with spaces between, or a template over them.

    Null values are left out, lists and objects are their values, joined. The result is empty where all those fields
    are: such a document gets no vector, whatever else the template says.
    """
    if not isinstance(embed, EmbedTemplate):
        return normalised(" ".join([word for name in embed for word in _words(fields.get(name))]))
    pieces, empty = [], True
    for literal, name in embed.parts:
        pieces.append(literal)
        if name is not None:
            words = _words(fields.get(name))
            text = normalised(" ".join(map(html_text, words) if embed.strip_html else words))
            empty = empty and not text
            pieces.append(text)
    return "" if empty else normalised("".join(pieces))


def parsed_template(template: str, *, strip_html: bool = False) -> EmbedTemplate:
    """Return a template such as `{title}. {meta.summary}`; braces that mean themselves are doubled.

    Raises:
        ValueError: it is malformed, or names no field.
    """
    parts: list[tuple[str, str | None]] = []
    for literal, name, form, conversion in string.Formatter().parse(template):
        if name == "" or form or conversion:
            raise ValueError("only names of document fields stand between braces; double a brace that means itself")
        parts.append((literal, name))
    if not any(name for _, name in parts):
        raise ValueError("it names no document field: write one between braces, such as {title}")
    return EmbedTemplate(tuple(parts), strip_html)


def embedded_fields(embed: Iterable[str] | EmbedTemplate) -> list[str]:
    """Return the document fields that the text is made of."""
    if isinstance(embed, EmbedTemplate):
        return [name for _, name in embed.parts if name is not None]
    return list(embed)


def _words(value: object) -> list[str]:
    match value:
        case None:
            return []
        case str():
            return [value]
        case bool():
            return ["true" if value else "false"]
        case list():
            return [word for item in value for word in _words(item)]
        case Mapping():
            # In the order of names: the one that Elasticsearch gives back may be another.
            return [word for name in sorted(value) for word in _words(value[name])]
        case _:
            return [str(value)]


def normalised(text: str) -> str:
    """Return a text in the one form that is embedded."""
    if not text.isascii():
        text = _without_floods(_INVISIBLE.sub("", _SURROGATES.sub("\ufffd", text)))
        if not unicodedata.is_normalized("NFC", text):
            # Once more, because a few marks are two afterwards.
            text = _without_floods(unicodedata.normalize("NFC", text))
    text = " ".join(text.split())
    # One quick look tells that there is none, as a rule; what it takes for one besides, the expression leaves alone.
    return text if text.isprintable() else " ".join(_CONTROLS.sub(" ", text).split())


def _without_floods(text: str) -> str:
    if not _LONG_RUN.search(text):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.category(character).startswith("M") else 0
        if run <= _LONGEST_RUN:
            kept.append(character)
    return "".join(kept)


def text_hash(text: str) -> str:
    """Return 32 hexadecimal digits that stand for the text and the way it was made."""
    return hashlib.blake2b(f"{_NORMALISATION}\n{text}".encode(), digest_size=16).hexdigest()
